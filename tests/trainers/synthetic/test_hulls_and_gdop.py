import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall.trainers.synthetic.geometry import Floats, Hulls, east_north_km, gdop, great_circle_km

Seed = st.integers(0, 2**32 - 1)


def in_a_triangle(lon: Floats, lat: Floats, point: tuple[float, float]) -> bool:
    """Membership of a hull by definition: the point lies in the triangle of some three points (Carathéodory)."""
    x, y = point

    def side(a: int, b: int) -> float:
        return (lon[b] - lon[a]) * (y - lat[a]) - (lat[b] - lat[a]) * (x - lon[a])

    for a, b, c in itertools.combinations(range(len(lon)), 3):
        sides = side(a, b), side(b, c), side(c, a)
        if min(sides) >= 0 or max(sides) <= 0:
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(seed=Seed, count=st.integers(3, 15))
def test_membership_of_a_hull_by_its_definition(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(7, 10, 15), rng.uniform(44, 46, 15)
    hull = Hulls.of(lon[None], lat[None], (np.arange(15) < count)[None])
    points_lon, points_lat = rng.uniform(7, 10, 40), rng.uniform(44, 46, 40)
    expected = [in_a_triangle(lon[:count], lat[:count], point) for point in zip(points_lon, points_lat, strict=True)]
    assert hull.contains(points_lon, points_lat).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(seed=Seed)
def test_draws_lie_in_their_hull_and_fill_it_evenly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(7, 10, (1, 6)), rng.uniform(44, 46, (1, 6))
    hull = Hulls.of(lon, lat, np.ones((1, 6), dtype=bool))
    many = hull.of_sets(np.zeros(4000, dtype=np.intp))
    drawn_lon, drawn_lat = many.draw(rng)
    centre_lon, centre_lat = drawn_lon.mean(), drawn_lat.mean()
    small = Hulls(centre_lon + (hull.lon - centre_lon) * (1 - 1e-9), centre_lat + (hull.lat - centre_lat) * (1 - 1e-9))
    assert small.of_sets(np.zeros(4000, dtype=np.intp)).contains(drawn_lon, drawn_lat).mean() > 0.99
    half = Hulls(hull.lon[:, :1] / 2 + hull.lon / 2, hull.lat[:, :1] / 2 + hull.lat / 2)  # a quarter of its area
    assert half.area[0] == pytest.approx(hull.area[0] / 4)
    assert half.contains(drawn_lon, drawn_lat).mean() == pytest.approx(0.25, abs=0.035)  # five standard deviations


def test_the_area_of_a_square() -> None:
    hull = Hulls.of(np.array([[0.0, 2, 2, 0, 1]]), np.array([[0.0, 0, 2, 2, 1]]), np.ones((1, 5), dtype=bool))
    assert hull.area.tolist() == [4.0]


@settings(max_examples=100, deadline=None)
@given(seed=Seed, count=st.integers(3, 15))
def test_gdop_is_the_root_of_the_trace_of_the_inverse(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    tx_lat, tx_lon = rng.uniform(44, 46), rng.uniform(7, 10)
    lat, lon = rng.uniform(44, 46, 15), rng.uniform(7, 10, 15)
    detected = rng.permutation(np.arange(15) < count)
    rows: list[list[float]] = []
    for receiver in np.flatnonzero(detected):
        east = math.radians(lon[receiver] - tx_lon) * math.cos(math.radians(tx_lat))
        north = math.radians(lat[receiver] - tx_lat)
        rows.append([east / math.hypot(east, north), north / math.hypot(east, north)])
    h = np.array(rows)
    expected = math.sqrt(np.trace(np.linalg.inv(h.T @ h)))
    found = gdop(np.array([tx_lat]), np.array([tx_lon]), lat, lon, detected)
    assert found[0] == pytest.approx(expected, rel=1e-6)


def test_receivers_in_one_line_have_no_gdop() -> None:
    lat = np.array([45.0, 45.5, 44.5])
    detected = np.ones(3, dtype=bool)
    assert gdop(np.array([44.0]), np.array([8.0]), lat, np.full(3, 8.0), detected)[0] == math.inf
    assert gdop(np.array([44.0]), np.array([8.0]), lat, np.full(3, 8.0), np.zeros(3, dtype=bool))[0] == math.inf


def test_known_distances() -> None:
    quarter = great_circle_km(np.array([0.0]), np.array([0.0]), np.array([90.0]), np.array([0.0]))
    assert quarter[0] == pytest.approx(10_007.557, abs=0.01)
    turin_genoa = great_circle_km(np.array([45.044]), np.array([7.672]), np.array([44.395]), np.array([8.956]))
    assert turin_genoa[0] == pytest.approx(124.5, abs=0.5)


def test_east_and_north_agree_with_the_great_circle_nearby() -> None:
    east, north = east_north_km(np.array([45.2]), np.array([8.3]), np.array([45.0]), np.array([8.0]))
    distance = great_circle_km(np.array([45.2]), np.array([8.3]), np.array([45.0]), np.array([8.0]))
    assert math.hypot(east[0], north[0]) == pytest.approx(distance[0], rel=2e-3)
    west, _ = east_north_km(np.array([0.0]), np.array([179.0]), np.array([0.0]), np.array([-179.0]))
    assert west[0] == pytest.approx(-222.4, abs=0.1)
