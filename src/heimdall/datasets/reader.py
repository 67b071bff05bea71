"""Reads a dataset through memory maps."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from heimdall.datasets.format import FORMAT, METADATA_FILE, DatasetFormatError, Rows, sample_dtype, shard_path


class DatasetReader:
    """Random access to samples. Holds memory maps only, so it is cheap and may be used after a fork."""

    def __init__(self, path: Path, metadata: dict[str, Any], shards: list[Rows]) -> None:
        self.path = path
        self.metadata = metadata
        self.max_receivers: int = metadata["max_receivers"]
        self.sha256: str = metadata["sha256"]
        self._shard_size: int = metadata["shard_size"]
        self._num_samples: int = metadata["num_samples"]
        self._shards = shards

    def __len__(self) -> int:
        return self._num_samples

    def rows(self, start: int = 0, stop: int | None = None) -> Rows:
        """Records [start, stop), cut to what is there: a read-only view inside one shard, else a copy."""
        start, stop, _ = slice(start, stop).indices(len(self))
        parts = list(self._parts(start, stop))
        if not parts:
            return np.zeros(0, dtype=sample_dtype(self.max_receivers))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def take(self, indexes: npt.NDArray[np.integer[Any]]) -> Rows:
        """A copy of the records at `indexes` (each in [0, len)), in their order."""
        if indexes.size and not (indexes.min() >= 0 and indexes.max() < len(self)):
            raise IndexError(f"indexes lie outside of 0…{len(self) - 1}")
        taken = np.empty(len(indexes), dtype=sample_dtype(self.max_receivers))
        shard_of = indexes // self._shard_size
        for number in np.unique(shard_of):
            here = shard_of == number
            taken[here] = self._shards[number][indexes[here] % self._shard_size]
        return taken

    def chunks(self, size: int = 4096) -> Iterator[Rows]:
        """All records in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.rows(start, start + size)

    def samples(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """Records as plain values, for people and JSON."""
        rows = self.rows(offset, offset + limit)
        return [self._sample(offset + number, row) for number, row in enumerate(rows)]

    def checksum(self) -> str:
        """The SHA-256 over the samples as they lie on disk now; equals `sha256` when they are undamaged."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk.tobytes())
        return digest.hexdigest()

    def _parts(self, start: int, stop: int) -> Iterator[Rows]:
        while start < stop:
            number, offset = divmod(start, self._shard_size)
            part = self._shards[number][offset : offset + stop - start]
            yield part
            start += len(part)

    def _sample(self, index: int, row: np.void) -> dict[str, Any]:
        return {
            "index": index,
            "tx_lat": float(row["tx_lat"]),
            "tx_lon": float(row["tx_lon"]),
            "gdop": float(row["gdop"]),
            "num_receivers": int(row["num_receivers"]),
            "receivers": [self._receiver(row, number) for number in range(row["num_receivers"])],
        }

    def _receiver(self, row: np.void, number: int) -> dict[str, Any]:
        names: list[str] | None = self.metadata.get("receiver_names")
        return {
            "id": names[number] if names else f"R{number + 1}",
            "lat": float(row["receiver_lat"][number]),
            "lon": float(row["receiver_lon"][number]),
            "altitude_m": float(row["altitude_m"][number]),
            "snr_db": float(row["snr_db"][number]),
            "distance_km": float(row["distance_km"][number]),
            "detected": bool(row["detected"][number]),
        }


def open_dataset(path: Path) -> DatasetReader:
    """Open the dataset in folder `path`.

    Raises:
        DatasetFormatError: no dataset, one of another format, or files that are missing or cut short.
    """
    metadata = _read_metadata(path)
    num_shards = -(-metadata["num_samples"] // metadata["shard_size"])
    shards = [_map_shard(path, number) for number in range(num_shards)]
    dtype = sample_dtype(metadata["max_receivers"])
    if sum(map(len, shards)) != metadata["num_samples"] or any(shard.dtype != dtype for shard in shards):
        raise DatasetFormatError(f"The dataset {path.name} does not hold what its {METADATA_FILE} says; generate anew.")
    return DatasetReader(path, metadata, shards)


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata: dict[str, Any] = json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetFormatError(
            f"The dataset {path.name} has no readable {METADATA_FILE}; generate it anew."
        ) from error
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        raise DatasetFormatError(f"The dataset {path.name} has format {found}, this version reads {FORMAT}.")
    return metadata


def _map_shard(path: Path, number: int) -> Rows:
    file = shard_path(path, number)
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetFormatError(f"The file {file.name} of dataset {path.name} is missing or damaged.") from error
