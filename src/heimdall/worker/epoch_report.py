"""An epoch's report with plain numbers: a trainer may hand over those of any library."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from heimdall.domain.plain import real_number, whole_number
from heimdall.domain.text import clean, cut
from heimdall.sdk.context import EpochReport
from heimdall.worker.point_log import ROW_FIELDS, name_trouble


def plain_report(report: EpochReport, warn: Callable[[str], None]) -> EpochReport:
    """The same report. What can be spared and is wrong is left out with a warning.

    Raises: TypeError, ValueError (the epoch or the step is not a whole number).
    """
    return replace(
        report,
        epoch=whole_number("EpochReport.epoch", report.epoch, least=1),
        step=whole_number("EpochReport.step", report.step),
        metrics=plain_metrics(report.metrics, warn),
        is_best=bool(report.is_best),
        best_epoch=_optional("best_epoch", report.best_epoch, whole_number, warn),
        best_value=_optional("best_value", report.best_value, real_number, warn),
        keep=bool(report.keep),
        is_last=bool(report.is_last),
    )


def plain_metrics(metrics: Mapping[Any, Any], warn: Callable[[str], None]) -> dict[str, float | None]:
    plain: dict[str, float | None] = {}
    for name, value in metrics.items():
        trouble = name_trouble(name)
        if trouble is None and name in ROW_FIELDS:
            trouble = "every epoch's row has a field of that name."
        try:
            if trouble is None:
                plain[name] = None if value is None else real_number("it", value)
        except (TypeError, ValueError) as error:
            trouble = str(error)
        if trouble is not None:
            shown = cut(clean(name), 60) if isinstance(name, str) else type(name).__name__
            warn(f"The metric '{shown}' was left out: {trouble}")
    return plain


def _optional(name: str, value: Any, read: Callable[[str, Any], Any], warn: Callable[[str], None]) -> Any:
    if value is None:
        return None
    try:
        return read(f"EpochReport.{name}", value)
    except (TypeError, ValueError) as error:
        warn(str(error))
        return None
