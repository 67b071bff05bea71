"""Positions on the sphere: distances, dilution of precision, convex hulls. Angles are degrees, arrays broadcast.

Hulls and uniform draws live in the plane of longitude and latitude, so that a grid in degrees has equal prior weights.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG


def great_circle_km(lat_a: Floats, lon_a: Floats, lat_b: Floats, lon_b: Floats) -> Floats:
    """Haversine distance."""
    a, b = np.radians(lat_a), np.radians(lat_b)
    half_chord = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half_chord, 1.0)))


def east_north_km(lat: Floats, lon: Floats, origin_lat: Floats, origin_lon: Floats) -> tuple[Floats, Floats]:
    """Coordinates in the plane that touches the sphere at the origin."""
    turn = (lon - origin_lon + 180.0) % 360.0 - 180.0
    east = EARTH_RADIUS_KM * np.radians(turn) * np.cos(np.radians(origin_lat))
    return east, EARTH_RADIUS_KM * np.radians(lat - origin_lat)


def gdop(tx_lat: Floats, tx_lon: Floats, lat: Floats, lon: Floats, detected: Bools) -> Floats:
    """sqrt(trace((HᵀH)⁻¹)), H the unit vectors from transmitter [...] to each detecting receiver [..., receivers].

    For two columns the trace is (number of rows) / det(HᵀH). Infinite when the vectors do not span the plane.
    """
    east, north = east_north_km(lat, lon, tx_lat[..., None], tx_lon[..., None])
    length = np.hypot(east, north)
    scale = np.where(detected, 1.0 / np.maximum(length, 1e-9), 0.0)
    east, north = east * scale, north * scale
    ee, nn, en = (east * east).sum(-1), (north * north).sum(-1), (east * north).sum(-1)
    determinant = ee * nn - en * en
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(determinant > 1e-12, np.sqrt((ee + nn) / determinant), np.inf)


@dataclass(frozen=True, slots=True)
class Hulls:
    """Convex hulls [sets, vertices], anticlockwise; a shorter one ends with its first vertex repeated."""

    lon: Floats
    lat: Floats

    @classmethod
    def of(cls, lon: Floats, lat: Floats, mask: Bools) -> Self:
        """Hulls of the points [sets, points] where `mask`, by gift wrapping; three or more in general position."""
        num_sets: int = lon.shape[0]
        num_points: int = lon.shape[1]
        sets = np.arange(num_sets)
        first = np.where(mask, lon, np.inf).argmin(axis=1)
        heading: Floats = np.full(num_sets, -np.pi / 2)
        ring = np.repeat(first[:, None], num_points, axis=1)
        for number in range(1, num_points):
            last = ring[:, number - 1]
            angle = np.arctan2(lat - lat[sets, last, None], lon - lon[sets, last, None])
            turn = angle - heading[:, None]
            turn = np.where(turn < 0, turn + 2 * np.pi, turn)
            turn[~mask] = np.inf
            turn[sets, last] = np.inf
            following = turn.argmin(axis=1)
            is_closed = (number > 1) & (last == first)
            ring[:, number] = np.where(is_closed, first, following)
            heading = angle[sets, following]
            if is_closed.all():
                break
        return cls(np.take_along_axis(lon, ring, axis=1), np.take_along_axis(lat, ring, axis=1))

    @property
    def area(self) -> Floats:
        """[sets], square degrees."""
        return self._turns(self.lon[:, 0], self.lat[:, 0]).sum(axis=1) / 2

    def of_sets(self, sets: npt.NDArray[np.integer[Any]]) -> "Hulls":
        return Hulls(self.lon[sets], self.lat[sets])

    def contains(self, lon: Floats, lat: Floats) -> Bools:
        """Whether point i lies in hull i, or (with one hull) each point in it."""
        return np.all(self._turns(lon, lat) >= 0, axis=1)

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """One uniform point (lon, lat) in each hull: a triangle of the first vertex's fan by area, a point in it."""
        num_sets: int = self.lon.shape[0]
        shares = self._turns(self.lon[:, 0], self.lat[:, 0]).cumsum(axis=1)
        start = (shares > rng.random((num_sets, 1)) * shares[:, -1:]).argmax(axis=1)
        corner = rng.random((2, num_sets))
        u, v = np.where(corner.sum(axis=0) > 1, 1 - corner, corner)  # fold the square onto the triangle
        sets = np.arange(num_sets)

        def in_triangle(ring: Floats) -> Floats:
            apex, left, right = ring[:, 0], ring[sets, start], np.roll(ring, -1, axis=1)[sets, start]
            return apex + u * (left - apex) + v * (right - apex)

        return in_triangle(self.lon), in_triangle(self.lat)

    def _turns(self, lon: Floats, lat: Floats) -> Floats:
        """[sets, edges]: twice the area of (edge, point); positive where the point lies to the edge's left."""
        x, y = self.lon - lon[:, None], self.lat - lat[:, None]
        return x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)
