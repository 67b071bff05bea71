"""What standard output is connected to, and what it can show."""

import sys


def is_terminal() -> bool:
    return sys.stdout.isatty()


def encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def is_unicode() -> bool:
    """Whether it takes every character."""
    return encoding().replace("-", "").lower().startswith("utf")
