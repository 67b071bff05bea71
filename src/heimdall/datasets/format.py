"""How a dataset lies on disk: `dataset.json` and `shard-00000.npy` …, each a NumPy array of one record per sample.

A record holds its receivers in arrays padded with zeros to `max_receivers`; the first `num_receivers` entries count.
Records have no padding bytes, so the SHA-256 over all records in order is the dataset's identity: it depends neither
on shard size nor on name, description or times.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from heimdall.domain.errors import HeimdallError

FORMAT = 1
METADATA_FILE = "dataset.json"
SHARD_SIZE = 65_536

Rows = npt.NDArray[np.void]

_SAMPLE_FIELDS = (
    ("tx_lat", "<f8"),  # degrees
    ("tx_lon", "<f8"),
    ("message_seed", "<u8"),  # what the transmitter sends; the same for all receivers
    ("gdop", "<f4"),
    ("num_receivers", "<u4"),  # receivers of the sample, detecting or not
)
_RECEIVER_FIELDS = (
    ("receiver_lat", "<f8"),
    ("receiver_lon", "<f8"),
    ("noise_seed", "<u8"),  # noise and carrier phase of the receiver's recording
    ("altitude_m", "<f4"),
    ("snr_db", "<f4"),  # the truth, also where not detected: a model may see it only where `detected`
    ("distance_km", "<f4"),  # great-circle; the truth, never a model's input
    ("frequency_offset_hz", "<f4"),  # of the transmitter and the receiver together
    ("detected", "|b1"),
)


class DatasetFormatError(HeimdallError):
    """The folder holds no dataset that this version can read."""

    code = "dataset_damaged"


def sample_dtype(max_receivers: int) -> np.dtype[np.void]:
    fields: list[Any] = [*_SAMPLE_FIELDS, *((name, kind, (max_receivers,)) for name, kind in _RECEIVER_FIELDS)]
    return np.dtype(fields)


def empty_rows(num_samples: int, max_receivers: int) -> Rows:
    return np.zeros(num_samples, dtype=sample_dtype(max_receivers))


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.npy"


def receiver_mask(rows: Rows) -> npt.NDArray[np.bool_]:
    """[samples, max_receivers]: which entries of the padded arrays are receivers."""
    count: npt.NDArray[np.uint32] = rows["num_receivers"]
    width: int = rows["detected"].shape[1]
    return np.arange(width) < count[:, None]
