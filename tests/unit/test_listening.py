"""What the service says of an address that it cannot listen on."""

import socket

import pytest

from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.server import listen
from heimdall.domain.errors import StartRefusedError
from heimdall.settings import http_url


@pytest.mark.parametrize("host", ["203.0.113.5", "no-such-host.invalid", "2001:db8::1", "a" * 70])
def test_a_host_that_is_not_ours(host: str) -> None:
    with pytest.raises(StartRefusedError, match=r"\); choose another --host\.$"):
        listen(load({"host": host, "port": 0}))


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StartRefusedError, match=r"\); choose another --port\.$"):
            listen(load({"port": other.getsockname()[1]}))


def test_an_ipv6_address_has_brackets_in_a_url() -> None:
    assert http_url("::1", 8001) == "http://[::1]:8001"
    assert http_url("127.0.0.1", 8001) == "http://127.0.0.1:8001"
    with pytest.raises(StartRefusedError, match=r"^Cannot listen on \[2001:db8::1\]:1 "):
        listen(load({"host": "2001:db8::1", "port": 1}))
