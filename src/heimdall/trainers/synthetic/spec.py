"""The config of kind `synthetic`. Imports Pydantic and the standard library only."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from heimdall.domain.dataset import DEFAULT_DATASET
from heimdall.sdk.spec import TrainerSpec
from heimdall.trainers.synthetic.receivers import FIXED_RECEIVERS

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]

_ONLY_RANDOM = ("min_receivers_count", "max_receivers_count", "receiver_seed")


class GenerateConfig(BaseModel):
    """What `POST /synthetic/generate` takes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_default=True)

    name: str = Field(min_length=1, max_length=100, description="Unique name of the dataset.")
    description: str | None = Field(default=None, max_length=10_000, description="What the dataset is for.")
    num_samples: int = Field(ge=1, le=5_000_000, description="Accepted samples the dataset will hold.")
    use_random_receivers: bool = Field(
        default=True,
        description="true: receivers are placed at random in the area for every sample; false: the seven fixed ones.",
    )
    min_receivers_count: int = Field(default=4, ge=3, le=15, description="Fewest random receivers of a sample.")
    max_receivers_count: int = Field(default=10, ge=3, le=15, description="Most random receivers of a sample.")
    receiver_seed: Seed | None = Field(
        default=None, description="Seed of receiver placement alone; left out, it follows `seed`."
    )
    seed: Seed = Field(default=42, description="The same request with the same seed makes byte-identical samples.")
    area_lat_min: Latitude = Field(default=44.0, description="Southern edge of the area, degrees.")
    area_lat_max: Latitude = Field(default=46.0, description="Northern edge of the area, degrees.")
    area_lon_min: Longitude = Field(default=7.0, description="Western edge of the area, degrees.")
    area_lon_max: Longitude = Field(default=10.0, description="Eastern edge; the area must not cross the date line.")
    inside_ratio: float = Field(
        default=0.7, ge=0, le=1, description="Share of transmitters drawn inside the receivers' convex hull."
    )
    frequency_mhz: float = Field(default=145.0, ge=30, le=3000, description="Carrier frequency, MHz.")
    tx_power_dbm: float = Field(default=37.0, ge=0, le=50, description="Radiated power of the transmitter, dBm.")
    min_snr_db: float = Field(default=3.0, ge=0, description="A receiver detects at or above this SNR, dB.")
    min_receivers: int = Field(default=3, ge=3, le=15, description="Detecting receivers a sample needs.")
    max_gdop: float = Field(default=10.0, ge=1, description="A sample with a larger GDOP is rejected.")

    @field_validator("name")
    @classmethod
    def _name_is_visible(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value

    @field_validator("max_receivers_count")
    @classmethod
    def _max_receivers_count_fits(cls, value: int, info: ValidationInfo) -> int:
        fewest = info.data.get("min_receivers_count", value)
        if value < fewest:
            raise ValueError(f"must be at least min_receivers_count ({fewest})")
        return value

    @field_validator("area_lat_max", "area_lon_max")
    @classmethod
    def _area_is_ordered(cls, value: float, info: ValidationInfo) -> float:
        other = str(info.field_name).replace("max", "min")
        smallest = info.data.get(other)
        if smallest is not None and value <= smallest:
            hint = "; an area over the date line is not possible" if "lon" in other else ""
            raise ValueError(f"must be greater than {other} ({smallest:g}){hint}")
        return value

    @field_validator("min_receivers")
    @classmethod
    def _min_receivers_can_be_met(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("use_random_receivers") is False:
            most, name = len(FIXED_RECEIVERS), "the number of fixed receivers"
        else:
            most, name = info.data.get("max_receivers_count", value), "max_receivers_count"
        if value > most:
            raise ValueError(f"must be at most {name} ({most})")
        return value

    @property
    def max_receivers(self) -> int:
        """Receivers of the largest sample."""
        return self.max_receivers_count if self.use_random_receivers else len(FIXED_RECEIVERS)

    @property
    def placement_seed(self) -> int:
        return self.seed if self.receiver_seed is None else self.receiver_seed

    def samples_config(self) -> dict[str, Any]:
        """The fields on which the samples depend."""
        return self.model_dump(mode="json", exclude={"name", "description"})

    @classmethod
    def default_dataset(cls) -> Self:
        """The dataset that a job without `dataset_id` trains on."""
        return cls(
            name=DEFAULT_DATASET,
            description="Made by the first job that named no dataset.",
            num_samples=2_000,
            use_random_receivers=False,
            seed=42,
        )


DEFAULT_CONFIG = GenerateConfig.default_dataset()


def _warnings(config: Any) -> list[str]:
    """Name the fields that a valid config gave in vain."""
    if not isinstance(config, GenerateConfig) or config.use_random_receivers:
        return []
    idle = [name for name in _ONLY_RANDOM if name in config.model_fields_set]
    return [f"Without effect with the fixed receivers: {', '.join(idle)}."] if idle else []


SPEC = TrainerSpec(
    kind="synthetic",
    title="Synthetic radio data",
    description="Generates a dataset: transmitters at random positions, heard by several receivers through "
    "free-space loss, shadowing and fading.",
    config_model=GenerateConfig,
    run="heimdall.trainers.synthetic.train:run",
    preload=("heimdall.trainers.synthetic.train",),
    makes_dataset=True,
    total_epochs=lambda config: 0,
    warnings=_warnings,
)
