"""Work that may take seconds, kept away from the threads of all other routes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from typing import Annotated, Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends
from fastapi.requests import HTTPConnection

from heimdall.domain.errors import JobNotFoundError
from heimdall.jobs.service import JobService

NUM_THREADS = 8  # of each kind
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.05, 0.5
P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """Runs blocking calls on at most NUM_THREADS threads of its own; more wait without holding one."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(NUM_THREADS)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._limiter)

    async def iterate(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        while chunk := await self.run(next, chunks, b""):
            yield chunk


class Joined:
    """Runs one piece of work a key at a time; who asks for it meanwhile waits for the same one."""

    def __init__(self) -> None:
        self._running = dict[Hashable, tuple[anyio.Event, list[Any]]]()

    async def run(self, key: Hashable, work: Callable[[], Awaitable[R]]) -> R:
        """What `work` answers. When the one that was waited for failed, it is done again."""
        while key in self._running:
            ended, answers = self._running[key]
            await ended.wait()
            if answers:
                return answers[0]
        ended, answers = self._running[key] = anyio.Event(), list[R]()
        try:
            answers.append(await work())
            return answers[0]
        finally:
            del self._running[key]
            ended.set()


class SlowCalls:
    """`files`: reads of chunks for downloads; `checks`: whole files that are hashed or fetched."""

    def __init__(self) -> None:
        self.files = Threads()
        self.checks = Threads()
        self._deletions = Threads()
        self._joined = Joined()

    async def delete(self, jobs: JobService, job_id: str, actor: str | None) -> None:
        """Stop the job and delete it. Raises: JobNotFoundError."""
        await self._joined.run(job_id, lambda: self._delete(jobs, job_id, actor))

    async def _delete(self, jobs: JobService, job_id: str, actor: str | None) -> None:
        threads = self._deletions
        if await threads.run(jobs.begin_deletion, job_id, actor=actor):
            deadline, poll_seconds = anyio.current_time() + jobs.stop_seconds, FIRST_POLL_SECONDS
            while anyio.current_time() < deadline:
                await anyio.sleep(poll_seconds)
                if await threads.run(jobs.has_stopped, job_id):
                    break
                poll_seconds = min(2 * poll_seconds, LONGEST_POLL_SECONDS)
        try:
            await threads.run(jobs.delete, job_id)
        except JobNotFoundError:  # another process was asked for the same
            return


async def slow_calls(connection: HTTPConnection) -> SlowCalls:
    return connection.app.state.slow_calls


Slow = Annotated[SlowCalls, Depends(slow_calls)]
