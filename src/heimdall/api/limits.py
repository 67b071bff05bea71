"""How often somebody may do something, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

MAX_KEYS = 10_000  # the longest unseen is forgotten first; who comes back starts full again
IPV6_HOST_BITS = 64  # one household or server has all of these addresses


class RateLimit:
    """`per_minute` at once, and as many again in every minute after that; 0 for no limit."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → (how many are left, when)

    @property
    def num_keys(self) -> int:
        return len(self._left)

    def wait_seconds(self, key: str) -> float:
        """Take one: 0 when there was one left, else how long until there is."""
        if not self._per_minute:
            return 0.0
        now = self._clock()
        left, seen_at = self._left.pop(key, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - seen_at) * self._per_minute / 60)
        is_allowed = left >= 1
        self._left[key] = (left - 1 if is_allowed else left, now)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) * 60 / self._per_minute


def peer_key(host: str) -> str:
    """What counts as one peer: an address, or an IPv6 network of /64."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(int(address) >> IPV6_HOST_BITS) if isinstance(address, IPv6Address) else host
