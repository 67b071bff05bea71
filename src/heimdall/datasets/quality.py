"""Mean, least and largest of what tells a good dataset from a bad one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from heimdall.datasets.format import Rows


@dataclass(slots=True)
class _Range:
    count: int = 0
    total: float = 0.0
    least: float = math.inf
    largest: float = -math.inf

    def add(self, values: npt.NDArray[Any]) -> None:
        self.count += values.size
        self.total += float(values.sum(dtype=np.float64))
        self.least = min(self.least, float(values.min()))
        self.largest = max(self.largest, float(values.max()))

    def as_dict(self) -> dict[str, float]:
        return {"mean": self.total / self.count, "min": self.least, "max": self.largest}


def _measures(rows: Rows) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    detected = rows["detected"]
    yield "snr_db", rows["snr_db"][detected]
    yield "gdop", rows["gdop"]
    yield "receivers", detected.sum(axis=1)
    yield "distance_km", rows["distance_km"][detected]


@dataclass(slots=True)
class Quality:
    """Gathered chunk by chunk. All but `gdop` speak of the detecting receivers."""

    _ranges: dict[str, _Range] = field(default_factory=dict[str, _Range])

    def add(self, rows: Rows) -> None:
        """Take in at least one sample; each sample has a detecting receiver."""
        for name, values in _measures(rows):
            self._ranges.setdefault(name, _Range()).add(values)

    def as_dict(self) -> dict[str, dict[str, float]]:
        return {name: measured.as_dict() for name, measured in self._ranges.items()}
