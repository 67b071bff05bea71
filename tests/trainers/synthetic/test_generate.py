import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall.datasets.format import Rows, receiver_mask
from heimdall.datasets.reader import open_dataset
from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import StopTraining
from heimdall.sdk.testing import FakeContext
from heimdall.trainers.synthetic import train
from heimdall.trainers.synthetic.generate import BLOCK_DRAWS, Draws, accepted_rows, draw_block
from heimdall.trainers.synthetic.geometry import Hulls, gdop, great_circle_km
from heimdall.trainers.synthetic.propagation import PROPAGATION, Propagation
from heimdall.trainers.synthetic.receivers import FIXED_RECEIVERS
from heimdall.trainers.synthetic.spec import GenerateConfig


def config(num_samples: int = 100, **fields: Any) -> GenerateConfig:
    return GenerateConfig(name="test", num_samples=num_samples, **fields)


def samples(of: GenerateConfig) -> Rows:
    return np.concatenate(list(accepted_rows(of)))


def inside_hull(rows: Rows) -> float:
    hulls = Hulls.of(rows["receiver_lon"], rows["receiver_lat"], receiver_mask(rows))
    return float(hulls.contains(rows["tx_lon"], rows["tx_lat"]).mean())


def test_the_same_seed_makes_the_same_bytes() -> None:
    assert samples(config()).tobytes() == samples(config()).tobytes()
    assert samples(config()).tobytes() != samples(config(seed=43)).tobytes()


def test_a_smaller_dataset_is_the_beginning_of_a_larger_one() -> None:
    assert samples(config(3000))[:100].tobytes() == samples(config(100)).tobytes()


def test_a_block_is_the_same_whenever_it_is_drawn() -> None:
    in_order = samples(config(2 * BLOCK_DRAWS))
    second, first = draw_block(config(), 1)[0], draw_block(config(), 0)[0]
    both = np.concatenate([first, second])
    assert in_order[: len(both)].tobytes() == both.tobytes()


def test_name_and_description_change_no_sample() -> None:
    other = GenerateConfig(name="other", description="text", num_samples=100)
    assert samples(config()).tobytes() == samples(other).tobytes()


def test_the_receiver_seed_alone_places_receivers() -> None:
    """No draw is rejected here, so samples of two seeds correspond."""
    easy: dict[str, Any] = {"min_snr_db": 0.0, "tx_power_dbm": 50.0, "max_gdop": 1e6, "min_receivers_count": 6}
    first = samples(config(receiver_seed=1, seed=1, **easy))
    other_transmitters = samples(config(receiver_seed=1, seed=2, **easy))
    other_receivers = samples(config(receiver_seed=2, seed=1, **easy))
    for name in ("receiver_lat", "receiver_lon", "altitude_m", "num_receivers"):
        assert np.array_equal(first[name], other_transmitters[name])
        assert not np.array_equal(first[name], other_receivers[name])
    assert not np.array_equal(first["tx_lat"], other_transmitters["tx_lat"])


def test_left_out_the_receiver_seed_follows_the_seed() -> None:
    assert samples(config(seed=5)).tobytes() == samples(config(seed=5, receiver_seed=5)).tobytes()


@settings(max_examples=15, deadline=None)
@given(
    fewest=st.integers(3, 15),
    more=st.integers(0, 12),
    min_snr_db=st.floats(0, 20),
    max_gdop=st.floats(1.5, 10),
    inside_ratio=st.floats(0, 1),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_sample_keeps_the_limits(
    fewest: int, more: int, min_snr_db: float, max_gdop: float, inside_ratio: float, seed: int
) -> None:
    most = min(15, fewest + more)
    rows, draws = draw_block(
        config(
            min_receivers_count=fewest,
            max_receivers_count=most,
            min_snr_db=min_snr_db,
            max_gdop=max_gdop,
            inside_ratio=inside_ratio,
            seed=seed,
        ),
        0,
    )
    mask, detected = receiver_mask(rows), rows["detected"]
    assert draws.drawn == BLOCK_DRAWS
    assert draws.accepted == len(rows)
    assert draws.drawn - draws.accepted == sum(
        (draws.rejected_no_position, draws.rejected_too_few_receivers, draws.rejected_gdop)
    )
    assert np.all((rows["num_receivers"] >= fewest) & (rows["num_receivers"] <= most))
    assert np.array_equal(detected, mask & (rows["snr_db"] >= min_snr_db))
    assert np.all(detected.sum(axis=1) >= 3)
    assert np.all(rows["gdop"] <= max_gdop)
    for name in ("lat", "lon"):
        least, largest = (44.0, 46.0) if name == "lat" else (7.0, 10.0)
        for values in (rows[f"tx_{name}"], rows[f"receiver_{name}"][mask]):
            assert np.all((values >= least) & (values <= largest))
    for name in ("receiver_lat", "receiver_lon", "altitude_m", "snr_db", "distance_km", "noise_seed"):
        assert not rows[name][~mask].any()


def test_stored_distance_and_gdop_are_those_of_the_positions() -> None:
    rows = samples(config(500))
    lat, lon, mask = rows["receiver_lat"], rows["receiver_lon"], receiver_mask(rows)
    distance = great_circle_km(rows["tx_lat"][:, None], rows["tx_lon"][:, None], lat, lon)
    assert np.allclose(rows["distance_km"][mask], distance[mask], rtol=1e-6)
    expected = gdop(rows["tx_lat"], rows["tx_lon"], lat, lon, rows["detected"])
    assert np.allclose(rows["gdop"], expected, rtol=1e-6)


def test_the_fixed_receivers_are_the_contract_s() -> None:
    rows = samples(config(50, use_random_receivers=False))
    assert rows["receiver_lat"].shape == (50, 7)
    for number, receiver in enumerate(FIXED_RECEIVERS):
        assert np.all(rows["receiver_lat"][:, number] == receiver.lat)
        assert np.all(rows["receiver_lon"][:, number] == receiver.lon)
        assert np.all(rows["altitude_m"][:, number] == receiver.altitude_m)


@pytest.mark.parametrize("use_random_receivers", [True, False])
@pytest.mark.parametrize("inside_ratio", [0.0, 0.4, 1.0])
def test_the_inside_ratio_is_the_share_of_draws_in_the_hull(use_random_receivers: bool, inside_ratio: float) -> None:
    easy: dict[str, Any] = {"min_snr_db": 0.0, "tx_power_dbm": 50.0, "max_gdop": 1e6, "min_receivers_count": 6}
    fields: dict[str, Any] = easy if use_random_receivers else {"tx_power_dbm": 50.0, "max_gdop": 1e6}
    rows = samples(config(4000, inside_ratio=inside_ratio, use_random_receivers=use_random_receivers, **fields))
    assert inside_hull(rows) == pytest.approx(inside_ratio, abs=0.04)


def test_with_the_defaults_the_data_is_plausible() -> None:
    draws = Draws()
    rows = np.concatenate(list(accepted_rows(config(4000), draws)))
    detected, mask = rows["detected"], receiver_mask(rows)
    mean_snr = np.where(detected, rows["snr_db"], 0).sum(axis=1) / detected.sum(axis=1)
    assert draws.accepted / draws.drawn > 0.9
    assert 0.6 < detected[mask].mean() < 0.95
    assert np.mean(mean_snr >= 10) > 0.9
    assert rows["snr_db"][detected].std() > 8


def test_loss_grows_as_free_space_plus_the_excess() -> None:
    power = {"tx_power_dbm": 37.0, "frequency_mhz": 145.0}
    snr = PROPAGATION.median_snr_db(np.array([0.2, 0.4, 10.0, 100.0]), **power)
    assert snr[0] - snr[1] == pytest.approx(20 * np.log10(2))
    assert snr[2] - snr[3] == pytest.approx(20 + 10 * PROPAGATION.excess_exponent)
    floor = 32.4 + 20 * np.log10(145.0) + 20 + 10 * PROPAGATION.excess_exponent
    assert snr[2] == pytest.approx(37.0 - floor - PROPAGATION.noise_floor_dbm)
    louder = PROPAGATION.median_snr_db(np.array([10.0]), tx_power_dbm=40.0, frequency_mhz=290.0)
    assert louder[0] - snr[2] == pytest.approx(3 - 20 * np.log10(2))


@pytest.mark.parametrize("line_of_sight", [True, False])
def test_fading_has_mean_power_one_and_the_right_spread(line_of_sight: bool) -> None:
    rng = np.random.default_rng(1)
    power = 10 ** (PROPAGATION.draw_fading_db(rng, np.full(200_000, line_of_sight)) / 10)
    k = 10 ** (PROPAGATION.rician_k_db / 10) if line_of_sight else 0.0
    assert power.mean() == pytest.approx(1, abs=0.01)
    assert power.var() == pytest.approx((2 * k + 1) / (k + 1) ** 2, rel=0.03)  # variance of a Rice power


def test_the_channel_s_description_has_units_and_sources_and_can_be_read_back() -> None:
    description = json.loads(json.dumps(PROPAGATION.describe()))
    assert all(parameter["unit"] and parameter["source"] for parameter in description.values())
    assert Propagation.described(description) == PROPAGATION


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"tx_power_dbm": 0.0, "min_snr_db": 60.0}, "were heard by fewer than 3 receivers"),
        ({"max_gdop": 1.0, "max_receivers_count": 4, "min_receivers_count": 3}, "had a GDOP above 1,"),
        (
            {"use_random_receivers": False, "area_lat_min": 44.9, "area_lat_max": 45.0, "area_lon_min": 8.0}
            | {"area_lon_max": 8.1, "inside_ratio": 0.0},
            "found no position",
        ),
    ],
)
def test_hopeless_limits_fail_with_the_count_of_each_cause(fields: dict[str, Any], cause: str) -> None:
    with pytest.raises(InvalidConfigError, match=cause) as caught:
        samples(config(**fields))
    numbers = [int(word) for word in str(caught.value).replace(",", "").split() if word.isdigit()]
    assert 20_000 <= numbers[1] < 20_000 + BLOCK_DRAWS


def test_a_job_publishes_what_can_be_opened(tmp_path: Path) -> None:
    wanted = config(3000)
    context = FakeContext(tmp_path, wanted.model_dump())
    train.run(context)
    assert context.published is not None
    reader = open_dataset(context.published["folder"])
    assert len(reader) == context.published["num_samples"] == 3000
    assert reader.rows().tobytes() == samples(wanted).tobytes()
    assert reader.checksum() == context.published["sha256"]
    assert set(context.published["quality"]) == {"snr_db", "gdop", "receivers", "distance_km"}
    assert context.phases[0] == "generating"
    assert [current for current, _, _ in context.progress_made] == sorted(
        current for current, _, _ in context.progress_made
    )
    assert context.progress_made[-1][:2] == (3000, 3000)
    assert reader.metadata["config"] == wanted.samples_config()
    assert reader.metadata["draws"]["accepted"] >= 3000
    assert reader.metadata["propagation"] == PROPAGATION.describe()


def test_samples_of_the_fixed_receivers_carry_their_names(tmp_path: Path) -> None:
    fixed = config(10, use_random_receivers=False)
    train.generate_into(tmp_path, fixed, progress=lambda current, total, message: None, raise_if_stopped=lambda: None)
    receivers = open_dataset(tmp_path).samples(0, 1)[0]["receivers"]
    assert [receiver["id"] for receiver in receivers] == [receiver.name for receiver in FIXED_RECEIVERS]


def test_a_cancelled_job_stops_within_a_second_and_publishes_nothing(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, config(5_000_000).model_dump(), stop_at=3)
    started = time.monotonic()
    with pytest.raises(StopTraining):
        train.run(context)
    assert time.monotonic() - started < 3 * 1.0  # three looks, each within a second of the one before
    assert context.published is None


def test_a_hopeless_job_publishes_nothing(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, config(tx_power_dbm=0.0, min_snr_db=60.0).model_dump())
    with pytest.raises(InvalidConfigError):
        train.run(context)
    assert context.published is None
