from pathlib import Path

import pytest

from heimdall.sdk import DatasetFolder
from heimdall.sdk.testing import FakeContext, TrainerContract
from heimdall.trainers.localization.train import run
from tests.trainers.localization.test_train import context_of


class TestContract(TrainerContract):
    @pytest.fixture(autouse=True)
    def with_dataset(self, dataset: DatasetFolder) -> None:
        self.dataset = dataset

    def new_context(self, folder: Path) -> FakeContext:
        return context_of(folder, self.dataset)

    def run(self, context: FakeContext) -> None:
        run(context)
