"""The likelihood is the generator's own: every piece is compared with what the generator draws."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heimdall.trainers.synthetic.generate import accepted_rows, draw_block
from heimdall.trainers.synthetic.geometry import Floats, gdop, great_circle_km
from heimdall.trainers.synthetic.likelihood import ObservationModel, posterior_mean
from heimdall.trainers.synthetic.propagation import PROPAGATION
from heimdall.trainers.synthetic.spec import GenerateConfig

CONFIG = GenerateConfig(name="test", num_samples=300, max_gdop=2.0)
MODEL = ObservationModel(CONFIG.samples_config(), PROPAGATION)


def grid(step: float) -> tuple[Floats, Floats]:
    lats, lons = np.arange(44 + step / 2, 46, step), np.arange(7 + step / 2, 10, step)
    lat, lon = np.meshgrid(lats, lons, indexing="ij")
    return lat.ravel(), lon.ravel()


def draws_at(distance_km: float, altitude_m: float, count: int = 200_000) -> Floats:
    """SNRs as the generator draws them."""
    rng = np.random.default_rng(3)
    distance = np.full(count, distance_km)
    snr = PROPAGATION.median_snr_db(distance, tx_power_dbm=CONFIG.tx_power_dbm, frequency_mhz=CONFIG.frequency_mhz)
    fading = PROPAGATION.draw_fading_db(rng, PROPAGATION.is_line_of_sight(distance, np.full(count, altitude_m)))
    return snr + PROPAGATION.draw_shadowing_db(rng, (count,)) + fading


@pytest.mark.parametrize("distance_km", [10.0, 60.0, 110.0, 250.0])
def test_the_density_of_an_snr(distance_km: float) -> None:
    drawn = draws_at(distance_km, 300.0)
    edges: Floats = np.linspace(float(drawn.min()) - 1, float(drawn.max()) + 1, 60)
    shares, _ = np.histogram(drawn, edges)
    fine: Floats = np.linspace(float(edges[0]), float(edges[-1]), 59 * 40 + 1)
    density = np.exp(MODEL.log_snr_density(fine, np.array(distance_km), np.array(300.0)))
    cells = ((density[1:] + density[:-1]) / 2 * np.diff(fine)).reshape(59, 40).sum(axis=1)
    assert cells.sum() == pytest.approx(1, abs=2e-3)
    expected = cells * len(drawn)
    common = expected > 50
    deviation = (shares[common] - expected[common]) / np.sqrt(expected[common])
    assert np.mean(deviation**2) < 2  # chi-square over its degrees of freedom


@pytest.mark.parametrize("distance_km", [60.0, 110.0, 250.0])
def test_the_probability_of_a_miss(distance_km: float) -> None:
    missed = float(np.mean(draws_at(distance_km, 300.0) < CONFIG.min_snr_db))
    found = np.exp(MODEL.log_miss_probability(np.array([distance_km]), np.array([300.0])))[0]
    assert found == pytest.approx(missed, abs=4 * np.sqrt(missed * (1 - missed) / 200_000) + 1e-4)
    detected = MODEL.detection_probability(np.array([distance_km]), np.array([300.0]))[0]
    assert detected + found == pytest.approx(1)


def test_the_prior_is_a_density_and_the_mixture() -> None:
    row = draw_block(CONFIG, 0)[0][0]
    count = int(row["num_receivers"])
    step = 0.01
    lat, lon = grid(step)
    prior = np.exp(MODEL.log_prior(lat, lon, row["receiver_lat"][:count], row["receiver_lon"][:count]))
    assert prior.sum() * step**2 == pytest.approx(1, abs=0.01)
    low, high = np.unique(prior.round(9)).tolist()
    assert prior[prior > (low + high) / 2].sum() * step**2 == pytest.approx(CONFIG.inside_ratio, abs=0.01)
    outside_area = MODEL.log_prior(
        np.array([43.9]), np.array([8.0]), row["receiver_lat"][:count], row["receiver_lon"][:count]
    )
    assert outside_area[0] == -np.inf


def test_the_prior_refuses_receivers_outside_of_the_area() -> None:
    receivers = np.array([44.0, 45.0, 47.0]), np.array([7.0, 9.0, 8.0])
    with pytest.raises(ValueError, match="inside of the area"):
        MODEL.log_prior(np.array([45.0]), np.array([8.0]), *receivers)


def test_positions_that_would_have_been_rejected_have_no_weight() -> None:
    rows = draw_block(CONFIG, 0)[0][:50]
    lat, lon = grid(0.1)
    is_cut = False
    for row in rows:
        log_posterior = MODEL.log_posterior(row, lat, lon)
        at_truth = MODEL.log_posterior(row, np.array([row["tx_lat"]]), np.array([row["tx_lon"]]))
        assert np.isfinite(at_truth[0])
        is_cut |= bool(np.isneginf(log_posterior).any())
    assert is_cut


# Limits under which misses, the prior and the rejected draws all matter
HARD = GenerateConfig(name="test", num_samples=500, max_gdop=1.2, min_snr_db=20.0, inside_ratio=0.9)


def statistics(row: np.void, lat: Floats, lon: Floats) -> Floats:
    """[2, points]: how much nearer a point lies to the detecting receivers than to the others, km; its GDOP."""
    count = int(row["num_receivers"])
    rx_lat, rx_lon, heard = row["receiver_lat"][:count], row["receiver_lon"][:count], row["detected"][:count]
    distance = great_circle_km(lat[:, None], lon[:, None], rx_lat, rx_lon)
    missed = distance[:, ~heard].mean(axis=1) if not heard.all() else 0.0
    return np.stack([distance[:, heard].mean(axis=1) - missed, gdop(lat, lon, rx_lat, rx_lon, heard)])


def worst_rank() -> float:
    """Kolmogorov-Smirnov statistic (times the root of their number) of the truth's ranks under the posteriors.

    The rank is the posterior probability of a statistic below that of the truth: over accepted samples it is uniform
    when the posterior is the generator's (simulation-based calibration).
    """
    model = ObservationModel(HARD.samples_config(), PROPAGATION)
    rows = np.concatenate(list(accepted_rows(HARD)))
    lat, lon = grid(0.1)
    ranks = np.empty((2, len(rows)))
    for number, row in enumerate(rows):
        log_posterior = model.log_posterior(row, lat, lon)
        weight = np.exp(log_posterior - log_posterior.max())
        truth = statistics(row, np.array([row["tx_lat"]]), np.array([row["tx_lon"]]))
        ranks[:, number] = (statistics(row, lat, lon) < truth) @ weight / weight.sum()
    uniform = (np.arange(len(rows)) + 0.5) / len(rows)
    return float(np.abs(np.sort(ranks, axis=1) - uniform).max() * np.sqrt(len(rows)))


WITHIN_ONE_PERCENT = 1.73  # quantile of the larger of two Kolmogorov statistics


def test_the_posterior_is_calibrated() -> None:
    assert worst_rank() < WITHIN_ONE_PERCENT


@pytest.mark.parametrize("piece", ["log_miss_probability", "log_acceptance", "log_prior", "log_snr_density"])
def test_calibration_shows_when_a_piece_is_left_out(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Floats] = getattr(ObservationModel, piece)

    def flat(*arguments: Any) -> Floats:
        return np.zeros_like(whole(*arguments))

    monkeypatch.setattr(ObservationModel, piece, flat)
    assert worst_rank() > WITHIN_ONE_PERCENT


def test_localisation_is_neither_trivial_nor_hopeless() -> None:
    config = GenerateConfig(name="test", num_samples=150, use_random_receivers=False)
    model = ObservationModel(config.samples_config(), PROPAGATION)
    rows = np.concatenate(list(accepted_rows(config)))
    mean = posterior_mean(model, rows, step_degrees=0.05)
    errors = great_circle_km(mean[:, 0], mean[:, 1], rows["tx_lat"], rows["tx_lon"])
    assert 20 < np.sqrt(np.mean(errors**2)) < 60
