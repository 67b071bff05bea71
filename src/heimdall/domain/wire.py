"""JSON as every reader gets it, over HTTP, sockets and the message bus."""

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from heimdall.domain.text import clean


def json_text(value: Any) -> str:
    """Compact JSON that UTF-8 can hold; a number that is not finite becomes null, a lone surrogate `�`."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return clean(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("list[Any]", value)]
    return value
