"""Runs Alembic on a connection that has begun its transaction already."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class Runner:
    def __init__(self, folder: Path) -> None:
        self._config = Config()
        self._config.set_main_option("script_location", str(folder).replace("%", "%%"))
        self._config.set_main_option("path_separator", "os")

    def revisions(self) -> list[str]:
        """All known revisions, newest first."""
        return [script.revision for script in ScriptDirectory.from_config(self._config).walk_revisions()]

    def upgrade(self, connection: Connection, revision: str) -> None:
        self._config.attributes["connection"] = connection
        command.upgrade(self._config, revision)
