# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false
"""Notes between the ranks of a job, beside the gradients: JSON in the store over which torch.distributed connects.

Loads torch, which must find the environment of a job: import it no earlier than there are ranks.
"""

import json
import os
import socket
from typing import Any

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from heimdall.trainers.machine import LONGEST_WAIT

ORDERS, LEFT = "orders", "left"


class RankLink:
    """What one rank says and hears."""

    def __init__(self, store: dist.Store, size: int) -> None:
        self._store = store
        self._size = size

    def give(self, orders: bytes) -> None:
        """Rank 0 tells what is to be done."""
        self._store.set(ORDERS, orders.decode())

    def orders(self) -> bytes:
        """Waits for them."""
        return self._store.get(ORDERS)

    def note_end(self, rank: int, *, reason: str | None = None, message: str = "") -> None:
        """A rank is done, or failed for a reason."""
        self._store.set(f"ended/{rank}", json.dumps({"reason": reason, "message": message}))

    def noted_end(self, rank: int) -> dict[str, Any] | None:
        key = f"ended/{rank}"
        return json.loads(self._store.get(key)) if self._store.check([key]) else None

    def noted_failure(self) -> dict[str, Any] | None:
        """Of any rank."""
        noted = (self.noted_end(rank) for rank in range(1, self._size))
        return next((end for end in noted if end is not None and end["reason"] is not None), None)

    def leave(self) -> None:
        """Rank 0 ends in good order; the others need not wonder."""
        self._store.set(LEFT, "")

    @property
    def has_left(self) -> bool:
        return self._store.check([LEFT])


def host() -> tuple[dist.TCPStore, int]:
    """A store for the ranks of this machine, and its port: free, and heard on loopback only."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = listening.getsockname()[1]
    store = dist.TCPStore(
        "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach(),
        timeout=LONGEST_WAIT,
    )  # fmt: skip
    return store, port


def connect() -> RankLink:
    """To the store that the environment names; torchrun hosts one too."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=LONGEST_WAIT)))
    return RankLink(dist.PrefixStore("heimdall", store), size)
