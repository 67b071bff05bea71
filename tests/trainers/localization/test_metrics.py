import math

import numpy as np
import pytest

from heimdall.trainers.localization.geometry import EARTH_RADIUS_KM, from_plane, great_circle_km, to_plane
from heimdall.trainers.localization.metrics import ELLIPSE_68, Positions, rmse, spread_of, train_metrics, val_metrics
from heimdall.trainers.localization.spec import TrainingConfig


def law_of_cosines_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    a, b, difference = math.radians(lat), math.radians(other_lat), math.radians(other_lon - lon)
    return EARTH_RADIUS_KM * math.acos(math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(difference))


def test_great_circle_agrees_with_the_law_of_cosines() -> None:
    rng = np.random.default_rng(1)
    lat, other_lat = rng.uniform(-89, 89, (2, 50))
    lon, other_lon = rng.uniform(-179, 179, (2, 50))
    expected = [law_of_cosines_km(*values) for values in zip(lat, lon, other_lat, other_lon, strict=True)]
    assert great_circle_km(lat, lon, other_lat, other_lon) == pytest.approx(expected)
    assert great_circle_km(lat, lon, lat, lon).max() == 0.0


def test_the_plane_is_inverted_exactly_and_keeps_short_distances() -> None:
    lat, lon = np.array([45.3]), np.array([8.2])
    east, north = to_plane(lat, lon, 45.0, 8.5)
    back = from_plane(east, north, 45.0, 8.5)
    assert np.allclose(np.concatenate(back), [45.3, 8.2], rtol=0, atol=1e-12)
    assert math.hypot(east[0], north[0]) == pytest.approx(law_of_cosines_km(45.3, 8.2, 45.0, 8.5), rel=2e-3)


def drawn(num_samples: int, inflate: float = 1.0) -> Positions:
    """True positions drawn from the predicted Gaussians, whose covariance is then multiplied by `inflate`."""
    rng = np.random.default_rng(2)
    factor = rng.normal(size=(num_samples, 2, 2)) * 10
    covariance = factor @ factor.swapaxes(1, 2) + np.eye(2) * 4
    offset = np.einsum("nij,nj->ni", np.linalg.cholesky(covariance), rng.normal(size=(num_samples, 2)))
    lat, lon = np.full(num_samples, 45.0), np.full(num_samples, 8.5)
    true_lat, true_lon = from_plane(offset[:, 0], offset[:, 1], lat, lon)
    return Positions(lat, lon, covariance * inflate, true_lat, true_lon, rng.uniform(0.5, 10.0, num_samples))


def test_a_68_percent_ellipse_holds_68_percent() -> None:
    assert drawn(20_000).is_inside_68().mean() == pytest.approx(0.68, abs=0.012)
    assert drawn(20_000, inflate=0.25).is_inside_68().mean() == pytest.approx(1 - 0.32**0.25, abs=0.012)
    assert 1 - math.exp(-ELLIPSE_68 / 2) == pytest.approx(0.68)


def test_figures_agree_with_brute_force() -> None:
    positions = drawn(500)
    config = TrainingConfig(accuracy_radius_km=12.0, good_geometry_gdop=3.0)
    errors = sorted(
        law_of_cosines_km(*values)
        for values in zip(positions.lat, positions.lon, positions.true_lat, positions.true_lon, strict=True)
    )
    figures = val_metrics(positions, config)
    assert figures["val_rmse"] == pytest.approx(math.sqrt(sum(error**2 for error in errors) / 500), rel=1e-6)
    assert figures["val_accuracy"] == sum(error <= 12.0 for error in errors) / 500
    assert figures["val_p50_km"] == pytest.approx((errors[249] + errors[250]) / 2, rel=1e-6)
    assert figures["val_p95_km"] == pytest.approx(errors[474], rel=0.02)
    good = positions.errors_km()[positions.gdop < 3.0]
    assert figures["val_rmse_good_geom"] == rmse(good)
    assert train_metrics(positions, config) == {
        "train_accuracy": figures["val_accuracy"],
        "train_rmse": figures["val_rmse"],
    }


def test_good_geometry_without_samples_is_null() -> None:
    figures = val_metrics(drawn(10), TrainingConfig(good_geometry_gdop=0.1))
    assert figures["val_rmse_good_geom"] is None


def test_without_a_part_all_its_figures_are_null() -> None:
    figures = val_metrics(None, TrainingConfig())
    assert figures.keys() == val_metrics(drawn(3), TrainingConfig()).keys()
    assert set(figures.values()) == {None}


def test_spread_makes_the_ellipse_hold_68_percent() -> None:
    rng = np.random.default_rng(4)
    cholesky = np.stack([rng.uniform(1, 2, 9000), rng.normal(size=9000), rng.uniform(1, 2, 9000)], axis=-1)
    first, second = rng.standard_t(4, size=(2, 9000))  # long tails
    target = np.stack([cholesky[:, 0] * first, cholesky[:, 1] * first + cholesky[:, 2] * second], axis=-1)
    mean = np.zeros((9000, 2))
    spread = spread_of(mean, cholesky, target)
    inside = (first**2 + second**2) / spread**2 <= ELLIPSE_68
    assert inside.mean() == pytest.approx(0.68, abs=2e-4)
    assert spread_of(mean, cholesky * spread, target) == pytest.approx(1.0)
    assert spread_of(mean * np.nan, cholesky, target) == 1.0
