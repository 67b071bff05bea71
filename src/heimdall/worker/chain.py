"""What is behind an exception: it may be a group, and its chain of causes may be a circle."""

from collections.abc import Iterator
from typing import cast


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error, then its causes, its contexts and the members of groups; each one once."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, BaseExceptionGroup):
            waiting += reversed(cast("BaseExceptionGroup[BaseException]", found).exceptions)
        behind = found.__context__ if found.__cause__ is None else found.__cause__
        if behind is not None:
            waiting.append(behind)


def leaves_of(error: BaseException) -> list[BaseException]:
    """What a group holds, however deep; else the error itself."""
    waiting, leaves = [error], list[BaseException]()
    while waiting:
        found = waiting.pop()
        if isinstance(found, BaseExceptionGroup):
            waiting += reversed(cast("BaseExceptionGroup[BaseException]", found).exceptions)
        else:
            leaves.append(found)
    return leaves


def text_of(error: BaseException) -> str:
    """`str(error)`, also where that raises."""
    try:
        return str(error)
    except Exception as why:  # noqa: BLE001 - the text of any class may raise anything
        return f"(its text could not be made: {type(why).__name__})"
