"""Limits on how often somebody may do something."""

from heimdall.api.limits import MAX_KEYS, RateLimit, peer_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_at_once_and_then_evenly() -> None:
    clock = Clock()
    limit = RateLimit(60, clock=clock)
    assert [limit.wait_seconds("a") for _ in range(60)] == [0.0] * 60
    assert limit.wait_seconds("a") == 1.0
    assert limit.wait_seconds("b") == 0.0
    clock.now += 0.75
    assert limit.wait_seconds("a") == 0.25
    clock.now += 0.25
    assert limit.wait_seconds("a") == 0.0
    clock.now += 3600
    assert sum(limit.wait_seconds("a") == 0 for _ in range(100)) == 60


def test_zero_is_no_limit() -> None:
    limit = RateLimit(0)
    assert not any(limit.wait_seconds("a") for _ in range(1000))


def test_many_strangers_take_no_more_memory() -> None:
    limit = RateLimit(1)
    for number in range(MAX_KEYS + 100):
        limit.wait_seconds(str(number))
    assert limit.num_keys == MAX_KEYS
    assert limit.wait_seconds(str(MAX_KEYS + 99)) > 0
    assert limit.wait_seconds("0") == 0.0  # forgotten


def test_an_ipv6_network_is_one_peer() -> None:
    assert peer_key("2001:db8::1") == peer_key("2001:db8::ffff:1") != peer_key("2001:db8:0:1::1")
    assert peer_key("192.0.2.1") != peer_key("192.0.2.2")
    assert peer_key("a name") == "a name"
