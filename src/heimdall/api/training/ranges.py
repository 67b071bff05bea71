"""The `Range` header (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

SINGLE_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class UnsatisfiableRangeError(Exception):
    """It begins behind the end of the file."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes [start, stop)."""

    start: int
    stop: int


def requested_range(headers: Headers, size: int, etag: str) -> ByteRange | None:
    """The part asked for, or None for the whole file: no, a malformed or a multiple range, or another version.

    Raises:
        UnsatisfiableRangeError: nothing of it lies in the file.
    """
    match = SINGLE_RANGE.fullmatch(headers.get("range", ""))
    if match is None or match.group(1) == match.group(2) == "" or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise UnsatisfiableRangeError
    return ByteRange(start, stop)
