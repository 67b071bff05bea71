"""From distance to signal-to-noise ratio: free space, excess loss, shadowing, fading, noise floor."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def _parameter(value: float, unit: str, source: str) -> Any:
    return field(default=value, metadata={"unit": unit, "source": source})


@dataclass(frozen=True, slots=True)
class Propagation:
    """Every constant of the channel; `describe` puts them into a dataset's metadata with unit and source."""

    free_space_constant_db: float = _parameter(32.4, "dB", "ITU-R P.525-4, eq. 4 (distance in km, frequency in MHz)")
    reference_distance_km: float = _parameter(1.0, "km", "log-distance model, Rappaport, Wireless Communications, 4.9")
    min_distance_km: float = _parameter(0.1, "km", "nearest distance the loss is evaluated at; far field of a mast")
    excess_exponent: float = _parameter(
        1.5, "1", "total slope 35 dB a decade: Okumura-Hata, 44.9 - 6.55 log10 h_b = 35.2 for a base height of 30 m"
    )
    shadowing_db: float = _parameter(8.0, "dB", "location variability at VHF, ITU-R P.370-7 (8.3 dB)")
    rician_k_db: float = _parameter(6.0, "dB", "open country with a line of sight, Rappaport 5.6")
    transmitter_height_m: float = _parameter(10.0, "m", "antenna above the plain: handheld or vehicle on a rise")
    horizon_km_per_root_m: float = _parameter(4.12, "km/sqrt(m)", "radio horizon, 4/3 earth radius, ITU-R P.834")
    thermal_noise_dbm_per_hz: float = _parameter(-174.0, "dBm/Hz", "k T at 290 K, ITU-R P.372-16")
    bandwidth_hz: float = _parameter(12_500.0, "Hz", "narrow-band FM channel, ETSI EN 300 086")
    noise_figure_db: float = _parameter(
        10.0,
        "dB",
        "receiver 6 dB with rural man-made noise 67.2 - 27.7 log10(145) = 7.3 dB (ITU-R P.372-16), and 0.8 dB of cable",
    )
    frequency_offset_ppm: float = _parameter(1.0, "ppm", "standard deviation; temperature-compensated oscillators")
    random_altitude_min_m: float = _parameter(100.0, "m", "lowest of the fixed receivers")
    random_altitude_max_m: float = _parameter(700.0, "m", "highest of the fixed receivers")

    @property
    def noise_floor_dbm(self) -> float:
        return self.thermal_noise_dbm_per_hz + 10 * math.log10(self.bandwidth_hz) + self.noise_figure_db

    def describe(self) -> dict[str, dict[str, Any]]:
        return {one.name: {"value": getattr(self, one.name), **one.metadata} for one in fields(self)}

    @classmethod
    def described(cls, description: Mapping[str, Mapping[str, Any]]) -> Self:
        """The inverse of `describe`."""
        return cls(**{name: parameter["value"] for name, parameter in description.items()})

    def median_snr_db(self, distance_km: Floats, *, tx_power_dbm: float, frequency_mhz: float) -> Floats:
        """SNR without shadowing and fading."""
        distance = np.log10(np.maximum(distance_km, self.min_distance_km))
        free_space = self.free_space_constant_db + 20 * math.log10(frequency_mhz) + 20 * distance
        excess = 10 * self.excess_exponent * np.maximum(distance - math.log10(self.reference_distance_km), 0.0)
        return tx_power_dbm - free_space - excess - self.noise_floor_dbm

    def is_line_of_sight(self, distance_km: Floats, altitude_m: Floats) -> Bools:
        """Within the radio horizon fading is Rician, beyond it Rayleigh."""
        horizon = self.horizon_km_per_root_m * (math.sqrt(self.transmitter_height_m) + np.sqrt(altitude_m))
        return distance_km <= horizon

    def draw_shadowing_db(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return rng.normal(0.0, self.shadowing_db, shape)

    def draw_fading_db(self, rng: np.random.Generator, line_of_sight: Bools) -> Floats:
        """10 log10 of a power of mean 1: |sqrt(K/(K+1)) + g/sqrt(K+1)|², g complex normal; K = 0 is Rayleigh."""
        k = np.where(line_of_sight, 10 ** (self.rician_k_db / 10), 0.0)
        real, imaginary = rng.standard_normal((2, *line_of_sight.shape)) * math.sqrt(0.5)
        power = ((np.sqrt(k) + real) ** 2 + imaginary**2) / (k + 1)
        return 10 * np.log10(np.maximum(power, 1e-12))


PROPAGATION = Propagation()
