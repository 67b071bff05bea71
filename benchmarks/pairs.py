"""Timing that survives a noisy machine: interleaved pairs, their ratio's median and quartiles."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median and quartiles of ours / theirs over the pairs, and the median of each (in the callers' unit)."""

    median: float
    lower_quartile: float
    upper_quartile: float
    ours: float
    theirs: float
    pairs: int

    def __str__(self) -> str:
        spread = f"{self.lower_quartile:.3f} to {self.upper_quartile:.3f}"
        return f"{self.median:.3f} ({spread}, {self.pairs} pairs; {self.ours:.4g} against {self.theirs:.4g})"


def paired(ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int = 15) -> Ratio:
    """Run both once unmeasured, then in turn; each returns what it cost."""
    ours(), theirs()
    costs = [(ours(), theirs()) if index % 2 else (theirs(), ours())[::-1] for index in range(pairs)]
    ratios = statistics.quantiles([first / second for first, second in costs], n=4)
    return Ratio(
        median=ratios[1],
        lower_quartile=ratios[0],
        upper_quartile=ratios[2],
        ours=statistics.median(first for first, _ in costs),
        theirs=statistics.median(second for _, second in costs),
        pairs=pairs,
    )


def save(name: str, figures: dict[str, Any]) -> None:
    """Write the figures of one benchmark to `results/{name}.json`."""
    RESULTS.mkdir(exist_ok=True)
    plain = {key: asdict(value) if isinstance(value, Ratio) else value for key, value in figures.items()}
    plain = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), **plain}
    (RESULTS / f"{name}.json").write_text(json.dumps(plain, indent=2) + "\n")
