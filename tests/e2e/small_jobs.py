"""Jobs whose epochs are short."""

from typing import Any


def small(dataset_id: str, **fields: Any) -> dict[str, Any]:
    """A config of which an epoch takes a fraction of a second."""
    return {
        "dataset_id": dataset_id,
        "model_architecture": "triangulation",
        "batch_size": 16,
        "num_workers": 0,
        "early_stop_patience": 0,
        "min_snr_db": 0.0,
        "warmup_epochs": 0,
        **fields,
    }


def slow(dataset_id: str, **fields: Any) -> dict[str, Any]:
    """A config whose epochs are long enough to act within one."""
    return small(dataset_id, **{"batch_size": 2, **fields})


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Epoch rows as they are whenever and in whichever attempt the epoch was trained."""
    dropped = {"attempt", "timestamp", "duration_seconds"}
    return [{name: value for name, value in row.items() if name not in dropped} for row in rows]
