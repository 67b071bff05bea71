"""What a trainer's author imports."""

from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk.context import DatasetFolder, EpochReport, TrainingContext
from heimdall.sdk.spec import TrainerSpec
from heimdall.sdk.stopping import StopTraining

__all__ = ["DatasetFolder", "EpochReport", "InvalidConfigError", "StopTraining", "TrainerSpec", "TrainingContext"]
