"""Positions on the sphere: distances, dilution of precision, convex hulls. Angles are degrees, arrays broadcast.

Hulls and uniform draws live in the plane of longitude and latitude, so that a grid in degrees has equal prior weights.
"""

from dataclasses import dataclass
from typing import Self

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
    """Convex hulls of sets of points, each as the list of its edges (anticlockwise) among all ordered pairs."""

    lon: Floats  # [sets, points]
    lat: Floats
    is_edge: Bools  # [sets, points, points]: from, to
    centre_lon: Floats  # [sets], a point inside
    centre_lat: Floats
    fan: Floats  # [sets, points, points]: area of the triangle centre, from, to; 0 where no edge

    @classmethod
    def of(cls, lon: Floats, lat: Floats, mask: Bools) -> Self:
        """Hulls of the points [sets, points] where `mask`; at least three a set, in general position."""
        lon = np.where(mask, lon, lon[:, :1])  # a padded point doubles the first one, which changes no hull
        lat = np.where(mask, lat, lat[:, :1])
        is_edge = mask[:, :, None] & mask[:, None, :] & ~np.eye(lon.shape[1], dtype=bool)
        for number in range(lon.shape[1]):
            is_edge &= _turn(lon, lat, lon[:, number], lat[:, number]) >= 0
        count = mask.sum(axis=1)
        centre_lon, centre_lat = (lon * mask).sum(axis=1) / count, (lat * mask).sum(axis=1) / count
        fan = np.where(is_edge, _turn(lon, lat, centre_lon, centre_lat) / 2, 0.0)
        return cls(lon, lat, is_edge, centre_lon, centre_lat, fan)

    @property
    def area(self) -> Floats:
        """[sets], square degrees."""
        return self.fan.sum(axis=(1, 2))

    def of_sets(self, sets: npt.NDArray[np.intp]) -> "Hulls":
        return Hulls(
            self.lon[sets],
            self.lat[sets],
            self.is_edge[sets],
            self.centre_lon[sets],
            self.centre_lat[sets],
            self.fan[sets],
        )

    def contains(self, lon: Floats, lat: Floats) -> Bools:
        """Whether point i lies in hull i, or (with one hull) each point in it."""
        return np.all(~self.is_edge | (_turn(self.lon, self.lat, lon, lat) >= 0), axis=(1, 2))

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """One uniform point (lon, lat) in each hull: a triangle of the fan by its area, a point in the triangle."""
        num_sets: int = self.lon.shape[0]
        num_points: int = self.lon.shape[1]
        shares = self.fan.reshape(num_sets, num_points**2).cumsum(axis=1)
        chosen = (shares > rng.random((num_sets, 1)) * shares[:, -1:]).argmax(axis=1)
        start, end = np.divmod(chosen, num_points)
        corner = rng.random((2, num_sets))
        u, v = np.where(corner.sum(axis=0) > 1, 1 - corner, corner)  # fold the square onto the triangle
        sets = np.arange(num_sets)

        def between(centre: Floats, points: Floats) -> Floats:
            return centre + u * (points[sets, start] - centre) + v * (points[sets, end] - centre)

        return between(self.centre_lon, self.lon), between(self.centre_lat, self.lat)


def _turn(lon: Floats, lat: Floats, point_lon: Floats, point_lat: Floats) -> Floats:
    """[sets, from, to]: twice the signed area of (from, to, point); positive where the point lies to the left."""
    x, y = lon - point_lon[:, None], lat - point_lat[:, None]
    return x[:, :, None] * y[:, None, :] - y[:, :, None] * x[:, None, :]
