# pyright: reportUnknownMemberType=false
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from heimdall.domain.errors import CheckpointDamagedError
from heimdall.sdk import StopTraining
from heimdall.trainers.schedule import learning_rate
from tests.trainers.loop.toy import ToyConfig, ToyTask, context_of, digest, run, saved

CONTRACT_KEYS = {
    "epoch", "model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "scaler_state_dict", "rng",
    "best_val_loss", "best_epoch", "patience_counter", "train_loss", "val_loss", "val_rmse", "config", "manifest",
}  # fmt: skip


def test_a_run_reports_every_epoch_and_learns(tmp_path: Path) -> None:
    config = ToyConfig(epochs=30, learning_rate=0.05)
    context = context_of(tmp_path, config)
    trained = run(context, config, ToyTask(dropout=0.0))
    assert [row["epoch"] for row in context.metrics] == list(range(1, 31))
    first, last = context.metrics[0]["val_loss"], context.metrics[-1]["val_loss"]
    assert first is not None
    assert last is not None
    assert last < first / 5
    assert [row["learning_rate"] for row in context.metrics] == [learning_rate(config, e, 0) for e in range(1, 31)]
    assert trained.epoch == 30
    assert context.phases == ["training"]


@pytest.mark.parametrize("scheduler", ["cosine", "step", "plateau"])
@pytest.mark.parametrize("split", [1, 2, 3, 4])
def test_pausing_at_any_epoch_changes_no_bit(tmp_path: Path, scheduler: Any, split: int) -> None:
    config = ToyConfig(epochs=5, lr_scheduler=scheduler, early_stop_patience=2, early_stop_delta=0.0)
    losses = [1.0, 1.0, 0.9, 1.0, 0.8]
    straight = context_of(tmp_path / "straight", config)
    run(straight, config, ToyTask(val_losses=losses))
    first = context_of(tmp_path / "split", config, pause_at=split)
    with pytest.raises(StopTraining):
        run(first, config, ToyTask(val_losses=losses))
    assert first.is_paused
    second = first.next_attempt()
    run(second, config, ToyTask(val_losses=losses[split:]))
    assert second.took_over_at == (split, 3 * split)
    assert [*first.metrics, *second.metrics] == straight.metrics
    assert [*first.points, *second.points] == straight.points
    assert digest(saved(second, 5)) == digest(saved(straight, 5))


def test_a_killed_attempt_repeats_only_what_was_not_saved(tmp_path: Path) -> None:
    config = ToyConfig(epochs=3)
    straight = context_of(tmp_path / "straight", config)
    run(straight, config)
    killed = context_of(tmp_path / "killed", config, stop_at=6)  # in the second epoch
    with pytest.raises(StopTraining):
        run(killed, config)
    assert [report.epoch for report in killed.reports] == [1]
    task = ToyTask()
    following = killed.next_attempt()
    run(following, config, task)
    assert task.fresh == [False]
    assert digest(saved(following, 3)) == digest(saved(straight, 3))


def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    alone = ToyConfig(epochs=2)
    helped = replace(alone, num_workers=2)
    contexts = [context_of(tmp_path / str(config.num_workers), alone) for config in (alone, helped)]
    for context, config in zip(contexts, (alone, helped), strict=True):
        run(context, config)
    assert digest(saved(contexts[0], 2)) == digest(saved(contexts[1], 2))
    assert contexts[0].metrics == contexts[1].metrics


def test_another_seed_gives_another_order_and_other_weights(tmp_path: Path) -> None:
    tasks = [ToyTask(), ToyTask()]
    digests: list[str] = []
    for seed, task in enumerate(tasks):
        config = ToyConfig(epochs=1, seed=seed)
        context = context_of(tmp_path / str(seed), config)
        run(context, config, task)
        digests.append(digest(saved(context, 1)["model_state_dict"]))
    assert tasks[0].seen != tasks[1].seen
    assert digests[0] != digests[1]


def test_a_checkpoint_holds_what_the_contract_names_as_plain_values(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config)
    run(context, config)
    content: dict[str, Any] = torch.load(context.checkpoint_path(2), weights_only=True)
    assert content.keys() >= CONTRACT_KEYS
    assert content["rng"] == {"seed": 3, "epoch": 2}
    assert content["scheduler_state_dict"].keys() == {
        "best_value", "best_epoch", "epochs_without_improvement", "plateau_reductions"
    }  # fmt: skip
    assert content["metrics"] == {key: value for key, value in context.metrics[1].items() if key != "epoch"}
    assert content["config"] == content["manifest"]["config"] == vars(config)
    assert content["manifest"]["seed"] == 3
    assert content["manifest"]["machine"]["threads"] == 1
    assert context.reports[1].manifest == content["manifest"]
    assert context.reports[1].step == content["step"] == 6


def test_early_stopping_ends_the_run_and_stays_decided(tmp_path: Path) -> None:
    config = ToyConfig(epochs=10, early_stop_patience=2)
    context = context_of(tmp_path, config, pause_at=4)  # asked for at the epoch that ends it: no pause
    trained = run(context, config, ToyTask(val_losses=[1.0, 0.5, 0.6, 0.7, 0.1]))
    assert trained.epoch == 4
    assert trained.tally.best_epoch == 2
    assert [report.is_best for report in context.reports] == [True, True, False, False]
    after_kill = context.next_attempt()
    again = run(after_kill, config, ToyTask(val_losses=[0.0] * 10))
    assert again.epoch == 4
    assert again.metrics == trained.metrics
    assert after_kill.reports == []


def test_a_pause_asked_for_in_the_last_epoch_lets_the_job_complete(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config, pause_at=2)
    assert run(context, config).epoch == 2


def test_plateau_halves_the_rate_of_the_following_epochs(tmp_path: Path) -> None:
    config = ToyConfig(epochs=4, lr_scheduler="plateau", early_stop_patience=4, warmup_epochs=0, learning_rate=0.8)
    context = context_of(tmp_path, config)
    run(context, config, ToyTask(val_losses=[1.0, 1.0, 1.0, 1.0]))
    assert [row["learning_rate"] for row in context.metrics] == [0.8, 0.8, 0.8, 0.4]


def test_without_validation_everything_follows_the_training_loss(tmp_path: Path) -> None:
    config = ToyConfig(epochs=3)
    context = context_of(tmp_path, config)
    trained = run(context, config, ToyTask(num_val=0))
    assert all(row["val_loss"] is None and row["val_count"] is None for row in context.metrics)
    losses = [row["train_loss"] for row in context.metrics]
    assert trained.tally.best_value == min(value for value in losses if value is not None)
    assert saved(context, 3)["val_rmse"] is None


def test_a_loss_that_is_not_a_number_is_reported_and_never_best(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config)
    trained = run(context, config, ToyTask(val_losses=[math.nan, math.nan]))
    assert math.isnan(context.metrics[0]["val_loss"] or 0.0)
    assert trained.tally.best_epoch is None
    assert context.best_checkpoint() is None


def test_gradients_are_clipped_and_their_norm_before_is_reported(tmp_path: Path) -> None:
    free, tight = ToyConfig(epochs=1, max_grad_norm=1e9), ToyConfig(epochs=1, max_grad_norm=1e-3)
    contexts = [context_of(tmp_path / str(config.max_grad_norm), config) for config in (free, tight)]
    for context, config in zip(contexts, (free, tight), strict=True):
        run(context, config)
    norms = [context.metrics[0]["gradient_norm"] or 0.0 for context in contexts]
    assert min(norms) > 0.1
    moments = [
        max(
            float(state["exp_avg"].abs().max()) for state in saved(context, 1)["optimizer_state_dict"]["state"].values()
        )
        for context in contexts
    ]
    assert moments[1] <= 1e-3 < moments[0]


def test_keep_every_marks_every_nth_epoch(tmp_path: Path) -> None:
    config = ToyConfig(epochs=5, keep_every=2)
    context = context_of(tmp_path, config)
    run(context, config)
    assert [report.keep for report in context.reports] == [False, True, False, True, False]


def test_each_batch_is_logged_and_asks_whether_to_stop(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config)
    run(context, config)
    assert [step for step, _ in context.points] == [1, 2, 3, 4, 5, 6]
    assert context.points[0][1].keys() == {"train_loss", "learning_rate"}
    assert context.num_checks == 2 * (3 + 1)
    sizes, losses = [8, 8, 4], [values["train_loss"] for _, values in context.points[:3]]
    mean = sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / 20
    assert context.metrics[0]["train_loss"] == pytest.approx(mean, rel=1e-12)


def test_a_checkpoint_of_another_config_is_refused(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config)
    run(context, config)
    following = context.next_attempt(config={**vars(config), "epochs": 3})
    with pytest.raises(CheckpointDamagedError, match="another config"):
        run(following, replace(config, epochs=3))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config, pause_at=1)
    with pytest.raises(StopTraining):
        run(context, config)

    class OtherTask(ToyTask):
        def build_model(self, *, is_fresh: bool) -> torch.nn.Module:
            return torch.nn.Linear(3, 1)

    with pytest.raises(CheckpointDamagedError, match="does not fit"):
        run(context.next_attempt(), config, OtherTask())


def test_another_machine_is_named_in_the_warnings(tmp_path: Path) -> None:
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config, pause_at=1)
    with pytest.raises(StopTraining):
        run(context, config)
    following = context.next_attempt(threads=2)
    run(following, config)
    assert following.warnings == ["From epoch 2 on this job runs on another machine: threads was 1, is 2."]


def test_bf16_changes_the_result(tmp_path: Path) -> None:
    rows: list[Any] = []
    for precision in ("32", "bf16"):
        config = ToyConfig(epochs=1, precision=precision)
        context = context_of(tmp_path / precision, config)
        run(context, config)
        rows.append(context.metrics[0]["train_loss"])
    assert rows[0] != rows[1]
    assert rows[0] == pytest.approx(rows[1], rel=0.05)


def test_long_validations_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall.trainers.loop.ANNOUNCED_VALIDATION_SECONDS", 0.0)
    config = ToyConfig(epochs=2)
    context = context_of(tmp_path, config)
    run(context, config)
    assert context.phases == ["training", "validating", "training"]


def test_more_workers_than_cores_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall.trainers.batches.cpu_count", lambda: 1)
    config = ToyConfig(epochs=1, num_workers=16)
    context = context_of(tmp_path, config)
    run(context, config)
    assert context.metrics[0]["train_count"] == 20.0
