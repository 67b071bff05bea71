# pyright: reportUnknownMemberType=false
"""ConvNeXt on each receiver's spectrogram, joined over the receivers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.models.convnext.configuration_convnext import ConvNextConfig
from transformers.models.convnext.modeling_convnext import ConvNextModel

from heimdall.domain.errors import InvalidConfigError
from heimdall.trainers.localization.data import NUM_FEATURES, SCALE_SNR_DB
from heimdall.trainers.localization.triangulation import Locator, ReceiverSet

WIDTH = 64
NUM_LAYERS = 2
NUM_CHANNELS = 3  # as the published weights: a spectrogram is shown as a grey image


@dataclass(frozen=True, slots=True)
class Size:
    depths: tuple[int, int, int, int]
    hidden_sizes: tuple[int, int, int, int]
    weights: str | None  # published on the Hugging Face hub under this name


SIZES: Mapping[str, Size] = {  # Liu et al. 2022, table 9; atto: the smallest of Woo et al. 2023
    "convnext_atto": Size((2, 2, 6, 2), (40, 80, 160, 320), None),
    "convnext_tiny": Size((3, 3, 9, 3), (96, 192, 384, 768), "facebook/convnext-tiny-224"),
    "convnext_small": Size((3, 3, 27, 3), (96, 192, 384, 768), "facebook/convnext-small-224"),
    "convnext_large": Size((3, 3, 27, 3), (192, 384, 768, 1536), "facebook/convnext-large-224"),
}


class SpectrogramLocator(Locator):
    """Spectrograms and features of receivers to a Gaussian over the transmitter's position."""

    def __init__(self, backbone: ConvNextModel, dropout_rate: float, *, freeze_backbone: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.is_frozen = freeze_backbone
        backbone.requires_grad_(not freeze_backbone)
        num_hidden = cast(list[int], backbone.config.hidden_sizes)[-1]
        self.see = nn.Linear(num_hidden, WIDTH)
        self.embed = nn.Sequential(nn.Linear(NUM_FEATURES, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.locate = ReceiverSet(WIDTH, NUM_LAYERS, dropout_rate)

    def train(self, mode: bool = True) -> "SpectrogramLocator":
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        is_detected = batch["features"][..., 2] > 0.5  # in the order of the spectrograms
        tokens = self.embed(batch["features"])
        seen = torch.zeros_like(tokens)
        seen[is_detected] = self._look(batch["spectrograms"]).to(tokens.dtype)
        return self.locate(tokens + seen, batch["mask"])

    def _look(self, spectrograms: Tensor) -> Tensor:
        """[K, height, width] in dB above the noise floor to [K, WIDTH]."""
        pixels = (spectrograms.float() / SCALE_SNR_DB)[:, None].expand(-1, NUM_CHANNELS, -1, -1)
        return self.see(self.backbone(pixel_values=pixels).pooler_output)


def build_backbone(name: str, dropout_rate: float) -> ConvNextModel:
    """The ConvNeXt of this size with random weights."""
    return ConvNextModel(_config(SIZES[name], dropout_rate))


def load_published(name: str, dropout_rate: float, *, may_download: bool) -> ConvNextModel | None:
    """The ConvNeXt of this size with its published weights; None when this machine does not have them.

    Raises:
        InvalidConfigError: with `may_download`, when they can neither be found nor fetched.
    """
    weights = SIZES[name].weights
    if weights is None:
        return None
    options: dict[str, Any] = {"config": _config(SIZES[name], dropout_rate), "use_safetensors": True}
    try:
        return ConvNextModel.from_pretrained(weights, local_files_only=not may_download, **options)
    except (OSError, ValueError) as error:
        if not may_download:
            return None
        raise InvalidConfigError(
            f"pretrained: the weights {weights} could not be loaded; run `hf download {weights}` on a machine with "
            "network access, copy its cache (HF_HOME) here, or set pretrained to null or false."
        ) from error


def _config(size: Size, dropout_rate: float) -> ConvNextConfig:
    return ConvNextConfig(
        num_channels=NUM_CHANNELS,
        depths=list(size.depths),
        hidden_sizes=list(size.hidden_sizes),
        drop_path_rate=dropout_rate,
    )
