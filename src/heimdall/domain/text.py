"""Text from outside, made safe to store and to send."""

import re

UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL takes no NUL, UTF-8 no lone surrogate


def clean(text: str) -> str:
    """The same text with `�` for each NUL and each lone surrogate."""
    return text if text.isascii() and "\0" not in text else UNSTORABLE.sub("\ufffd", text)


def cut(text: str, max_chars: int) -> str:
    """At most about `max_chars` characters; what is missing is said at the end."""
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]}… ({len(text) - max_chars:,} more characters)"
