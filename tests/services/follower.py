"""A client that follows a job through everything: it comes back with the last number it saw."""

import itertools
import json
import threading
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.e2e.service import RunningService

NOT_IN_LOG = frozenset({"connected", "training_status"})


class Follower(threading.Thread):
    """Follows over one API process after the other; ends when one of them says that the job has ended."""

    def __init__(self, apis: Sequence[RunningService], job_id: str) -> None:
        super().__init__(name="follower", daemon=True)
        self.events: list[dict[str, Any]] = []
        self.num_connections = 0
        self._apis = apis
        self._job_id = job_id
        self.start()

    def run(self) -> None:
        for api in itertools.cycle(self._apis):
            if self._has_followed_to_the_end(api):
                return

    def _has_followed_to_the_end(self, api: RunningService) -> bool:
        after = self.events[-1]["seq"] if self.events else 0
        url = f"ws://127.0.0.1:{api.port}/ws/training/{self._job_id}?after={after}"
        try:
            with connect(url, open_timeout=5, ping_interval=5, ping_timeout=5) as connection:
                self.num_connections += 1
                for text in connection:
                    message = json.loads(text)
                    if message["event"] not in NOT_IN_LOG:
                        self.events.append(message)
                return connection.close_code == 1000
        except (OSError, TimeoutError, WebSocketException):
            threading.Event().wait(0.2)
            return False
