import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from heimdall.datasets.recording import RECORDING_SAMPLES
from heimdall.trainers.localization.spec import SPEC, TrainingConfig, warnings

DEFAULTS: dict[str, Any] = {
    "dataset_id": None, "model_architecture": "auto", "pretrained": None, "freeze_backbone": False, "batch_size": 32,
    "num_workers": 4, "validation_split": 0.2, "n_mels": 128, "n_fft": 2048, "hop_length": 512, "epochs": 100,
    "learning_rate": 0.001, "weight_decay": 0.0001, "dropout_rate": 0.2, "lr_scheduler": "cosine", "warmup_epochs": 5,
    "early_stop_patience": 10, "early_stop_delta": 0.001, "max_grad_norm": 1.0, "accelerator": "auto", "devices": 1,
    "precision": "32", "min_snr_db": 10.0, "only_approved": True, "good_geometry_gdop": 5.0,
    "accuracy_radius_km": 25.0, "keep_every": 0, "seed": 42,
}  # fmt: skip


def test_fields_and_defaults_are_the_contracts() -> None:
    assert TrainingConfig().model_dump() == DEFAULTS


def test_every_field_is_described() -> None:
    properties = TrainingConfig.model_json_schema()["properties"]
    assert [name for name, field in properties.items() if not field.get("description")] == []
    assert properties["batch_size"]["maximum"] == 512


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("batch_size", [1, 512], [0, 513, 1.5, "8", True]),
        ("num_workers", [0, 16], [-1, 17]),
        ("validation_split", [0.0, 0.5, 0], [-0.1, 0.51]),
        ("n_mels", [1], [0]),
        ("n_fft", [512, RECORDING_SAMPLES], [0, RECORDING_SAMPLES + 1]),
        ("hop_length", [1, 2048], [0, 2049]),
        ("epochs", [1, 1000], [0, 1001]),
        ("learning_rate", [1e-9, 1], [0, 1.01]),
        ("weight_decay", [0], [-1e-9]),
        ("dropout_rate", [0, 0.9], [-0.1, 0.91]),
        ("lr_scheduler", ["step", "plateau"], ["linear", None]),
        ("warmup_epochs", [0, 5000], [-1]),
        ("early_stop_patience", [0, 1], [-1]),
        ("early_stop_delta", [0], [-0.1]),
        ("max_grad_norm", [0.1], [0]),
        ("accelerator", ["gpu", "cpu"], ["tpu"]),
        ("devices", [1, 8], [0]),
        ("precision", ["bf16", "16"], [32, "64"]),
        ("min_snr_db", [0], [-1]),
        ("good_geometry_gdop", [0.1], [0]),
        ("accuracy_radius_km", [0.1], [0]),
        ("keep_every", [0, 3], [-1]),
        ("seed", [0, 2**31 - 1], [-1, 2**31]),
        ("model_architecture", ["convnext_atto"], ["resnet"]),
        ("pretrained", [True, False, None], ["yes"]),
        ("freeze_backbone", [True], [1]),
        ("only_approved", [False], [0]),
    ],
)
def test_values_within_bounds_are_taken_and_others_refused(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(TrainingConfig.model_validate({field: value}), field) == value
    for value in bad:
        with pytest.raises(ValidationError) as caught:
            TrainingConfig.model_validate({field: value})
        assert caught.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_everywhere(value: float) -> None:
    numbers = [name for name, default in DEFAULTS.items() if isinstance(default, float)]
    assert len(numbers) == 9
    for name in numbers:
        with pytest.raises(ValidationError):
            TrainingConfig.model_validate({name: value})


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"n_fft": 256}, "hop_length"),  # the default hop no longer fits
        ({"pretrained": True, "model_architecture": "triangulation"}, "pretrained"),
        ({"pretrained": True, "model_architecture": "convnext_atto"}, "pretrained"),
        ({"precision": "16", "accelerator": "cpu"}, "precision"),
        ({"learning_rat": 0.1}, "learning_rat"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(fields: dict[str, Any], loc: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingConfig.model_validate(fields)
    assert [error["loc"] for error in caught.value.errors()] == [(loc,)]


def test_warnings_name_what_has_no_effect() -> None:
    given = TrainingConfig(model_architecture="triangulation", n_mels=64, freeze_backbone=True)
    assert warnings(given) == ["n_mels, freeze_backbone: only ConvNeXt models use this; triangulation ignores it."]
    assert warnings(TrainingConfig(model_architecture="convnext_atto", n_mels=64)) == []
    assert warnings(TrainingConfig(epochs=5)) == []  # a default that nobody gave
    lowered = warnings(TrainingConfig(epochs=5, warmup_epochs=7))
    assert lowered == ["warmup_epochs lowered from 7 to 4: the job has 5 epochs."]
    assert SPEC.warnings(TrainingConfig()) == []


def in_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_spec_loads_neither_torch_nor_numpy_nor_transformers() -> None:
    code = (
        "import sys, heimdall.trainers.localization.spec\n"
        "print([name for name in ('torch', 'numpy', 'transformers', 'pyarrow') if name in sys.modules])"
    )
    assert in_fresh_process(code) == "[]"


def test_preloading_runs_no_tensor_operation() -> None:
    """A child forked from a process that has run one hangs."""
    code = """
import importlib, os, torch
from torch.utils._python_dispatch import TorchDispatchMode
from heimdall.trainers.localization.spec import SPEC

class Nothing(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} ran while importing")

with Nothing():
    for name in SPEC.preload:
        importlib.import_module(name)
assert not torch.cuda.is_initialized()
child = os.fork()
if child == 0:
    x = torch.nn.Conv2d(3, 8, 3)(torch.rand(4, 3, 64, 64)).square().mean()
    x.backward()
    import io, pyarrow, pyarrow.parquet
    pyarrow.parquet.write_table(pyarrow.table({"a": list(range(100_000))}), io.BytesIO())
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert in_fresh_process(code) == "7"
