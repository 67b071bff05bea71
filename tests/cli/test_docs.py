"""The pages under docs/ are true: their examples run, their links lead somewhere, their tables are complete."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from heimdall.cli.app import COMMANDS, app
from heimdall.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def example_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the page "Write a trainer", as the page has it."""
    spec, train, test = code_blocks(ROOT / "docs/how-to/write-a-trainer.md", "python")
    package = tmp_path / "my_trainers" / "descent"
    package.mkdir(parents=True)
    (package / "spec.py").write_text(spec)
    (package / "train.py").write_text(train)
    (package / "test_descent.py").write_text(test)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return package


def test_the_example_trainer_goes_on_exactly(example_trainer: Path, tmp_path: Path) -> None:
    import_module("my_trainers.descent.test_descent").test_pausing_changes_nothing(tmp_path)
    spec = import_module("my_trainers.descent.spec").SPEC
    assert spec.total_epochs(spec.config_model(epochs=7)) == 7
    for name in [name for name in sys.modules if name.startswith("my_trainers")]:
        del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_every_command_is_described() -> None:
    text = (ROOT / "docs/reference/command-line.md").read_text()
    assert not [name for name, _, _ in COMMANDS if not re.search(rf"`{name}\b", text)]


def test_every_command_and_option_of_the_reference_exists() -> None:
    """In the tables of commands, and those of the groups: `artifacts get JOB --all [-o DIR]`."""
    root: Any = get_command(app)
    text = (ROOT / "docs/reference/command-line.md").read_text()
    rows = [re.sub(r"\]|\[", " ", cell) for cell in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)]
    for code in [code for row in rows for code in re.findall(r"`([a-z][^`]*)`", row)]:
        name, *words = code.split()
        command = root.commands[name]
        if hasattr(command, "commands"):
            command = command.commands[words[0]]
        known = {option for param in command.params for option in param.opts}
        named = {word for word in words if re.fullmatch(r"-f|-o|--[a-z-]+", word)}
        assert named <= known, f"{code}: {named - known}"


def test_every_command_of_a_group_is_described() -> None:
    root: Any = get_command(app)
    text = (ROOT / "docs/reference/command-line.md").read_text()
    groups = {name: group for name, group in root.commands.items() if hasattr(group, "commands")}
    assert groups
    missing = [
        f"{name} {one}" for name, group in groups.items() for one in group.commands if f"`{name} {one}" not in text
    ]
    assert not missing


def test_every_setting_is_described() -> None:
    described = set(
        re.findall(r"^\| `HEIMDALL_(\w+)`", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE)
    )
    assert described == {name.upper() for name in Settings.model_fields}


def test_architecture_is_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120
