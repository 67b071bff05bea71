"""A machine of its own as far as the network goes: a namespace joined to this one by a wire that can be pulled."""

import shutil
import subprocess
from uuid import uuid4

from tests.services_here import skip_without


def need_namespaces() -> None:
    probe = f"heimdall-{uuid4().hex[:8]}"
    command = ["ip", "netns", "add", probe]
    if shutil.which("ip") and subprocess.run(command, capture_output=True, check=False).returncode == 0:
        _ip("netns", "del", probe)
    else:
        skip_without("network", "namespaces cannot be made (root and iproute2 are needed)")


class Namespace:
    """From inside, `here` is this machine."""

    def __init__(self) -> None:
        word = uuid4().hex[:6]
        self._name, self._wire = f"heimdall-{word}", f"hd{word}"
        subnet = f"10.231.{int(word[:2], 16)}"
        self.here, there = f"{subnet}.1", f"{subnet}.2"
        self.inside = ("ip", "netns", "exec", self._name)
        _ip("netns", "add", self._name)
        _ip("link", "add", self._wire, "type", "veth", "peer", "name", "eth0", "netns", self._name)
        _ip("address", "add", f"{self.here}/24", "dev", self._wire)
        _ip("-n", self._name, "address", "add", f"{there}/24", "dev", "eth0")
        _ip("-n", self._name, "link", "set", "lo", "up")
        _ip("-n", self._name, "link", "set", "eth0", "up")
        self.mend()

    def cut(self) -> None:
        """Packets vanish; nobody is told."""
        _ip("link", "set", self._wire, "down")

    def mend(self) -> None:
        _ip("link", "set", self._wire, "up")

    def close(self) -> None:
        _ip("netns", "del", self._name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
