# pyright: reportUnknownMemberType=false
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import DatasetFolder
from heimdall.trainers import checkpoint
from heimdall.trainers.localization import convnext
from heimdall.trainers.localization.convnext import SIZES, SpectrogramLocator, build_backbone, load_published
from heimdall.trainers.localization.data import NUM_FEATURES
from heimdall.trainers.localization.spec import WITHOUT_PUBLISHED_WEIGHTS
from heimdall.trainers.localization.train import run
from tests.trainers.localization.test_train import context_of

ATTO = "convnext_atto"


@pytest.mark.parametrize(
    ("name", "millions"), [(ATTO, 3.4), ("convnext_tiny", 27.8), ("convnext_small", 49.5), ("convnext_large", 196.2)]
)
def test_sizes_are_the_published_ones_without_their_classifier(name: str, millions: float) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, dropout_rate=0.1)
    assert sum(parameter.numel() for parameter in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_the_config_knows_which_sizes_have_published_weights() -> None:
    without = {name for name, size in SIZES.items() if size.weights is None}
    assert without == WITHOUT_PUBLISHED_WEIGHTS - {"triangulation"}


def locator(*, freeze_backbone: bool = False) -> SpectrogramLocator:
    torch.manual_seed(0)
    return SpectrogramLocator(build_backbone(ATTO, 0.5), 0.0, freeze_backbone=freeze_backbone)


def batch_of(detected: list[list[bool]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    flags = torch.tensor(detected)
    features = torch.randn(*flags.shape, NUM_FEATURES, generator=generator)
    features[..., 2] = flags.float()
    images = torch.randn(int(flags.sum()), 32, 40, generator=generator) * 10
    return {"features": features, "mask": torch.ones_like(flags), "spectrograms": images}


def test_each_spectrogram_belongs_to_its_receiver() -> None:
    """Taking a receiver and its spectrogram to another place of the sample changes nothing."""
    model = locator().eval()
    batch = batch_of([[True, False, True], [False, True, True]])
    order = torch.tensor([2, 0, 1])
    moved = {
        "features": batch["features"][:, order],
        "mask": batch["mask"],
        "spectrograms": batch["spectrograms"][[1, 0, 3, 2]],
    }
    assert torch.allclose(model(batch), model(moved), atol=1e-5)
    swapped = {**batch, "spectrograms": batch["spectrograms"][[1, 0, 3, 2]]}
    assert not torch.allclose(model(batch), model(swapped), atol=1e-5)


def test_a_frozen_backbone_stays_as_it_is_and_does_not_drop_paths() -> None:
    model = locator(freeze_backbone=True).train()
    batch = batch_of([[True, True, True]])
    assert torch.equal(model(batch), model(batch))
    model(batch).square().sum().backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    assert model.see.weight.grad is not None
    free = locator().train()
    assert not torch.equal(free(batch), free(batch))


def test_published_weights_are_loaded_when_this_machine_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: DatasetFolder
) -> None:
    torch.manual_seed(7)
    published = build_backbone(ATTO, 0.0)
    published.save_pretrained(tmp_path / "weights")
    size = replace(SIZES[ATTO], weights=str(tmp_path / "weights"))
    monkeypatch.setattr(convnext, "SIZES", {**SIZES, ATTO: size})
    context = context_of(
        tmp_path / "run", dataset, model_architecture=ATTO, pretrained=None, freeze_backbone=True, epochs=1
    )
    run(context)
    assert context.warnings == []
    weights = checkpoint.load(context.checkpoint_path(1))["model_state_dict"]
    for name, tensor in published.state_dict().items():
        assert torch.equal(weights[f"backbone.{name}"], tensor)


def test_without_weights_null_trains_from_scratch_and_says_so(tmp_path: Path, dataset: DatasetFolder) -> None:
    context = context_of(tmp_path, dataset, model_architecture=ATTO, pretrained=None, epochs=1)
    run(context)
    assert context.warnings == [
        "pretrained: no published weights for convnext_atto on this machine; training from scratch."
    ]


def test_demanded_weights_that_cannot_be_had_are_an_error_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = replace(SIZES["convnext_tiny"], weights=str(tmp_path))
    monkeypatch.setattr(convnext, "SIZES", {"convnext_tiny": size})
    with pytest.raises(InvalidConfigError, match=r"hf download .* set pretrained to null or false"):
        load_published("convnext_tiny", 0.1, may_download=True)
    assert load_published("convnext_tiny", 0.1, may_download=False) is None
