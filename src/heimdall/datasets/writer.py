"""Writes a dataset chunk by chunk in constant memory."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from numpy.lib import format as npy

from heimdall.datasets.format import FORMAT, METADATA_FILE, SHARD_SIZE, Rows, sample_dtype, shard_path
from heimdall.datasets.quality import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDataset:
    num_samples: int
    sha256: str
    quality: dict[str, dict[str, float]]


class DatasetWriter:
    """Use it as a context manager; `append` until `num_samples` rows are in, then `finish`."""

    def __init__(self, folder: Path, *, num_samples: int, max_receivers: int, shard_size: int = SHARD_SIZE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._num_samples = num_samples
        self._max_receivers = max_receivers
        self._dtype = sample_dtype(max_receivers)
        self._shard_size = shard_size
        self._written = 0
        self._shard: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._quality = Quality()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_shard()

    @property
    def num_missing(self) -> int:
        return self._num_samples - self._written

    def append(self, rows: Rows) -> None:
        """Add rows of `sample_dtype(max_receivers)`.

        Raises:
            ValueError: other records than these, or more than `num_samples` in all.
        """
        if rows.dtype != self._dtype:
            raise ValueError("the rows are not records of this dataset")
        if len(rows) > self.num_missing:
            raise ValueError(f"{len(rows)} rows given, {self.num_missing} missing")
        while len(rows):
            room = self._shard_size - self._written % self._shard_size
            self._write(rows[:room])
            rows = rows[room:]

    def finish(self, details: Mapping[str, Any]) -> WrittenDataset:
        """Write `dataset.json`: what the reader needs, and `details` for people."""
        if self.num_missing:
            raise ValueError(f"{self.num_missing} samples are missing")
        self._close_shard()
        result = WrittenDataset(
            num_samples=self._num_samples, sha256=self._hash.hexdigest(), quality=self._quality.as_dict()
        )
        metadata = {
            "format": FORMAT,
            "num_samples": self._num_samples,
            "max_receivers": self._max_receivers,
            "shard_size": self._shard_size,
            "sha256": result.sha256,
            "quality": result.quality,
            **details,
        }
        text = json.dumps(metadata, indent=2, allow_nan=False)
        (self._folder / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
        return result

    def _write(self, rows: Rows) -> None:
        if self._shard is None:
            self._shard = self._open_shard()
        data = rows.tobytes()
        self._shard.write(data)
        self._hash.update(data)
        self._quality.add(rows)
        self._written += len(rows)
        if self._written % self._shard_size == 0:
            self._close_shard()

    def _open_shard(self) -> BinaryIO:
        """Start the next shard; its length is known beforehand, so its header is final."""
        shard = shard_path(self._folder, self._written // self._shard_size).open("wb")
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (min(self._shard_size, self.num_missing),),
        }
        npy.write_array_header_1_0(shard, header)
        return shard

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None
