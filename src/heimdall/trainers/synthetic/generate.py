"""Draws samples. `likelihood.py` states the model that is drawn from here.

Draws come in blocks of 2,048 with random streams of their own, (seed, stream, block), so a block is the same whoever
computes it and whenever; the dataset is the accepted draws of block 0, 1, 2 … up to `num_samples`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from heimdall.datasets.format import Rows, empty_rows, receiver_mask
from heimdall.domain.errors import InvalidConfigError
from heimdall.trainers.synthetic.geometry import Bools, Floats, Hulls, gdop, great_circle_km
from heimdall.trainers.synthetic.propagation import PROPAGATION, Propagation
from heimdall.trainers.synthetic.receivers import FIXED_RECEIVERS
from heimdall.trainers.synthetic.spec import GenerateConfig

BLOCK_DRAWS = 2048
TRIES_FOR_POSITION = 64
DRAWS_BEFORE_GIVING_UP = 20_000
LEAST_ACCEPTED_SHARE = 1 / 1000

_PLACEMENT, _TRANSMISSION = 0, 1  # streams


@dataclass(slots=True)
class Draws:
    """What became of the draws."""

    drawn: int = 0
    accepted: int = 0
    rejected_no_position: int = 0
    rejected_too_few_receivers: int = 0
    rejected_gdop: int = 0

    def add(self, other: "Draws") -> None:
        for name, count in other.as_dict().items():
            setattr(self, name, getattr(self, name) + count)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    def raise_if_hopeless(self, config: GenerateConfig) -> None:
        if self.drawn < DRAWS_BEFORE_GIVING_UP or self.accepted >= self.drawn * LEAST_ACCEPTED_SHARE:
            return
        raise InvalidConfigError(
            f"Only {self.accepted} of {self.drawn} draws were accepted: "
            f"{self.rejected_too_few_receivers} were heard by fewer than {config.min_receivers} receivers, "
            f"{self.rejected_gdop} had a GDOP above {config.max_gdop:g}, "
            f"{self.rejected_no_position} found no position on the wanted side of the receivers' hull; "
            "change the area, the power or these limits."
        )


def accepted_rows(
    config: GenerateConfig, draws: Draws | None = None, propagation: Propagation = PROPAGATION
) -> Iterator[Rows]:
    """The samples of `config`, block by block; `draws` is kept up to date.

    Raises:
        InvalidConfigError: fewer than 1 in 1,000 draws are accepted.
    """
    total = Draws() if draws is None else draws
    block = 0
    while (missing := config.num_samples - total.accepted) > 0:
        rows, of_block = draw_block(config, block, propagation)
        total.add(of_block)
        total.raise_if_hopeless(config)
        yield rows[:missing]
        block += 1


def draw_block(config: GenerateConfig, block: int, propagation: Propagation = PROPAGATION) -> tuple[Rows, Draws]:
    """The accepted draws of one block."""
    rows = empty_rows(BLOCK_DRAWS, config.max_receivers)
    _place_receivers(rows, config, propagation, _rng(config.placement_seed, _PLACEMENT, block))
    rng = _rng(config.seed, _TRANSMISSION, block)
    has_position = _place_transmitters(rows, config, rng)
    _transmit(rows, config, propagation, rng)
    has_receivers = rows["detected"].sum(axis=1) >= config.min_receivers
    has_geometry = rows["gdop"] <= config.max_gdop
    accepted = has_position & has_receivers & has_geometry
    draws = Draws(
        drawn=len(rows),
        accepted=int(accepted.sum()),
        rejected_no_position=int((~has_position).sum()),
        rejected_too_few_receivers=int((has_position & ~has_receivers).sum()),
        rejected_gdop=int((has_position & has_receivers & ~has_geometry).sum()),
    )
    return rows[accepted], draws


def _rng(seed: int, stream: int, block: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream, block))))


def _place_receivers(rows: Rows, config: GenerateConfig, propagation: Propagation, rng: np.random.Generator) -> None:
    if not config.use_random_receivers:
        rows["num_receivers"] = len(FIXED_RECEIVERS)
        rows["receiver_lat"] = [receiver.lat for receiver in FIXED_RECEIVERS]
        rows["receiver_lon"] = [receiver.lon for receiver in FIXED_RECEIVERS]
        rows["altitude_m"] = [receiver.altitude_m for receiver in FIXED_RECEIVERS]
        return
    rows["num_receivers"] = rng.integers(config.min_receivers_count, config.max_receivers_count + 1, len(rows))
    shape, mask = rows["receiver_lat"].shape, receiver_mask(rows)
    rows["receiver_lat"] = np.where(mask, rng.uniform(config.area_lat_min, config.area_lat_max, shape), 0.0)
    rows["receiver_lon"] = np.where(mask, rng.uniform(config.area_lon_min, config.area_lon_max, shape), 0.0)
    altitude = rng.uniform(propagation.random_altitude_min_m, propagation.random_altitude_max_m, shape)
    rows["altitude_m"] = np.where(mask, altitude, 0.0)


def _place_transmitters(rows: Rows, config: GenerateConfig, rng: np.random.Generator) -> Bools:
    """Put each transmitter inside or outside of its receivers' hull, in the area. False where no place was found."""
    hulls = Hulls.of(rows["receiver_lon"], rows["receiver_lat"], receiver_mask(rows))
    wants_inside = rng.random(len(rows)) < config.inside_ratio
    missing = np.arange(len(rows))
    for _ in range(TRIES_FOR_POSITION):
        inside = wants_inside[missing]
        lon, lat, is_good = np.empty(len(missing)), np.empty(len(missing)), np.empty(len(missing), dtype=bool)
        lon[inside], lat[inside] = hulls.of_sets(missing[inside]).draw(rng)
        is_good[inside] = _in_area(config, lat[inside], lon[inside])
        lon[~inside] = rng.uniform(config.area_lon_min, config.area_lon_max, (~inside).sum())
        lat[~inside] = rng.uniform(config.area_lat_min, config.area_lat_max, (~inside).sum())
        is_good[~inside] = ~hulls.of_sets(missing[~inside]).contains(lon[~inside], lat[~inside])
        rows["tx_lon"][missing], rows["tx_lat"][missing] = lon, lat
        missing = missing[~is_good]
        if not len(missing):
            break
    return ~np.isin(np.arange(len(rows)), missing)


def _in_area(config: GenerateConfig, lat: Floats, lon: Floats) -> Bools:
    in_lat = (lat >= config.area_lat_min) & (lat <= config.area_lat_max)
    return in_lat & (lon >= config.area_lon_min) & (lon <= config.area_lon_max)


def _transmit(rows: Rows, config: GenerateConfig, propagation: Propagation, rng: np.random.Generator) -> None:
    """Fill in what each receiver gets. Numbers are rounded as stored before anything is decided by them."""
    mask = receiver_mask(rows)
    lat, lon = rows["receiver_lat"], rows["receiver_lon"]
    distance = great_circle_km(rows["tx_lat"][:, None], rows["tx_lon"][:, None], lat, lon)
    line_of_sight = propagation.is_line_of_sight(distance, rows["altitude_m"])
    snr = propagation.median_snr_db(distance, tx_power_dbm=config.tx_power_dbm, frequency_mhz=config.frequency_mhz)
    snr += propagation.draw_shadowing_db(rng, mask.shape) + propagation.draw_fading_db(rng, line_of_sight)
    offset = rng.normal(0.0, propagation.frequency_offset_ppm * config.frequency_mhz, mask.shape)
    rows["distance_km"] = np.where(mask, distance, 0.0)
    rows["snr_db"] = np.where(mask, snr, 0.0)
    rows["frequency_offset_hz"] = np.where(mask, offset, 0.0)
    rows["noise_seed"] = np.where(mask, rng.integers(0, 2**63, mask.shape, dtype=np.uint64), np.uint64(0))
    rows["message_seed"] = rng.integers(0, 2**63, len(rows), dtype=np.uint64)
    rows["detected"] = mask & (rows["snr_db"].astype(np.float64) >= config.min_snr_db)
    rows["gdop"] = gdop(rows["tx_lat"], rows["tx_lon"], lat, lon, rows["detected"])
