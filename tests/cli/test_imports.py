"""What the command line imports: the console script's module is imported again in every job's process."""

import subprocess
import sys

HEAVY = ("httpx2", "pydantic", "sqlalchemy", "fastapi", "yaml", "torch", "numpy")


def modules_after(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, sep='\\n', file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stderr.split())


def test_the_console_scripts_module_imports_nothing() -> None:
    own = modules_after("import heimdall.cli") - modules_after("pass")
    assert own == {"heimdall", "heimdall.cli"}


def test_help_loads_no_library_but_typer() -> None:
    code = "import heimdall.cli\ntry: heimdall.cli.main(['--help'])\nexcept SystemExit: pass"
    loaded = modules_after(code)
    assert "typer" in loaded
    assert not loaded & set(HEAVY)
