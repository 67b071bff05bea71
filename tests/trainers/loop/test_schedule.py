import math
from typing import Any

import pytest

from heimdall.trainers.schedule import Tally, learning_rate, plateau_patience
from tests.trainers.loop.toy import ToyConfig


def rates(**fields: Any) -> list[float]:
    fields.setdefault("learning_rate", 1.0)
    config = ToyConfig(**fields)
    return [learning_rate(config, epoch, 0) for epoch in range(1, config.epochs + 1)]


def test_cosine_falls_from_the_full_rate_to_a_hundredth_at_the_last_epoch() -> None:
    assert rates(epochs=5, warmup_epochs=0) == pytest.approx(
        [0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2 for share in (0, 0.25, 0.5, 0.75, 1)]
    )


def test_warmup_rises_linearly_per_epoch_from_a_share_of_the_rate() -> None:
    assert rates(epochs=10, warmup_epochs=3, lr_scheduler="plateau")[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_starts_after_the_warmup() -> None:
    values = rates(epochs=10, warmup_epochs=3)
    assert values[3] == 1.0
    assert values[-1] == pytest.approx(0.01)


def test_warmup_not_shorter_than_the_job_is_lowered() -> None:
    assert rates(epochs=3, warmup_epochs=50) == pytest.approx([1 / 3, 2 / 3, 0.01])


def test_one_epoch_trains_at_the_full_rate() -> None:
    assert rates(epochs=1, warmup_epochs=5) == [1.0]


def test_step_takes_a_tenth_after_each_third_of_the_epochs() -> None:
    values = rates(epochs=9, warmup_epochs=0, lr_scheduler="step")
    assert values == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert rates(epochs=4, warmup_epochs=0, lr_scheduler="step") == pytest.approx([1, 1, 0.1, 0.01])


def test_plateau_halves_once_a_reduction() -> None:
    config = ToyConfig(lr_scheduler="plateau", learning_rate=0.8, warmup_epochs=0)
    assert [learning_rate(config, 3, reductions) for reductions in range(4)] == pytest.approx([0.8, 0.4, 0.2, 0.1])


@pytest.mark.parametrize(("patience", "expected"), [(10, 5), (3, 2), (1, 1), (0, 5)])
def test_plateau_patience_is_half_of_early_stopping_or_five(patience: int, expected: int) -> None:
    assert plateau_patience(ToyConfig(early_stop_patience=patience)) == expected


def tally_of(values: list[float], **fields: Any) -> Tally:
    tally = Tally()
    for epoch, value in enumerate(values, start=1):
        tally = tally.after(value, epoch, ToyConfig(**fields))
    return tally


def test_a_tie_keeps_the_earlier_epoch() -> None:
    assert tally_of([2.0, 1.0, 1.0]) == Tally(best_value=1.0, best_epoch=2, epochs_without_improvement=1)


def test_an_improvement_within_delta_is_the_best_model_but_costs_patience() -> None:
    tally = tally_of([1.0, 0.95, 0.94], early_stop_delta=0.1)
    assert tally == Tally(best_value=0.94, best_epoch=3, epochs_without_improvement=2)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_never_improves(value: float) -> None:
    assert tally_of([value, value]) == Tally(epochs_without_improvement=2)
    assert tally_of([1.0, value]).best_epoch == 1


def test_plateau_reduces_each_time_its_patience_is_used_up() -> None:
    fields: dict[str, Any] = {"lr_scheduler": "plateau", "early_stop_patience": 4}
    assert [tally_of([1.0] * count, **fields).plateau_reductions for count in range(1, 6)] == [0, 0, 1, 1, 2]
    assert tally_of([1.0] * 5, early_stop_patience=4).plateau_reductions == 0


def test_patience_runs_out_at_its_number_and_never_when_off() -> None:
    assert not tally_of([1.0] * 3).is_out_of_patience(ToyConfig(early_stop_patience=3))
    assert tally_of([1.0] * 4).is_out_of_patience(ToyConfig(early_stop_patience=3))
    assert not tally_of([1.0] * 40).is_out_of_patience(ToyConfig(early_stop_patience=0))
