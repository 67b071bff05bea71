"""Files that are fetched never take the place of others unasked."""

from pathlib import Path
from typing import Any

from tests.cli.conftest import Terminal
from tests.client.scripted import Request, ScriptedServer


def test_a_file_of_that_name_stays(at_service: Terminal, finished_job: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / "config.yaml"
    mine.write_text("mine")
    for words in (
        ("artifacts", "get", "finished", "config.yaml"),
        ("artifacts", "get", "finished", "log.txt", "-o", "config.yaml"),
        ("artifacts", "get", "finished", "--all"),
    ):
        typed = at_service(*words)
        assert (typed.code, typed.out) == (4, "")
        assert "config.yaml is there already; --force replaces it" in typed.err
        assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert mine.read_text() == "mine"
    assert at_service("artifacts", "get", "finished", "config.yaml", "--force").code == 0
    assert "epochs: 2" in mine.read_text()


def test_metrics_stay_too(at_service: Terminal, finished_job: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("mine")
    assert at_service("metrics", "finished", "-o", "m.csv").code == 4
    assert (tmp_path / "m.csv").read_text() == "mine"
    assert at_service("metrics", "finished", "-o", "m.csv", "--force").code == 0
    assert (tmp_path / "m.csv").read_text().startswith("epoch,")


def test_no_folder_is_made_unasked(at_service: Terminal, finished_job: dict[str, Any], tmp_path: Path) -> None:
    for words in (
        ("metrics", "finished", "-o", "new/a.csv"),
        ("artifacts", "get", "finished", "log.txt", "-o", "new/l"),
    ):
        typed = at_service(*words)
        assert typed.code == 2
        assert "There is no folder new; make it first." in typed.err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    assert "there is a folder" in at_service("artifacts", "get", "finished", "log.txt", "-o", "there").err


def test_all_files_into_a_folder(at_service: Terminal, finished_job: dict[str, Any], tmp_path: Path) -> None:
    listed = [line.split("\t")[0] for line in at_service("artifacts", "ls", "finished").out.splitlines()[1:]]
    typed = at_service("artifacts", "get", "finished", "--all", "-o", "results")
    assert typed.code == 0, typed.err
    assert typed.out.splitlines() == [f"results/{name}" for name in listed]
    assert sorted(
        str(path.relative_to(tmp_path / "results")) for path in tmp_path.rglob("*") if path.is_file()
    ) == sorted(listed)


def test_a_server_cannot_write_outside_the_folder(heimdall: Terminal, tmp_path: Path) -> None:
    job_id = "11111111-1111-4111-8111-111111111111"

    def answer(request: Request) -> None:
        listed = [{"name": name, "sha256": "", "size_bytes": 1} for name in ("fine.txt", "../out.txt")]
        request.answer_json({"artifacts": listed, "total_count": 2})

    with ScriptedServer(answer) as server:
        typed = heimdall("artifacts", "get", job_id, "--all", "-o", "in", "--url", server.url)
    assert typed.code == 1
    assert "'../out.txt' would leave the folder" in typed.err
    assert list(tmp_path.iterdir()) == []
