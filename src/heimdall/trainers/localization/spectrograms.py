"""The spectrograms of a dataset, made once per machine and read through a memory map."""

from collections.abc import Callable
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
import numpy.typing as npt

from heimdall.datasets.reader import DatasetReader
from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import TrainingContext
from heimdall.trainers.localization.signals import Mel, Synthesizer
from heimdall.trainers.localization.spec import TrainingConfig

FILE = "spectrograms.npy"
ROWS_AT_ONCE = 32  # a request to stop is heard this often while they are made


class Spectrograms:
    """[detecting receivers of all samples in order, height, width] of float16, found by sample."""

    def __init__(self, folder: Path, reader: DatasetReader) -> None:
        self._array: npt.NDArray[np.float16] = np.load(folder / FILE, mmap_mode="r", allow_pickle=False)
        self._first: list[int] = first_of_samples(reader).tolist()

    def take(self, indexes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """[K, height, width]: those of the samples at `indexes`, one sample after the other."""
        places = [np.arange(self._first[index], self._first[index + 1]) for index in map(int, indexes)]
        return self._array[np.concatenate(places)].astype(np.float32)


def open_spectrograms(context: TrainingContext, reader: DatasetReader, config: TrainingConfig) -> Spectrograms:
    """Those of this dataset and config, made now when no job of this machine did before."""
    mel = Mel(config.n_mels, config.n_fft, config.hop_length)
    key = f"spectrograms-{reader.sha256}-{mel.n_mels}-{mel.n_fft}-{mel.hop_length}"

    def build(folder: Path) -> None:
        build_spectrograms(
            folder,
            reader,
            mel,
            threads=context.threads,
            progress=context.progress,
            raise_if_stopped=context.raise_if_stopped,
        )

    return Spectrograms(context.cache(key, build), reader)


def build_spectrograms(
    folder: Path,
    reader: DatasetReader,
    mel: Mel,
    *,
    threads: int,
    progress: Callable[[int, int, str], None],
    raise_if_stopped: Callable[[], None],
) -> None:
    """Write the file of a dataset.

    Raises:
        InvalidConfigError: the disk has no room for it.
    """
    first = first_of_samples(reader)
    shape = (int(first[-1]), *mel.shape)
    size, free = int(np.prod(shape)) * 2, disk_usage(folder).free
    if size > free:
        raise InvalidConfigError(
            f"The spectrograms of this dataset need {size / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB; use a "
            "smaller dataset, fewer n_mels or a larger hop_length."
        )
    array: Any = np.lib.format.open_memmap(folder / FILE, mode="w+", dtype=np.float16, shape=shape)
    synthesizer = Synthesizer(mel, threads=threads)
    for start in range(0, len(reader), ROWS_AT_ONCE):
        raise_if_stopped()
        stop = min(start + ROWS_AT_ONCE, len(reader))
        array[first[start] : first[stop]] = synthesizer.spectrograms(reader.rows(start, stop))
        progress(stop, len(reader), f"spectrograms of {stop:,} of {len(reader):,} samples")
    array.flush()


def first_of_samples(reader: DatasetReader) -> npt.NDArray[np.int64]:
    """[samples + 1]: where each sample's spectrograms begin."""
    counts = [rows["detected"].sum(axis=1) for rows in reader.chunks()]
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
