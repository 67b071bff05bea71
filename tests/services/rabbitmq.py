"""RabbitMQ for tests: virtual hosts of the one that runs on this machine, or a node of the test's own to stop."""

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

from tests.e2e.service import free_port, wait_until
from tests.services_here import skip_without

SHARED = ("127.0.0.1", 5672)
BIN = Path("/usr/lib/rabbitmq/bin")


def need_rabbitmq() -> None:
    """Skip, or fail where RabbitMQ is required. Virtual hosts are made by its own tool, which root may call."""
    if shutil.which("rabbitmqctl") is None or os.geteuid() != 0:
        skip_without("rabbitmq", "rabbitmqctl cannot be called")
    if subprocess.run(["rabbitmqctl", "-q", "status"], capture_output=True, check=False).returncode:
        skip_without("rabbitmq", "none runs")


class SharedRabbit:
    """The node that runs on this machine."""

    address = SHARED

    def ctl(self, *words: str) -> str:
        return _checked(["rabbitmqctl", "-q", *words])

    def add_vhost(self) -> str:
        """A new virtual host; its AMQP address."""
        name = f"heimdall_{uuid4().hex[:12]}"
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        host, port = self.address
        return f"amqp://guest:guest@{host}:{port}/{name}"

    def delete_vhost(self, url: str) -> None:
        self.ctl("delete_vhost", url.rpartition("/")[2])


class OwnRabbit(SharedRabbit):
    """A node with a port and a folder of its own. `settings` are lines of rabbitmq.conf."""

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        folder.mkdir()
        self.folder = folder
        self.address = ("127.0.0.1", free_port())
        (folder / "rabbitmq.conf").write_text(settings)
        self._node = f"heimdall-{uuid4().hex[:8]}@localhost"
        self._environment = os.environ | {
            "HOME": str(folder),  # holds the cookie by which the tool and the node know each other
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.address[1]),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.devnull,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def ctl(self, *words: str) -> str:
        return _checked([str(BIN / "rabbitmqctl"), "-q", "-n", self._node, *words], self._environment)

    def start(self) -> "OwnRabbit":
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [BIN / "rabbitmq-server"], stdout=out, stderr=out, env=self._environment, cwd=self.folder
            )
        wait_until(self._is_up, seconds=60, what="RabbitMQ has started", every=0.3)
        return self

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "out").read_text()
        try:
            self.ctl("await_startup", "--timeout", "20")
        except AssertionError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)


def _checked(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
