"""The seven fixed Italian receivers."""

from typing import NamedTuple


class Receiver(NamedTuple):
    name: str
    lat: float
    lon: float
    altitude_m: float


FIXED_RECEIVERS = (
    Receiver("Aquila di Giaveno", 45.03, 7.27, 600.0),
    Receiver("Montanaro", 45.234, 7.857, 300.0),
    Receiver("Torino", 45.044, 7.672, 250.0),
    Receiver("Coazze", 45.048, 7.238, 700.0),
    Receiver("Passo del Giovi", 44.561, 8.956, 480.0),
    Receiver("Genova", 44.395, 8.956, 100.0),
    Receiver("Milano-Baggio", 45.478, 9.123, 120.0),
)
