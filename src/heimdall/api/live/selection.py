"""Which events a reader wants."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.datastructures import QueryParams

from heimdall.api.live.frames import JOB_UPDATE, Frame
from heimdall.domain.errors import InvalidInputError
from heimdall.domain.events import NOT_ON_BUS, EventName

HEAVY = frozenset(name.value for name in NOT_ON_BUS)
KNOWN = frozenset({*(name.value for name in EventName), JOB_UPDATE})
MAX_NUMBER = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """`names` None: all but `left_out`; `jobs` None: all. training:deleted always passes, it ends a stream."""

    names: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()
    jobs: frozenset[str] | None = None
    progress_every: int = 1

    def has(self, frame: Frame) -> bool:
        if self.jobs is not None and frame.job_id not in self.jobs:
            return False
        if frame.name == EventName.DELETED:
            return True
        is_named = frame.name not in self.left_out if self.names is None else frame.name in self.names
        return is_named and (frame.name != EventName.PROGRESS or self._has_progress(frame.data))

    def is_thinned(self, frame: Frame) -> bool:
        """Whether `progress_every` alone keeps it out."""
        return frame.name == EventName.PROGRESS and replace(self, progress_every=1).has(frame) and not self.has(frame)

    def stored_names(self) -> list[EventName]:
        """Events of the log that may pass."""
        wanted = KNOWN - self.left_out if self.names is None else self.names
        return [name for name in EventName if name in wanted and name is not EventName.DELETED]

    def _has_progress(self, data: Mapping[str, Any]) -> bool:
        """Every Nth epoch, the first, the last, and each new best model."""
        epoch = data.get("epoch")
        if not isinstance(epoch, int) or data.get("is_best") or data.get("is_last"):
            return True
        return epoch == 1 or epoch == data.get("total_epochs") or epoch % self.progress_every == 0


class Thinning:
    """Chooses one reader's frames. The last epoch of a job shows only when the job is complete, unless its event says
    `is_last`: so the newest epoch left out is kept until something later of the job was chosen, which it must not
    follow.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._left_out: dict[str, Frame] = {}

    def chosen(self, frames: Iterable[Frame]) -> list[Frame]:
        chosen: list[Frame] = []
        for frame in frames:
            if self._selection.is_thinned(frame):
                self._left_out[frame.job_id] = frame
                continue
            is_chosen = self._selection.has(frame)
            last = self._left_out.pop(frame.job_id, None) if is_chosen or frame.name == EventName.COMPLETED else None
            if last is not None and frame.name == EventName.COMPLETED:
                chosen.append(last)
            if is_chosen:
                chosen.append(frame)
        return chosen


def event_names(texts: Collection[str]) -> frozenset[str] | None:
    """Names from `types=a,b&types=c`; None for none. Raises: InvalidInputError."""
    names = frozenset(name.strip() for text in texts for name in text.split(",") if name.strip())
    unknown = sorted(names - KNOWN)
    if unknown:
        message = f"There is no event {unknown[0]!r}; events are: {', '.join(sorted(KNOWN))}"
        raise InvalidInputError(f"types: {message}.", [{"loc": ["query", "types"], "msg": message}])
    return names or None


def whole_number(params: QueryParams, name: str, *, least: int) -> int | None:
    """A query parameter of a socket. Raises: InvalidInputError."""
    text = params.get(name)
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER))
    if not is_number or not least <= int(text) <= MAX_NUMBER:
        message = f"{name} must be a whole number of at least {least}."
        raise InvalidInputError(message, [{"loc": ["query", name], "msg": message}])
    return int(text)
