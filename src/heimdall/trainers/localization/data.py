"""Which samples a job trains on, and the arrays a batch is made of. NumPy only: loader processes run this."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from heimdall.datasets.format import Rows, receiver_mask
from heimdall.datasets.reader import DatasetReader, open_dataset
from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import DatasetFolder
from heimdall.trainers.localization.geometry import Floats, to_plane
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.seeding import Place

Indexes = npt.NDArray[np.int64]

SCALE_KM = 100.0  # unit of length inside the networks
SCALE_SNR_DB = 20.0
SCALE_ALTITUDE_M = 1000.0
SPLIT_STREAM, MIRROR_STREAM = 1, 2  # keep these random numbers apart from the sample order's


@dataclass(frozen=True, slots=True)
class Area:
    """Centre of the region the samples lie in: origin of positions, and where its two axes cross. Degrees."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What is kept in memory of every sample of a dataset. Shapes [samples, 2] are latitude and longitude."""

    truth: Floats
    centre: Floats  # of the receivers
    gdop: Floats
    mean_snr_db: Floats  # over the detecting receivers
    area: Area  # middle of the box around all transmitters and receivers


def survey(reader: DatasetReader) -> Survey:
    """One pass over the dataset."""
    num_samples = len(reader)
    truth, centre = np.empty((num_samples, 2)), np.empty((num_samples, 2))
    gdop, mean_snr = np.empty(num_samples), np.empty(num_samples)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    start = 0
    for rows in reader.chunks():
        part = slice(start, start + len(rows))
        receivers = np.stack([rows["receiver_lat"], rows["receiver_lon"]], axis=-1)[receiver_mask(rows)]
        truth[part] = np.stack([rows["tx_lat"], rows["tx_lon"]], axis=-1)
        centre[part], gdop[part], mean_snr[part] = centroid(rows), rows["gdop"], _mean_snr_db(rows)
        low = np.minimum(low, np.minimum(truth[part].min(axis=0), receivers.min(axis=0)))
        high = np.maximum(high, np.maximum(truth[part].max(axis=0), receivers.max(axis=0)))
        start = part.stop
    return Survey(truth, centre, gdop, mean_snr, Area(*((low + high) / 2.0).tolist()))


def centroid(rows: Rows) -> Floats:
    """[samples, 2]: mean latitude and longitude of each sample's receivers."""
    count = rows["num_receivers"].astype(np.float64)  # padding is zero, so sums need no mask
    return np.stack([rows["receiver_lat"].sum(axis=1) / count, rows["receiver_lon"].sum(axis=1) / count], axis=-1)


def _mean_snr_db(rows: Rows) -> Floats:
    """Minus infinity where no receiver detects."""
    detected = rows["detected"] & receiver_mask(rows)
    count = detected.sum(axis=1)
    total = np.where(detected, rows["snr_db"].astype(np.float64), 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)


@dataclass(frozen=True, slots=True)
class Selection:
    """Sample indexes of a dataset after the filters, split, each in ascending order."""

    train: Indexes
    val: Indexes
    num_left_out: int

    @property
    def size(self) -> int:
        return len(self.train) + len(self.val)


def select(mean_snr_db: Floats, folder: DatasetFolder, config: TrainingConfig) -> Selection:
    """Apply `min_snr_db` and `only_approved`, then split by `validation_split` and `seed`.

    Raises:
        InvalidConfigError: no sample is left to train on.
    """
    kept = mean_snr_db >= config.min_snr_db
    if config.only_approved:
        kept[np.asarray(folder.unapproved, dtype=np.int64)] = False
    indexes = np.flatnonzero(kept)
    if len(indexes) == 0:
        raise InvalidConfigError(
            f"None of the {len(kept)} samples of dataset {folder.name} passes {filters_text(config)}; change the "
            "filters or use another dataset."
        )
    order = np.random.default_rng([config.seed, SPLIT_STREAM]).permutation(indexes)
    num_val = _num_val(len(indexes), config.validation_split)
    return Selection(np.sort(order[num_val:]), np.sort(order[:num_val]), len(kept) - len(indexes))


def filters_text(config: TrainingConfig) -> str:
    return f"min_snr_db {config.min_snr_db:g}" + (" and only_approved" if config.only_approved else "")


def _num_val(num_samples: int, validation_split: float) -> int:
    """At least one sample on each side when there is a validation part at all.

    Raises:
        InvalidConfigError: one sample cannot be split.
    """
    if validation_split == 0.0:
        return 0
    if num_samples < 2:
        raise InvalidConfigError(
            "Only one sample passes the filters, which cannot be split; set validation_split to 0 or lower min_snr_db."
        )
    return min(max(round(num_samples * validation_split), 1), num_samples - 1)


class SpectrogramSource(Protocol):
    def take(self, indexes: Indexes) -> npt.NDArray[np.float32]:
        """[K, height, width] of the K detecting receivers of these samples, in order."""
        ...


class LocalizationSamples:
    """Samples of one split as batches.

    A batch holds, with R the most receivers of the dataset: `features` [B, R, 7], `mask` [B, R] (which entries are
    receivers), `target` [B, 2] (east and north of the centroid in units of SCALE_KM), `signs` [B, 2] (how it was
    mirrored), `index` [B], and for a ConvNeXt `spectrograms` [K, height, width] of the batch's K detecting receivers in
    the order of samples and receivers.

    With `mirror_seed` each sample is mirrored about the area's axes, neither, one or both, drawn anew each epoch:
    the physics knows no east or north, so this is four times the data.
    """

    def __init__(
        self,
        path: Path,
        indexes: Indexes,
        area: Area,
        *,
        mirror_seed: int | None = None,
        spectrograms: SpectrogramSource | None = None,
    ) -> None:
        self.indexes = indexes
        self._path = path
        self._reader = open_dataset(path)
        self._area = area
        self._mirror_seed = mirror_seed
        self._spectrograms = spectrograms
        self._signs: tuple[int, npt.NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self.indexes)

    def __getitems__(self, places: Sequence[Place]) -> dict[str, npt.NDArray[Any]]:
        positions = np.array([index for _, index in places], dtype=np.int64)
        indexes = self.indexes[positions]
        batch = encode(self._reader.take(indexes), self._area)
        batch["signs"] = np.ones((len(indexes), 2), dtype=np.float32)
        if self._mirror_seed is not None:
            batch["signs"] = self._signs_of_epoch(places[0][0])[positions]
            mirror(batch)
        if self._spectrograms is not None:
            batch["spectrograms"] = self._spectrograms.take(indexes)
        return {**batch, "index": indexes}

    def unmirrored(self) -> "LocalizationSamples":
        return LocalizationSamples(self._path, self.indexes, self._area, spectrograms=self._spectrograms)

    def _signs_of_epoch(self, epoch: int) -> npt.NDArray[np.float32]:
        """[samples, 2] of -1 and 1: a function of (seed, epoch, index) alone, kept while the epoch lasts."""
        assert self._mirror_seed is not None
        if self._signs is None or self._signs[0] != epoch:
            generator = np.random.default_rng([self._mirror_seed, epoch, MIRROR_STREAM])
            bits = generator.integers(0, 2, size=(len(self), 2), dtype=np.int8)
            self._signs = (epoch, bits.astype(np.float32) * 2.0 - 1.0)
        return self._signs[1]


NUM_FEATURES = 7  # east, north, detected, SNR, altitude; east and north of the centroid in the area


def encode(rows: Rows, area: Area) -> dict[str, npt.NDArray[Any]]:
    """Features, mask and target of records. What a receiver did not detect shows only as not detected."""
    mask = receiver_mask(rows)
    centre = centroid(rows)
    east, north = to_plane(rows["receiver_lat"], rows["receiver_lon"], centre[:, :1], centre[:, 1:])
    detected = rows["detected"] & mask
    features = np.zeros((*mask.shape, NUM_FEATURES), dtype=np.float32)
    features[..., 0] = east / SCALE_KM
    features[..., 1] = north / SCALE_KM
    features[..., 2] = detected
    features[..., 3] = np.where(detected, rows["snr_db"] / SCALE_SNR_DB, 0.0)
    features[..., 4] = rows["altitude_m"] / SCALE_ALTITUDE_M
    offset = np.stack(to_plane(centre[:, 0], centre[:, 1], area.lat, area.lon), axis=-1)
    features[..., 5:7] = (offset / SCALE_KM)[:, None, :]
    features[~mask] = 0.0
    target = np.stack(to_plane(rows["tx_lat"], rows["tx_lon"], centre[:, 0], centre[:, 1]), axis=-1)
    return {"features": features, "mask": mask, "target": (target / SCALE_KM).astype(np.float32)}


def mirror(batch: dict[str, npt.NDArray[Any]]) -> None:
    """Multiply every east and north of a batch by its `signs` [B, 2], in place."""
    signs = batch["signs"]
    batch["features"][..., 0:2] *= signs[:, None, :]
    batch["features"][..., 5:7] *= signs[:, None, :]
    batch["target"] *= signs
