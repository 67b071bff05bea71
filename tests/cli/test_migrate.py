"""heimdall migrate: brings a database up to date, or copies it."""

import json
from pathlib import Path

from tests.cli.conftest import Terminal


def test_copying_says_what_went_over_and_what_to_do_next(heimdall: Terminal, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    refused = heimdall("migrate", "--to", target)
    assert (refused.code, "--data-dir" in refused.err) == (2, True)
    assert heimdall("migrate").out.startswith("The database is at revision ")
    assert heimdall("tokens", "create", "--role", "viewer", "--name", "Ada").code == 0
    copied = heimdall("migrate", "--to", target)
    assert copied.code == 0, copied.err
    assert "tokens: 1 row" in copied.out.splitlines()
    assert f"HEIMDALL_DATABASE_URL={target}" in copied.out
    # Without it `serve` and `worker` would refuse, and `up` of another folder would find no file.
    assert f"HEIMDALL_ARTIFACTS_URL={(tmp_path / 'heimdall-data' / 'artifacts').as_uri()}" in copied.out
    (token,) = json.loads(heimdall("tokens", "ls", "--database-url", target, "--json").out)
    assert token["name"] == "Ada"
    again = heimdall("migrate", "--to", target, "--json")
    assert again.code == 2
    assert json.loads(again.err)["code"] == "database_refused"
    other = heimdall("migrate", "--to", f"sqlite:///{tmp_path}/other.db", "--json")
    assert json.loads(other.out)["copied"]["tokens"] == 1
