"""Settings from where they may come, and logging as they say."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError
from typing_extensions import override

from heimdall.domain.errors import InvalidInputError
from heimdall.settings import Settings


def load(flags: Mapping[str, Any]) -> Settings:
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise InvalidInputError(f"HEIMDALL_{name} cannot be used: {first['msg']}.") from None
    except SettingsError as error:
        raise InvalidInputError(f"The settings cannot be read: {error}.") from None


class JsonFormatter(logging.Formatter):
    """One object a line with time, level, message and, where a record has them, job_id, attempt, request_id."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: record.__dict__[key] for key in ("job_id", "attempt", "request_id") if key in record.__dict__}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure_logging(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("uvicorn.access", "uvicorn.error", "alembic", "celery", "kombu"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # a broker that is away is told of once, by us
