from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heimdall.datasets.reader import DatasetReader, open_dataset
from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import DatasetFolder
from heimdall.trainers.localization.data import (
    SCALE_KM,
    SCALE_SNR_DB,
    Area,
    LocalizationSamples,
    Survey,
    encode,
    select,
    survey,
)
from heimdall.trainers.localization.geometry import from_plane
from heimdall.trainers.localization.spec import TrainingConfig

ALL = TrainingConfig(min_snr_db=0.0)


@pytest.fixture
def reader(dataset: DatasetFolder) -> DatasetReader:
    return open_dataset(dataset.path)


@pytest.fixture
def found(reader: DatasetReader) -> Survey:
    return survey(reader)


def by_hand(reader: DatasetReader) -> list[dict[str, Any]]:
    return reader.samples(0, len(reader))


def test_the_survey_agrees_with_the_samples_one_by_one(reader: DatasetReader, found: Survey) -> None:
    for index, sample in enumerate(by_hand(reader)):
        receivers = sample["receivers"]
        heard = [receiver["snr_db"] for receiver in receivers if receiver["detected"]]
        assert found.mean_snr_db[index] == pytest.approx(sum(heard) / len(heard))
        assert found.truth[index].tolist() == [sample["tx_lat"], sample["tx_lon"]]
        assert found.centre[index][0] == pytest.approx(sum(r["lat"] for r in receivers) / len(receivers))
        assert found.gdop[index] == pytest.approx(sample["gdop"])
    lats = [sample["tx_lat"] for sample in by_hand(reader)]
    lats += [receiver["lat"] for sample in by_hand(reader) for receiver in sample["receivers"]]
    assert found.area.lat == pytest.approx((min(lats) + max(lats)) / 2)


def test_samples_below_the_mean_snr_are_left_out(found: Survey, dataset: DatasetFolder) -> None:
    limit = float(np.median(found.mean_snr_db))
    chosen = select(found.mean_snr_db, dataset, TrainingConfig(min_snr_db=limit))
    kept = np.sort(np.concatenate([chosen.train, chosen.val]))
    assert kept.tolist() == [index for index in range(60) if found.mean_snr_db[index] >= limit]
    assert chosen.num_left_out == 60 - len(kept) == 30
    assert chosen.size == 30


def test_samples_not_approved_are_left_out_when_asked(found: Survey, dataset: DatasetFolder) -> None:
    marked = replace(dataset, unapproved=(3, 7))
    chosen = select(found.mean_snr_db, marked, ALL)
    assert chosen.size == 58
    assert not {3, 7} & {*chosen.train.tolist(), *chosen.val.tolist()}
    assert select(found.mean_snr_db, marked, TrainingConfig(min_snr_db=0.0, only_approved=False)).size == 60


def test_no_sample_left_is_an_error_that_says_why(found: Survey, dataset: DatasetFolder) -> None:
    with pytest.raises(InvalidConfigError, match="None of the 60 samples of dataset test passes min_snr_db 500"):
        select(found.mean_snr_db, dataset, TrainingConfig(min_snr_db=500.0))


def test_one_sample_cannot_be_split(dataset: DatasetFolder) -> None:
    with pytest.raises(InvalidConfigError, match="validation_split"):
        select(np.array([20.0]), dataset, ALL)
    assert select(np.array([20.0]), dataset, TrainingConfig(validation_split=0.0)).train.tolist() == [0]
    both = select(np.array([20.0, 20.0]), dataset, TrainingConfig(validation_split=0.01))
    assert (len(both.train), len(both.val)) == (1, 1)


def test_the_split_is_a_function_of_the_seed(found: Survey, dataset: DatasetFolder) -> None:
    first, again, other = (
        select(found.mean_snr_db, dataset, TrainingConfig(min_snr_db=0.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert len(first.val) == 12
    assert sorted([*first.train.tolist(), *first.val.tolist()]) == list(range(60))
    assert first.val.tolist() == again.val.tolist() != other.val.tolist()
    assert len(select(found.mean_snr_db, dataset, TrainingConfig(min_snr_db=0.0, validation_split=0.0)).val) == 0


def test_a_network_sees_of_a_miss_only_that_it_is_one(reader: DatasetReader, found: Survey) -> None:
    rows = reader.take(np.arange(60)).copy()
    before = encode(rows, found.area)
    rows["snr_db"][~rows["detected"]] += 7.0
    rows["distance_km"] += 1.0
    after = encode(rows, found.area)
    assert (~rows["detected"] & before["mask"]).any()
    for name, array in before.items():
        assert np.array_equal(array, after[name])


def test_features_are_positions_around_the_centroid_and_snr(reader: DatasetReader, found: Survey) -> None:
    batch = encode(reader.take(np.arange(60)), found.area)
    for index, sample in enumerate(by_hand(reader)):
        count = sample["num_receivers"]
        assert batch["mask"][index].sum() == count
        features = batch["features"][index].astype(np.float64)
        assert np.abs(features[:count, :2].mean(axis=0)).max() < 1e-6
        assert not features[count:].any()
        lat, lon = from_plane(
            features[:count, 0] * SCALE_KM, features[:count, 1] * SCALE_KM, *found.centre[index].tolist()
        )
        receivers = sample["receivers"]
        assert lat == pytest.approx([receiver["lat"] for receiver in receivers], abs=1e-5)
        assert lon == pytest.approx([receiver["lon"] for receiver in receivers], abs=1e-5)
        snr = [receiver["snr_db"] if receiver["detected"] else 0.0 for receiver in receivers]
        assert features[:count, 3] * SCALE_SNR_DB == pytest.approx(snr, abs=1e-4)
        target = from_plane(*(batch["target"][index].astype(np.float64) * SCALE_KM), *found.centre[index].tolist())
        assert np.array(target) == pytest.approx(found.truth[index], abs=1e-5)


def test_mirroring_is_a_function_of_seed_epoch_and_index(dataset: DatasetFolder, found: Survey) -> None:
    indexes = np.arange(60)
    samples = LocalizationSamples(dataset.path, indexes, found.area, mirror_seed=9)

    def signs(epoch: int, order: list[int]) -> Any:
        return samples.__getitems__([(epoch, index) for index in order])["signs"]

    forward, backward = signs(1, list(range(60))), signs(1, list(range(59, -1, -1)))
    assert np.array_equal(forward, backward[::-1])
    assert not np.array_equal(forward, signs(2, list(range(60))))
    assert np.array_equal(forward, signs(1, list(range(60))))
    assert {tuple(pair) for pair in forward.tolist()} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    other = LocalizationSamples(dataset.path, indexes, found.area, mirror_seed=10)
    assert not np.array_equal(forward, other.__getitems__([(1, index) for index in range(60)])["signs"])


def test_a_mirrored_sample_is_the_sample_of_a_mirrored_world(reader: DatasetReader, found: Survey) -> None:
    """East and west swapped about the area's axis, in degrees, gives the batch with the sign of east turned."""
    area = Area(found.area.lat, 8.5)
    rows = reader.take(np.arange(60))
    mirrored = rows.copy()
    mirrored["tx_lon"] = 17.0 - rows["tx_lon"]
    mirrored["receiver_lon"] = np.where(rows["receiver_lon"] != 0.0, 17.0 - rows["receiver_lon"], 0.0)
    samples = LocalizationSamples(reader.path, np.arange(60), area, mirror_seed=1)
    batch = samples.__getitems__([(1, index) for index in range(60)])
    flipped = batch["signs"][:, 0] == -1.0
    north_only = batch["signs"][:, 1] == 1.0
    world = encode(mirrored, area)
    assert (flipped & north_only).any()
    for name in ("features", "target"):
        assert np.allclose(batch[name][flipped & north_only], world[name][flipped & north_only], atol=1e-5)


def test_samples_without_a_mirror_come_as_they_are(dataset: DatasetFolder, found: Survey) -> None:
    samples = LocalizationSamples(dataset.path, np.array([4, 2]), found.area, mirror_seed=9)
    plain = samples.unmirrored().__getitems__([(1, 0), (1, 1)])
    assert plain["index"].tolist() == [4, 2]
    assert plain["signs"].tolist() == [[1, 1], [1, 1]]
