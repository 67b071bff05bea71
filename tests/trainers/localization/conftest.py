from pathlib import Path

import pytest

from heimdall.datasets.reader import open_dataset
from heimdall.sdk import DatasetFolder
from heimdall.trainers.synthetic.spec import GenerateConfig
from heimdall.trainers.synthetic.train import generate_into


def ignore_progress(current: int, total: int, message: str) -> None:
    pass


def generated(path: Path, num_samples: int, *, use_random_receivers: bool = True, seed: int = 5) -> DatasetFolder:
    config = GenerateConfig(name="test", num_samples=num_samples, use_random_receivers=use_random_receivers, seed=seed)
    written = generate_into(path, config, progress=ignore_progress, raise_if_stopped=lambda: None)
    return DatasetFolder(id="dataset-1", name="test", path=path, sha256=written.sha256)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    """60 samples of 4 to 10 random receivers."""
    folder = generated(tmp_path_factory.mktemp("dataset"), 60)
    assert len(open_dataset(folder.path)) == 60
    return folder
