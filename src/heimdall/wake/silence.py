"""For installations without a broker: nobody is told."""

from collections.abc import Sequence

from heimdall.domain.events import Event


class Silence:
    """The Publisher port that publishes nothing."""

    num_failures = 0

    def publish(self, events: Sequence[Event]) -> None:
        pass

    def close(self, seconds: float) -> None:
        pass
