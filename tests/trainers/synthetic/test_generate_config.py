import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from heimdall.trainers.synthetic.spec import DEFAULT_CONFIG, SPEC, GenerateConfig

LEAST: dict[str, Any] = {"name": "test", "num_samples": 10}


def error_of(**fields: Any) -> tuple[tuple[int | str, ...], str]:
    """Where the one error lies, and its message."""
    with pytest.raises(ValidationError) as caught:
        GenerateConfig(**LEAST | fields)
    (error,) = caught.value.errors()
    return error["loc"], error["msg"]


def test_defaults_are_the_contract() -> None:
    assert GenerateConfig(**LEAST).model_dump() == LEAST | {
        "description": None,
        "use_random_receivers": True,
        "min_receivers_count": 4,
        "max_receivers_count": 10,
        "receiver_seed": None,
        "seed": 42,
        "area_lat_min": 44.0,
        "area_lat_max": 46.0,
        "area_lon_min": 7.0,
        "area_lon_max": 10.0,
        "inside_ratio": 0.7,
        "frequency_mhz": 145.0,
        "tx_power_dbm": 37.0,
        "min_snr_db": 3.0,
        "min_receivers": 3,
        "max_gdop": 10.0,
    }


def test_every_field_is_described() -> None:
    properties = GenerateConfig.model_json_schema()["properties"]
    assert all(field.get("description") for field in properties.values())


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 101},
        {"num_samples": 0},
        {"num_samples": 5_000_001},
        {"num_samples": 10.5},
        {"num_samples": "10"},
        {"num_samples": True},
        {"min_receivers_count": 2},
        {"max_receivers_count": 16},
        {"seed": -1},
        {"seed": 2**31},
        {"receiver_seed": -1},
        {"area_lat_min": -90.1},
        {"area_lon_max": 180.1},
        {"inside_ratio": 1.01},
        {"inside_ratio": -0.01},
        {"frequency_mhz": 29.9},
        {"frequency_mhz": 3001},
        {"tx_power_dbm": 51},
        {"tx_power_dbm": float("nan")},
        {"min_snr_db": -1},
        {"min_snr_db": float("inf")},
        {"min_receivers": 2},
        {"min_receivers": 16},
        {"max_gdop": 0.9},
        {"max_gdop": float("inf")},
        {"unknown": 1},
    ],
)
def test_a_value_out_of_bounds_is_an_error_at_its_field(fields: dict[str, Any]) -> None:
    loc, _ = error_of(**fields)
    assert loc == tuple(fields)


@pytest.mark.parametrize(
    ("fields", "loc", "message"),
    [
        ({"min_receivers_count": 12}, "max_receivers_count", "at least min_receivers_count (12)"),
        ({"area_lat_min": 46.0}, "area_lat_max", "greater than area_lat_min (46)"),
        ({"area_lon_min": 170.0, "area_lon_max": -170.0}, "area_lon_max", "over the date line is not possible"),
        ({"min_receivers": 11}, "min_receivers", "at most max_receivers_count (10)"),
        ({"min_receivers": 8, "use_random_receivers": False}, "min_receivers", "the number of fixed receivers (7)"),
    ],
)
def test_fields_that_do_not_fit_each_other(fields: dict[str, Any], loc: str, message: str) -> None:
    found_loc, found_message = error_of(**fields)
    assert found_loc == (loc,)
    assert message in found_message


def test_a_whole_number_is_a_fine_float() -> None:
    assert GenerateConfig(**LEAST, area_lat_min=45).area_lat_min == 45.0


def test_the_placement_follows_the_seed_when_left_out() -> None:
    assert GenerateConfig(**LEAST, seed=7).placement_seed == 7
    assert GenerateConfig(**LEAST, seed=7, receiver_seed=0).placement_seed == 0


def test_fields_given_in_vain_are_named() -> None:
    config = GenerateConfig(**LEAST, use_random_receivers=False, receiver_seed=3)
    assert SPEC.warnings(config) == ["Without effect with the fixed receivers: receiver_seed."]
    assert SPEC.warnings(GenerateConfig(**LEAST, receiver_seed=3)) == []


def test_the_default_dataset_is_fixed() -> None:
    assert (DEFAULT_CONFIG.name, DEFAULT_CONFIG.num_samples, DEFAULT_CONFIG.seed) == ("default", 2_000, 42)


def test_the_spec_loads_no_numpy() -> None:
    program = (
        "import sys; from heimdall.trainers.synthetic.spec import SPEC; "
        "assert SPEC.makes_dataset and SPEC.total_epochs(None) == 0; "
        "sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
