"""Positions on the earth as a sphere, and on the local plane around a centre."""

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6371.0088  # mean radius R1, IUGG
KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180.0

Floats = npt.NDArray[np.float64]
Degrees = Floats | float


def to_plane(lat: Floats, lon: Floats, centre_lat: Degrees, centre_lon: Degrees) -> tuple[Floats, Floats]:
    """East and north of the centre in km, on a plane scaled at the centre's latitude."""
    return (lon - centre_lon) * (KM_PER_DEGREE * np.cos(np.radians(centre_lat))), (lat - centre_lat) * KM_PER_DEGREE


def from_plane(east: Floats, north: Floats, centre_lat: Degrees, centre_lon: Degrees) -> tuple[Floats, Floats]:
    """Latitude and longitude of a point given in km: the inverse of `to_plane`."""
    return centre_lat + north / KM_PER_DEGREE, centre_lon + east / (KM_PER_DEGREE * np.cos(np.radians(centre_lat)))


def great_circle_km(lat: Floats, lon: Floats, other_lat: Floats, other_lon: Floats) -> Floats:
    """Distance by the haversine formula."""
    first, second = np.radians(lat), np.radians(other_lat)
    across = np.sin((second - first) / 2.0) ** 2
    along = np.cos(first) * np.cos(second) * np.sin(np.radians(other_lon - lon) / 2.0) ** 2
    return 2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(across + along, 0.0, 1.0)))
