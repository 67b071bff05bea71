"""What is known of the trainer `paired` without loading torch."""

from typing import Literal

from pydantic import BaseModel

from heimdall.sdk import TrainerSpec

Mishap = Literal["none", "raise", "memory", "exit", "exit_0", "segfault", "kill", "stop"]


class PairedConfig(BaseModel):
    """The mishap happens to one rank in its second epoch, in the first attempt. `gate`: as of `DescentConfig`."""

    epochs: int = 4
    devices: int = 2
    mishap: Mishap = "none"
    at_rank: int = 1
    gate: str | None = None


SPEC = TrainerSpec(
    kind="paired",
    title="Paired",
    description="Fits a plane on two devices.",
    config_model=PairedConfig,
    run="tests.worker.paired:run",
)
