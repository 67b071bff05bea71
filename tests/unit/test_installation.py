"""What a process refuses before it touches anything."""

from pathlib import Path

import pytest

from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.installation import open_installation
from heimdall.domain.errors import StartRefusedError


def test_a_broker_that_nothing_would_speak_to_is_refused(tmp_path: Path) -> None:
    settings = load({"data_dir": tmp_path / "data", "broker_url": "amqp://guest:secret@localhost/"})
    with pytest.raises(StartRefusedError, match="HEIMDALL_BROKER_URL") as refused:
        open_installation(settings)
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "data").exists()
