"""Nobody but the service's own user reads its database, nor a copy of it."""

import stat
from pathlib import Path

import pytest

from heimdall.domain.errors import DatabaseRefusedError
from heimdall.store import open_database, prepare
from heimdall.store.privacy import make_private
from heimdall.store.schema import copy_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_database_and_the_copy_before_a_migration(tmp_path: Path) -> None:
    file = tmp_path / "heimdall.db"
    prepare(f"sqlite:///{file}", mode="upgrade")
    assert mode(file) == 0o600
    assert mode(copy_file(file, "9999")) == 0o600


def test_only_the_rights_of_others_are_taken(tmp_path: Path) -> None:
    for before, after in [(0o755, 0o700), (0o644, 0o600), (0o440, 0o400), (0o700, 0o700)]:
        path = tmp_path / oct(before)
        path.touch()
        path.chmod(before)
        assert make_private(path)
        assert mode(path) == after
    assert not make_private(tmp_path / "missing")


@pytest.mark.parametrize("end", ["?a/heimdall.db", ".db?mode=memory", ".db?timeout=3"])
def test_an_address_with_a_question_mark_does_not_lead_elsewhere(tmp_path: Path, end: str) -> None:
    with pytest.raises(DatabaseRefusedError, match="write %3F for"):
        open_database(f"sqlite:///{tmp_path}/runs{end}")
    assert list(tmp_path.iterdir()) == []
