"""What an epoch's predictions are worth."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from heimdall.trainers.localization.geometry import Floats, from_plane, great_circle_km, to_plane

ELLIPSE_68 = -2.0 * np.log(1.0 - 0.68)  # squared Mahalanobis radius that holds 68 % of a 2-D Gaussian


class MetricsConfig(Protocol):
    @property
    def good_geometry_gdop(self) -> float: ...
    @property
    def accuracy_radius_km(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Positions:
    """Predicted and true positions. Shapes: [samples]; `covariance` [samples, 2, 2] in km², axes east and north."""

    lat: Floats
    lon: Floats
    covariance: Floats
    true_lat: Floats
    true_lon: Floats
    gdop: Floats

    @classmethod
    def from_plane(
        cls, mean: Floats, covariance: Floats, *, centre: Floats, truth: Floats, gdop: Floats
    ) -> "Positions":
        """`mean` [samples, 2] is east and north of `centre` in km; `centre` and `truth` are latitude and longitude."""
        lat, lon = from_plane(mean[:, 0], mean[:, 1], centre[:, 0], centre[:, 1])
        return cls(lat, lon, covariance, truth[:, 0], truth[:, 1], gdop)

    def errors_km(self) -> Floats:
        return great_circle_km(self.lat, self.lon, self.true_lat, self.true_lon)

    def is_inside_68(self) -> npt.NDArray[np.bool_]:
        """Whether the true position lies in the predicted 68 % ellipse."""
        offset = np.stack(to_plane(self.true_lat, self.true_lon, self.lat, self.lon), axis=-1)
        solved = np.linalg.solve(self.covariance, offset[..., None])[..., 0]
        return (offset * solved).sum(axis=-1) <= ELLIPSE_68


def spread_of(mean: Floats, cholesky: Floats, target: Floats) -> float:
    """By how much predicted standard deviations must be multiplied for the 68 % ellipse to hold 68 % of the targets.

    Shapes: `mean` and `target` [samples, 2], `cholesky` [samples, 3] as (l_ee, l_ne, l_nn).
    """
    offset = target - mean
    first = offset[:, 0] / cholesky[:, 0]
    second = (offset[:, 1] - cholesky[:, 1] * first) / cholesky[:, 2]
    spread = float(np.sqrt(np.quantile(first**2 + second**2, 0.68) / ELLIPSE_68))
    return spread if np.isfinite(spread) and spread > 0.0 else 1.0


def train_metrics(positions: Positions | None, config: MetricsConfig) -> dict[str, float | None]:
    if positions is None:
        return dict.fromkeys(("train_accuracy", "train_rmse"))
    errors = positions.errors_km()
    return {"train_accuracy": _share(errors <= config.accuracy_radius_km), "train_rmse": rmse(errors)}


def val_metrics(positions: Positions | None, config: MetricsConfig) -> dict[str, float | None]:
    names = ("val_accuracy", "val_rmse", "val_rmse_good_geom", "val_p50_km", "val_p68_km", "val_p95_km")
    if positions is None:
        return dict.fromkeys((*names, "val_coverage_68"))
    errors = positions.errors_km()
    good = positions.gdop < config.good_geometry_gdop
    percentiles = np.quantile(errors, (0.5, 0.68, 0.95))
    values = (
        _share(errors <= config.accuracy_radius_km),
        rmse(errors),
        rmse(errors[good]) if good.any() else None,
        *(float(value) for value in percentiles),
    )
    return {**dict(zip(names, values, strict=True)), "val_coverage_68": _share(positions.is_inside_68())}


def rmse(errors: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def _share(hits: npt.NDArray[np.bool_]) -> float:
    return float(np.mean(hits, dtype=np.float64))
