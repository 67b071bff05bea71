"""Bytes that a process printed become lines."""

LINE_BYTES = 8 * 1024
CUT = "… (cut: the line is longer than 8 KiB)"


class LineSplitter:
    """Cuts a stream into lines of at most 8 KiB; of one rewritten with `\\r` (a progress bar) the last state counts."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False  # within a line whose first 8 KiB were given out
        self.skipped_bytes = 0  # of lines that were cut, since somebody last set it to 0

    @property
    def rest_bytes(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[str]:
        *complete, rest = (self._rest + data).split(b"\n")
        lines: list[str] = []
        for line in complete:
            self._end(line, lines)
        if self._is_skipping:
            self.skipped_bytes += len(rest)
            rest = b""
        elif len(rest) > LINE_BYTES:
            if b"\r" in rest:  # the state that shows now; one that ends in \r shows until the next one begins
                rest = _last_state(rest) + (b"\r" if rest.endswith(b"\r") else b"")
            if len(rest) > LINE_BYTES + 1:
                self._end(rest, lines)
                self._is_skipping, rest = True, b""
        self._rest = rest
        return lines

    def _end(self, line: bytes, lines: list[str]) -> None:
        if self._is_skipping:
            self.skipped_bytes += len(line)
        else:
            state = _last_state(line)
            self.skipped_bytes += max(0, len(state) - LINE_BYTES)
            lines.append(_text(state))
        self._is_skipping = False

    def finish(self) -> list[str]:
        """The line that never ended, if there is one."""
        rest, self._rest = self._rest, b""
        return [_text(_last_state(rest))] if rest else []


def _last_state(line: bytes) -> bytes:
    return next((state for state in reversed(line.split(b"\r")) if state), b"")


def _text(state: bytes) -> str:
    text = state[:LINE_BYTES].decode("utf-8", "replace")
    return text + CUT if len(state) > LINE_BYTES else text
