"""The newest frames of a list, kept in memory for all its readers; older ones are read from the database."""

from collections.abc import Sequence

from heimdall.api.live.frames import Frame

MAX_FRAMES = 2_000
MAX_CHARACTERS = 2_000_000


class Window:
    """Frames numbered without holes; `base` is the number before the first one still held.

    A reader keeps only the number it has read, so that a slow one costs no memory.
    """

    def __init__(self, base: int) -> None:
        self.base = base
        self._frames: list[Frame] = []
        self._num_characters = 0

    @property
    def newest(self) -> int:
        return self.base + len(self._frames)

    def append(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._num_characters += len(frame.text)
        if len(self._frames) > MAX_FRAMES or self._num_characters > MAX_CHARACTERS:
            self._drop_older_half()

    def after(self, number: int, limit: int) -> Sequence[Frame] | None:
        """At most `limit` frames after `number`, or None when some of them are not held any more."""
        if number < self.base:
            return None
        start = number - self.base
        return self._frames[start : start + limit]

    def _drop_older_half(self) -> None:
        num_dropped = (len(self._frames) + 1) // 2
        self._num_characters -= sum(len(frame.text) for frame in self._frames[:num_dropped])
        del self._frames[:num_dropped]
        self.base += num_dropped
