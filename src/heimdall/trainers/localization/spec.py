"""What the service knows of the localisation trainer: its config and its description. Pydantic only."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from heimdall.datasets.recording import RECORDING_SAMPLES
from heimdall.sdk.spec import TrainerSpec

Architecture = Literal["auto", "convnext_large", "convnext_small", "convnext_tiny", "convnext_atto", "triangulation"]

CONVNEXT_FIELDS = ("n_mels", "n_fft", "hop_length", "pretrained", "freeze_backbone")
WITHOUT_PUBLISHED_WEIGHTS = frozenset({"convnext_atto", "triangulation"})


class TrainingConfig(BaseModel):
    """Config of kind `localization`."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    dataset_id: Annotated[
        str | None, Field(max_length=64, description="Id of a ready dataset; left out, the dataset named `default`.")
    ] = None
    model_architecture: Annotated[
        Architecture, Field(description="The network; auto takes convnext_tiny on a GPU, else triangulation.")
    ] = "auto"
    pretrained: Annotated[
        bool | None,
        Field(
            description="true: published weights must load; false: from scratch; null: published weights when this "
            "machine has them, else from scratch with a warning."
        ),
    ] = None
    freeze_backbone: Annotated[bool, Field(description="Keep the ConvNeXt's weights as they are, train the rest.")] = (
        False
    )
    batch_size: Annotated[int, Field(ge=1, le=512, description="Samples per step, over all devices together.")] = 32
    num_workers: Annotated[
        int, Field(ge=0, le=16, description="Processes that read samples; at most the machine's cores are started.")
    ] = 4
    validation_split: Annotated[
        float, Field(ge=0.0, le=0.5, description="Share of the samples kept for validation; 0 for none.")
    ] = 0.2
    n_mels: Annotated[int, Field(ge=1, le=1024, description="Mel bands of a spectrogram.")] = 128
    n_fft: Annotated[int, Field(ge=1, le=RECORDING_SAMPLES, description="Samples per Fourier window.")] = 2048
    hop_length: Annotated[
        int, Field(ge=1, le=RECORDING_SAMPLES, description="Samples between two windows, at most n_fft.")
    ] = 512
    epochs: Annotated[int, Field(ge=1, le=1000, description="Passes over the training samples.")] = 100
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0, description="Highest learning rate of AdamW.")] = 0.001
    weight_decay: Annotated[float, Field(ge=0.0, description="Weight decay of AdamW.")] = 0.0001
    dropout_rate: Annotated[
        float, Field(ge=0.0, le=0.9, description="Dropout in the network; for ConvNeXt also the rate of drop path.")
    ] = 0.2
    lr_scheduler: Annotated[
        Literal["cosine", "step", "plateau"],
        Field(
            description="cosine: down to a hundredth at the last epoch; step: a tenth after each third of the epochs; "
            "plateau: half after half of early_stop_patience (5 when that is 0) epochs without improvement."
        ),
    ] = "cosine"
    warmup_epochs: Annotated[
        int, Field(ge=0, description="Epochs in which the learning rate rises; lowered to epochs - 1 when it is more.")
    ] = 5
    early_stop_patience: Annotated[
        int, Field(ge=0, description="Epochs without improvement after which training ends; 0 for never.")
    ] = 10
    early_stop_delta: Annotated[
        float, Field(ge=0.0, description="How much lower than the best a loss must be to count as improvement.")
    ] = 0.001
    max_grad_norm: Annotated[float, Field(gt=0.0, description="Gradients are scaled down to at most this norm.")] = 1.0
    accelerator: Annotated[Literal["auto", "gpu", "cpu"], Field(description="auto takes a GPU when there is one.")] = (
        "auto"
    )
    devices: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="Devices to train on, data-parallel when more than one: GPUs, or processes on a CPU.",
        ),
    ] = 1
    precision: Annotated[
        Literal["32", "bf16", "16"], Field(description="Number format of the forward pass; 16 needs a GPU.")
    ] = "32"
    min_snr_db: Annotated[
        float,
        Field(ge=0.0, description="Samples whose mean SNR over the detecting receivers is lower are left out (dB)."),
    ] = 10.0
    only_approved: Annotated[bool, Field(description="Leave out samples marked as not approved.")] = True
    good_geometry_gdop: Annotated[
        float, Field(gt=0.0, description="Samples with a smaller GDOP count for val_rmse_good_geom.")
    ] = 5.0
    accuracy_radius_km: Annotated[
        float, Field(gt=0.0, description="A sample located this close counts as accurate (km).")
    ] = 25.0
    keep_every: Annotated[int, Field(ge=0, description="Keep every Nth checkpoint for good; 0 for none.")] = 0
    seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="Seed of weights, sample order, split and augmentation.")
    ] = 42

    @field_validator("pretrained")
    @classmethod
    def _weights_are_published(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        architecture = info.data.get("model_architecture")
        if value and architecture in WITHOUT_PUBLISHED_WEIGHTS:
            raise ValueError(f"there are no published weights for {architecture}; set it to false or null")
        return value

    @field_validator("hop_length")
    @classmethod
    def _hop_length_is_within_window(cls, value: int, info: ValidationInfo) -> int:
        window = info.data.get("n_fft", value)
        if value > window:
            raise ValueError(f"must be at most n_fft ({window})")
        return value

    @field_validator("precision")
    @classmethod
    def _precision_is_possible(cls, value: str, info: ValidationInfo) -> str:
        if value == "16" and info.data.get("accelerator") == "cpu":
            raise ValueError('"16" needs a GPU; use "bf16" or "32" with accelerator cpu')
        return value


def warnings(config: TrainingConfig) -> list[str]:
    """What to tell the user about a valid config."""
    lines: list[str] = []
    given = [name for name in CONVNEXT_FIELDS if name in config.model_fields_set]
    if config.model_architecture == "triangulation" and given:
        lines.append(f"{', '.join(given)}: only ConvNeXt models use this; triangulation ignores it.")
    if "warmup_epochs" in config.model_fields_set and config.warmup_epochs >= config.epochs:
        lines.append(
            f"warmup_epochs lowered from {config.warmup_epochs} to {config.epochs - 1}: the job has "
            f"{config.epochs} {'epoch' if config.epochs == 1 else 'epochs'}."
        )
    return lines


SPEC = TrainerSpec(
    kind="localization",
    title="Radio localisation",
    description="Learns to locate a transmitter, with its uncertainty, from what several receivers heard of it.",
    config_model=TrainingConfig,
    run="heimdall.trainers.localization.train:run",
    preload=(
        "numpy",
        "pyarrow.parquet",
        "torch",
        "torch._dynamo",
        "lightning_fabric",
        "transformers.models.convnext.modeling_convnext",
        "sqlalchemy",
        "heimdall.trainers.localization.train",
    ),
    needs_dataset=True,
    warnings=warnings,
)
