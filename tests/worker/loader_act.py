"""A DataLoader whose worker processes log."""

import logging
import os

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Samples(Dataset[Tensor]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        logging.getLogger("samples").warning("sample %d in a child: %s", index, os.getpid() != os.getsid(0))
        return torch.tensor(index)


def load() -> None:
    loader = DataLoader(Samples(), batch_size=1, num_workers=2, multiprocessing_context="fork", timeout=60)
    logging.getLogger("samples").warning("loaded %s", sorted(int(batch) for batch in loader))
