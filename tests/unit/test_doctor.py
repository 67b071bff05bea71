"""What `heimdall doctor` finds."""

import threading
from pathlib import Path
from typing import Any

import pytest
from psutil import disk_partitions

from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.examination import examine
from heimdall.domain.errors import UnavailableError
from heimdall.settings import Settings
from heimdall.store import prepare
from tests.services.postgres import SHARED, need_postgres
from tests.services.s3 import S3Server

Finding = dict[str, Any]
MODULE = "heimdall.bootstrap.examination"


def look(tmp_path: Path, check: str, **flags: Any) -> Finding:
    findings = examine(load({"data_dir": tmp_path / "data", **flags}))
    return {finding["check"]: finding for finding in findings}[check]


def test_a_misspelt_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(tmp_path, "settings")["ok"]
    monkeypatch.setenv("HEIMDALL_SLOT", "2")
    found = look(tmp_path, "settings")
    assert not found["ok"]
    assert found["detail"].endswith("perhaps HEIMDALL_SLOTS is meant.")


def test_artifact_stores(tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3_server.new_bucket()
    for name, value in s3_server.environment(bucket).items():
        monkeypatch.setenv(name, value)
    assert look(tmp_path, "artifact store") == {
        "check": "artifact store", "ok": True, "detail": f"s3://{bucket}/artifacts"
    }  # fmt: skip
    found = look(tmp_path, "artifact store", artifacts_url=f"s3://{bucket}-typo/x")
    assert not found["ok"]
    assert "heck the bucket in HEIMDALL_ARTIFACTS_URL" in found["detail"]
    assert not look(tmp_path, "artifact store", artifacts_url="foo://bar")["ok"]
    assert look(tmp_path, "artifact store", artifacts_url=(tmp_path / "files").as_uri())["ok"]


def test_a_store_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer = threading.Event()

    def open_never(_: Settings) -> None:
        may_answer.wait()

    monkeypatch.setattr(f"{MODULE}.ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(f"{MODULE}.open_artifacts", open_never)
    found = look(tmp_path, "artifact store", artifacts_url="s3://key:hunter2@bucket/x")
    assert not found["ok"]
    assert found["detail"].startswith("s3://key:***@bucket/x does not answer")


def test_a_network_folder_matters_to_sqlite_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = disk_partitions(all=True)[0]._replace(mountpoint=str(tmp_path), fstype="smb2")

    def told(**_: Any) -> list[Any]:
        return [mount]

    monkeypatch.setattr("psutil.disk_partitions", told)
    assert "network file system (smb2)" in look(tmp_path, "database")["detail"]
    assert "smb2" in look(tmp_path, "data folder")["detail"]
    found = look(tmp_path, "data folder", database_url="postgresql://u@127.0.0.1:1/x?password=hunter2")
    assert found["ok"], found["detail"]
    assert "SQLite" not in found["detail"]


def test_a_database_is_refused_as_a_start_would_refuse_it(tmp_path: Path) -> None:
    need_postgres()
    missing = f"postgres://{SHARED}/heimdall_is_not_here"
    found = look(tmp_path, "database", database_url=missing)
    with pytest.raises(UnavailableError) as refused:
        prepare(missing, mode="create_only")
    assert (found["ok"], found["detail"]) == (False, str(refused.value))
    assert 'database "heimdall_is_not_here" does not exist' in found["detail"]
    assert look(tmp_path, "database", database_url=f"postgres://{SHARED}/postgres")["ok"]


def test_nothing_is_made_where_there_is_no_database(tmp_path: Path) -> None:
    found = look(tmp_path, "database")
    assert found["ok"]
    assert found["detail"].startswith("none yet")
    assert not (tmp_path / "data" / "heimdall.db").exists()


def test_a_team_is_told_of_the_setting_that_it_lacks(tmp_path: Path) -> None:
    found = look(tmp_path, "artifact store", database_url="postgresql://u@127.0.0.1:1/x")
    assert found["ok"]
    assert "HEIMDALL_ARTIFACTS_URL" in found["detail"]
