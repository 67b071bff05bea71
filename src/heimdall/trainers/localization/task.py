# pyright: reportUnknownMemberType=false
"""The localisation trainer's part of the training loop."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from transformers.models.convnext.modeling_convnext import ConvNextModel

from heimdall.sdk import TrainingContext
from heimdall.trainers.localization.convnext import SpectrogramLocator, build_backbone, load_published
from heimdall.trainers.localization.data import Indexes, LocalizationSamples, Survey
from heimdall.trainers.localization.metrics import Positions, spread_of, train_metrics, val_metrics
from heimdall.trainers.localization.predict import locate, outputs_of, positions_of
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.triangulation import Locator, Triangulation, gaussian_nll, split_gaussian
from heimdall.trainers.task import Arrays, Metrics, Split, Step


class LocalizationTask:
    """Either architecture: both turn a batch into the Gaussian of `split_gaussian`."""

    def __init__(
        self,
        context: TrainingContext,
        config: TrainingConfig,
        architecture: str,
        *,
        survey: Survey,
        train_samples: LocalizationSamples,
        val_samples: LocalizationSamples | None,
    ) -> None:
        self.train_samples = train_samples
        self.val_samples = val_samples
        self._context = context
        self._config = config
        self._architecture = architecture
        self.survey = survey
        self.model: Locator = Locator()

    def build_model(self, *, is_fresh: bool) -> nn.Module:
        self.model = self._build(is_fresh=is_fresh)
        return self.model

    def _build(self, *, is_fresh: bool) -> Locator:
        dropout_rate = self._config.dropout_rate
        if self._architecture == "triangulation":
            return Triangulation(dropout_rate)
        backbone = self._published_backbone() if is_fresh else None
        if backbone is None:
            backbone = build_backbone(self._architecture, dropout_rate)
        return SpectrogramLocator(backbone, dropout_rate, freeze_backbone=self._config.freeze_backbone)

    def _published_backbone(self) -> ConvNextModel | None:
        wanted = self._config.pretrained
        if wanted is False:
            return None
        backbone = load_published(self._architecture, self._config.dropout_rate, may_download=wanted is True)
        if backbone is None:
            self._context.warn(
                f"pretrained: no published weights for {self._architecture} on this machine; training from scratch."
            )
        return backbone

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        is_fused = trained[0].device.type == "cpu"  # on a GPU a fused one cannot follow precision 16's scaler
        return AdamW(trained, lr=self._config.learning_rate, weight_decay=self._config.weight_decay, fused=is_fused)

    def step(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Step:
        mean, cholesky = split_gaussian(model(batch).float())
        loss = gaussian_nll(mean, cholesky, batch["target"])
        if not model.training:
            cholesky = cholesky * self.model.spread
        return Step(loss, outputs_of(batch, mean, cholesky))

    def metrics(self, split: Split, outputs: Arrays | None) -> Metrics:
        # Those of `train` also set the model's spread, which the same epoch's validation uses: they come first.
        if split == "train" and outputs is not None:
            spread = spread_of(*(outputs[name].astype(np.float64) for name in ("mean", "cholesky", "target")))
            self.model.spread.fill_(spread)
        positions = None if outputs is None else positions_of(outputs, self.survey)
        measure = train_metrics if split == "train" else val_metrics
        return measure(positions, self._config)

    def locate_all(self) -> dict[Split, tuple[Indexes, Positions]]:
        """Every sample of both splits, none of them mirrored."""
        splits: dict[Split, LocalizationSamples | None] = {"train": self.train_samples, "val": self.val_samples}
        return {
            split: (samples.indexes, locate(self.model, samples.unmirrored(), self.survey, self._context))
            for split, samples in splits.items()
            if samples is not None
        }
