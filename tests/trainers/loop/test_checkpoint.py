# pyright: reportUnknownMemberType=false
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from heimdall.domain.errors import CheckpointDamagedError
from heimdall.trainers.checkpoint import HASHED_PARTS, Snapshot, load, owned_copy, sha256_of


def content() -> dict[str, Any]:
    return {
        "model_state_dict": {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(4)},
        "optimizer_state_dict": {
            "state": {0: {"step": torch.tensor(1.0)}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        },
        "scheduler_state_dict": {"best_value": None},
        "scaler_state_dict": {},
        "metrics": {"train_loss": 0.5, "val_loss": None},
    }


def test_a_snapshot_does_not_follow_later_changes(tmp_path: Path) -> None:
    state = content()
    snapshot = Snapshot(state, {"epoch": 1})
    state["model_state_dict"]["weight"].zero_()
    path = tmp_path / "last.pth"
    with path.open("wb") as file:
        snapshot.write(file)
    loaded = load(path)
    assert torch.equal(loaded["model_state_dict"]["weight"], torch.arange(6.0).reshape(2, 3))
    assert loaded["manifest"]["epoch"] == 1


def test_writing_fills_the_manifest_with_the_digest_of_every_part() -> None:
    snapshot = Snapshot(content(), {})
    snapshot.write(io.BytesIO())
    assert set(snapshot.manifest["sha256"]) == set(HASHED_PARTS)
    assert snapshot.manifest["sha256"]["model_state_dict"] == sha256_of(content()["model_state_dict"])


def test_a_digest_depends_on_names_types_shapes_and_bytes() -> None:
    weight = torch.arange(6.0)
    variants: list[Any] = [
        {"a": weight},
        {"b": weight},
        {"a": weight.double()},
        {"a": weight.reshape(2, 3)},
        {"a": weight + 1e-7},
        {"a": weight.bfloat16()},
        {"a": weight.tolist()},
        {"a": [weight]},
    ]
    assert len({sha256_of(variant) for variant in variants}) == len(variants)
    assert sha256_of({"a": weight, "b": 1}) == sha256_of({"b": 1, "a": weight.clone()})


def test_a_copy_is_plain_and_shares_no_memory() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    copied = owned_copy({"w": weight, "pair": (1, weight)})
    assert type(copied["w"]) is torch.Tensor
    assert not copied["w"].requires_grad
    assert copied["w"].data_ptr() != weight.data_ptr()
    assert copied["pair"][0] == 1


@pytest.mark.parametrize("damage", ["cut", "garbage", "missing", "empty"])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "last.pth"
    with path.open("wb") as file:
        Snapshot(content(), {}).write(file)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"x" * 500, "empty": b""}[damage])
    with pytest.raises(CheckpointDamagedError, match=r"last\.pth cannot be read"):
        load(path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_loading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"bomb": Bomb()}, "last.pth")
    with pytest.raises(CheckpointDamagedError):
        load(Path("last.pth"))
    assert not Path("exploded").exists()
