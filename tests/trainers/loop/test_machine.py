# pyright: reportUnknownMemberType=false
import warnings

import pytest
import torch

from heimdall.domain.errors import InvalidConfigError
from heimdall.trainers.machine import describe, differences, make_repeatable, open_fabric
from tests.trainers.loop.toy import ToyConfig

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@without_gpu
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ToyConfig(accelerator="gpu"), "no GPU"),
        (ToyConfig(precision="16", accelerator="auto"), '"16" needs a GPU'),
        (ToyConfig(devices=10_000), "devices: 10000 are asked for"),
    ],
)
def test_what_the_machine_cannot_do_is_refused_with_the_fields_name(config: ToyConfig, message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        open_fabric(config)


def test_bf16_computes_in_bfloat16_on_a_cpu() -> None:
    fabric = open_fabric(ToyConfig(precision="bf16"))
    with fabric.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_repeatable_means_fixed_threads_and_deterministic_kernels() -> None:
    before = torch.get_num_threads()
    with warnings.catch_warnings(action="error"):
        make_repeatable(1)
    described = describe(torch.device("cpu"))
    assert (described["threads"], described["deterministic"], described["cudnn_benchmark"]) == (1, True, False)
    assert described["libraries"]["torch"] == torch.__version__
    torch.set_num_threads(before)


def test_differences_name_what_changed() -> None:
    now = describe(torch.device("cpu"))
    before = {**now, "threads": 99, "libraries": {**now["libraries"], "torch": "1.0"}}
    assert differences(now, now) == []
    assert differences(before, now) == [
        f"threads was 99, is {now['threads']}",
        f"torch was 1.0, is {torch.__version__}",
    ]
