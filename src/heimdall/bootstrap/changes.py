"""How this process hears that something was written to its database."""

from pathlib import Path

from sqlalchemy import make_url

from heimdall.domain.ports import ChangeSignal
from heimdall.settings import Settings
from heimdall.wake import DataVersionSignal, PollingSignal


def change_signal(settings: Settings) -> ChangeSignal:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return DataVersionSignal(Path(url.database))
    return PollingSignal()
