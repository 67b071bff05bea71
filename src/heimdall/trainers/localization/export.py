# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false
"""The files a localisation job leaves behind beside its checkpoints."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from heimdall.sdk import TrainingContext
from heimdall.trainers.localization.data import Indexes
from heimdall.trainers.localization.metrics import Positions
from heimdall.trainers.task import Split


def save_predictions(context: TrainingContext, parts: Mapping[Split, tuple[Indexes, Positions]]) -> None:
    """`predictions.parquet`: one row a sample, parts (train, val) one after the other."""
    table = pa.concat_tables(
        _table(split, indexes, positions) for split, (indexes, positions) in parts.items() if len(indexes)
    )

    def write(file: BinaryIO) -> None:
        pq.write_table(table, file)

    context.save_artifact("predictions.parquet", "predictions", write)


def _table(split: str, indexes: Indexes, positions: Positions) -> pa.Table:
    covariance = positions.covariance
    return pa.table(
        {
            "index": pa.array(indexes, pa.int64()),
            "split": pa.array([split], pa.string()).take(pa.array([0] * len(indexes), pa.int32())),
            "lat": positions.lat,
            "lon": positions.lon,
            "cov_ee": covariance[:, 0, 0],
            "cov_en": covariance[:, 0, 1],
            "cov_nn": covariance[:, 1, 1],
        }
    )


def save_config(context: TrainingContext) -> None:
    text = yaml.safe_dump(dict(context.config), sort_keys=False)
    _save_text(context, "config.yaml", "config", text)


def save_json(context: TrainingContext, name: str, artifact_type: str, content: Mapping[str, Any]) -> None:
    """Numbers that are not finite become null."""
    _save_text(context, name, artifact_type, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _save_text(context: TrainingContext, name: str, artifact_type: str, text: str) -> None:
    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    context.save_artifact(name, artifact_type, write)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value
