# pyright: reportUnknownMemberType=false
"""The attention network over any number of receivers, and the Gaussian it predicts."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from heimdall.trainers.localization.data import NUM_FEATURES

WIDTH = 64
NUM_HEADS = 4
NUM_LAYERS = 3
SMALLEST_SCALE = 1e-3  # of the covariance's Cholesky diagonal, in units of SCALE_KM


class Locator(nn.Module):
    """A network from a batch to a Gaussian [B, 5] over the transmitter's position: see `split_gaussian`.

    True positions are not quite Gaussian: a narrow peak with long tails leaves 72 % of them inside the 68 % ellipse of
    the Gaussian that fits best, here as for the exact posterior. `spread` makes the ellipse mean what it says: it
    multiplies the predicted standard deviations, and follows from the training samples of each epoch.
    """

    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("spread", torch.ones(()))

    def predict(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean [B, 2] and Cholesky factor [B, 3], with `spread`."""
        mean, cholesky = split_gaussian(self(batch).float())
        return mean, cholesky * self.spread


class Triangulation(Locator):
    """Attention over the features of the receivers."""

    def __init__(self, dropout_rate: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(NUM_FEATURES, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.locate = ReceiverSet(WIDTH, NUM_LAYERS, dropout_rate)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.locate(self.embed(batch["features"]), batch["mask"])


class ReceiverSet(nn.Module):
    """Tokens of receivers [B, R, width] and their mask [B, R] to a Gaussian [B, 5]: see `split_gaussian`."""

    def __init__(self, width: int, num_layers: int, dropout_rate: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ReceiverLayer(width, dropout_rate) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Dropout(dropout_rate), nn.Linear(2 * width, 5)
        )

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        penalty = torch.zeros(mask.shape, dtype=tokens.dtype, device=tokens.device).masked_fill(~mask, -1e4)
        for layer in self.layers:
            tokens = layer(tokens, penalty[:, None, None, :])
        tokens = self.norm(tokens)
        weight = mask[..., None].to(tokens.dtype)
        mean = (tokens * weight).sum(dim=1) / weight.sum(dim=1)
        highest = (tokens + penalty[..., None]).amax(dim=1)
        return self.head(torch.cat([mean, highest], dim=-1))


class ReceiverLayer(nn.Module):
    """Receivers look at each other, then each thinks for itself."""

    def __init__(self, width: int, dropout_rate: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout_rate),
            nn.Linear(2 * width, width),
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, tokens: Tensor, penalty: Tensor) -> Tensor:
        tokens = tokens + self.dropout(self._attend(self.attention_norm(tokens), penalty))
        return tokens + self.dropout(self.feed_forward(tokens))

    def _attend(self, tokens: Tensor, penalty: Tensor) -> Tensor:
        """Plain products instead of fused attention: as fast for ten receivers, and deterministic on every device."""
        num_samples, num_receivers, width = tokens.shape
        parts = self.query_key_value(tokens).view(num_samples, num_receivers, 3, NUM_HEADS, width // NUM_HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // NUM_HEADS) + penalty
        mixed = scores.softmax(dim=-1) @ value
        return self.output(mixed.transpose(1, 2).reshape(num_samples, num_receivers, width))


def split_gaussian(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 5] to mean [B, 2] and the lower Cholesky factor [B, 3] as (l_ee, l_ne, l_nn), in units of SCALE_KM."""
    scale = functional.softplus(raw[:, 2::2]) + SMALLEST_SCALE
    return raw[:, :2], torch.stack([scale[:, 0], raw[:, 3], scale[:, 1]], dim=-1)


def gaussian_nll(mean: Tensor, cholesky: Tensor, target: Tensor) -> Tensor:
    """Mean negative log likelihood of `target` [B, 2] under N(mean, L Lᵀ), in nats."""
    east, north = (target - mean).unbind(dim=-1)
    l_ee, l_ne, l_nn = cholesky.unbind(dim=-1)
    first = east / l_ee
    second = (north - l_ne * first) / l_nn
    return (0.5 * (first**2 + second**2) + l_ee.log() + l_nn.log() + math.log(2.0 * math.pi)).mean()
