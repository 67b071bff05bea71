"""What the generator's samples say about the transmitter's position: its own likelihood, exact.

The generative model, one draw (all of it is drawn anew when the draw is rejected):

1. The number of receivers, their positions and altitudes: uniform in the area, or the seven fixed ones. H is their
   convex hull in the plane of longitude and latitude.
2. The position x: with probability `inside_ratio` uniform in H ∩ area, else uniform in area \\ H (in degrees).
3. For each receiver r on its own, at great-circle distance d from x:
       snr = median_snr_db(d) + S + F,   S ~ N(0, shadowing_db²),   F = 10 log10 P, E[P] = 1,
   P Rician (K = rician_k_db) within the radio horizon of r, Rayleigh beyond it.
   r detects when snr ≥ min_snr_db; otherwise only the miss is observed.
4. The draw is accepted when at least `min_receivers` detect and GDOP(x, detecting receivers) ≤ `max_gdop`.

Hence, for an accepted sample (the number of detecting receivers is observed, so it cancels),

    p(x | observed) ∝ prior(x | H) · Π_detected p(snr | d) · Π_missed P(snr < min_snr_db | d) · [GDOP(x) ≤ max_gdop].

Frequency offsets and seeds carry nothing about x. Arrays `lat`, `lon` are points of a grid [points], in degrees.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np

from heimdall.datasets.format import Rows
from heimdall.trainers.synthetic.geometry import Bools, Floats, Hulls, gdop, great_circle_km
from heimdall.trainers.synthetic.propagation import Propagation

_TABLE_DB = (-100.0, 60.0, 0.05)  # first, last, step of shadowing + fading


@dataclass(frozen=True, slots=True)
class ResidualTable:
    """Log density and log distribution function of shadowing + fading in dB, by quadrature over the fading."""

    grid_db: Floats
    log_density: Floats
    log_distribution: Floats

    @classmethod
    def of(cls, shadowing_db: float, rician_k: float) -> Self:
        """`rician_k` as a ratio; 0 is Rayleigh."""
        first, last, step = _TABLE_DB
        grid: Floats = np.linspace(first, last, round((last - first) / step) + 1)
        amplitude: Floats = np.linspace(0.0, 6.0, 6001)[1:]
        weight = _amplitude_density(amplitude, rician_k)
        weight /= weight.sum()
        fading_db = 20 * np.log10(amplitude)
        density = np.array([weight @ np.exp(-0.5 * ((point - fading_db) / shadowing_db) ** 2) for point in grid])
        density /= density.sum() * step
        distribution = np.cumsum((density[1:] + density[:-1]) / 2) * step
        tiny = np.finfo(np.float64).tiny
        return cls(
            grid,
            np.log(np.maximum(density, tiny)),
            np.log(np.maximum(np.concatenate([[0.0], np.minimum(distribution, 1.0)]), tiny)),
        )


def _amplitude_density(amplitude: Floats, k: float) -> Floats:
    """Rice density of an amplitude with mean power 1, up to a factor."""
    exponent = -(k + 1) * amplitude**2 - k
    return amplitude * np.exp(exponent) * np.i0(2 * amplitude * math.sqrt(k * (k + 1)))


_table = cache(ResidualTable.of)


@dataclass(frozen=True, slots=True)
class ObservationModel:
    """The model of one dataset, from its metadata (`DatasetReader.metadata`)."""

    config: Mapping[str, Any]
    propagation: Propagation

    @classmethod
    def of_dataset(cls, metadata: Mapping[str, Any]) -> Self:
        return cls(metadata["config"], Propagation.described(metadata["propagation"]))

    def median_snr_db(self, distance_km: Floats) -> Floats:
        power, frequency = self.config["tx_power_dbm"], self.config["frequency_mhz"]
        return self.propagation.median_snr_db(distance_km, tx_power_dbm=power, frequency_mhz=frequency)

    def log_snr_density(self, snr_db: Floats, distance_km: Floats, altitude_m: Floats) -> Floats:
        """log p(snr | distance), per dB; the arguments broadcast."""
        residual: Floats = snr_db - self.median_snr_db(distance_km)
        rician, rayleigh = self._tables()
        return np.where(
            self.propagation.is_line_of_sight(distance_km, altitude_m),
            np.interp(residual, rician.grid_db, rician.log_density),
            np.interp(residual, rayleigh.grid_db, rayleigh.log_density),
        )

    def log_miss_probability(self, distance_km: Floats, altitude_m: Floats) -> Floats:
        """log P(snr < min_snr_db | distance); the arguments broadcast."""
        residual: Floats = float(self.config["min_snr_db"]) - self.median_snr_db(distance_km)
        rician, rayleigh = self._tables()
        return np.where(
            self.propagation.is_line_of_sight(distance_km, altitude_m),
            np.interp(residual, rician.grid_db, rician.log_distribution),
            np.interp(residual, rayleigh.grid_db, rayleigh.log_distribution),
        )

    def detection_probability(self, distance_km: Floats, altitude_m: Floats) -> Floats:
        return -np.expm1(self.log_miss_probability(distance_km, altitude_m))

    def log_prior(self, lat: Floats, lon: Floats, receiver_lat: Floats, receiver_lon: Floats) -> Floats:
        """Log density per square degree of the position given the receivers [receivers] of the sample.

        Raises:
            ValueError: the receivers leave the area, so that H ∩ area is not H.
        """
        if not self._in_area(receiver_lat, receiver_lon).all():
            raise ValueError("the prior is known for receivers inside of the area only")
        hull = Hulls.of(receiver_lon[None], receiver_lat[None], np.ones((1, len(receiver_lat)), dtype=bool))
        config = self.config
        area = (config["area_lat_max"] - config["area_lat_min"]) * (config["area_lon_max"] - config["area_lon_min"])
        share, inside_area = float(config["inside_ratio"]), float(hull.area[0])
        density = np.where(hull.contains(lon, lat), share / inside_area, (1 - share) / (area - inside_area))
        with np.errstate(divide="ignore"):
            return np.where(self._in_area(lat, lon), np.log(density), -np.inf)

    def log_acceptance(
        self, lat: Floats, lon: Floats, receiver_lat: Floats, receiver_lon: Floats, detected: Bools
    ) -> Floats:
        """0 where a transmitter detected by these receivers would have been accepted, else -inf."""
        accepted = gdop(lat, lon, receiver_lat, receiver_lon, detected) <= self.config["max_gdop"]
        return np.where(accepted, 0.0, -np.inf)

    def log_posterior(self, row: np.void, lat: Floats, lon: Floats) -> Floats:
        """[points]: log p(x | what was observed in the sample `row`), up to a constant."""
        count = int(row["num_receivers"])
        rx_lat, rx_lon, altitude = (row[name][:count] for name in ("receiver_lat", "receiver_lon", "altitude_m"))
        snr, detected = row["snr_db"][:count], row["detected"][:count]
        distance = great_circle_km(lat[:, None], lon[:, None], rx_lat, rx_lon)
        heard, missed = detected, ~detected
        total = self.log_snr_density(snr[heard], distance[:, heard], altitude[heard]).sum(axis=1)
        total += self.log_miss_probability(distance[:, missed], altitude[missed]).sum(axis=1)
        total += self.log_prior(lat, lon, rx_lat, rx_lon)
        return total + self.log_acceptance(lat, lon, rx_lat, rx_lon, detected)

    def _tables(self) -> tuple[ResidualTable, ResidualTable]:
        spread = self.propagation.shadowing_db
        return _table(spread, 10 ** (self.propagation.rician_k_db / 10)), _table(spread, 0.0)

    def _in_area(self, lat: Floats, lon: Floats) -> Bools:
        config = self.config
        in_lat = (lat >= config["area_lat_min"]) & (lat <= config["area_lat_max"])
        return in_lat & (lon >= config["area_lon_min"]) & (lon <= config["area_lon_max"])


def posterior_mean(model: ObservationModel, rows: Rows, *, step_degrees: float) -> Floats:
    """[samples, 2]: latitude and longitude of the posterior mean of each row, on the centres of a grid of the area."""
    config = model.config
    lats = _centres(config["area_lat_min"], config["area_lat_max"], step_degrees)
    lons = _centres(config["area_lon_min"], config["area_lon_max"], step_degrees)
    lat, lon = (axis.ravel() for axis in np.meshgrid(lats, lons, indexing="ij"))
    means = np.empty((len(rows), 2))
    for number, row in enumerate(rows):
        log_posterior = model.log_posterior(row, lat, lon)
        weight = np.exp(log_posterior - log_posterior.max())
        means[number] = weight @ lat / weight.sum(), weight @ lon / weight.sum()
    return means


def _centres(least: float, largest: float, step: float) -> Floats:
    count = max(1, round((largest - least) / step))
    centres: Floats = least + (np.arange(count, dtype=np.float64) + 0.5) * ((largest - least) / count)
    return centres
