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
from heimdall.sdk.field_error import REASONS, reason
from heimdall.settings import (
    CLIENT_FIELDS,
    PREFIX,
    SETTINGS_FILE,
    Settings,
    SettingsFileError,
    client_file,
    is_in_environment,
    nearest,
    unknown_variables,
)

logger = logging.getLogger(__name__)


def load(flags: Mapping[str, Any], kind: type[Settings] = Settings) -> Settings:
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        raise InvalidInputError(_refusal(error, given)) from None
    except SettingsFileError as error:
        raise InvalidInputError(str(error)) from None
    except SettingsError as error:
        raise InvalidInputError(f"The settings cannot be read: {error}.") from None


def _refusal(error: ValidationError, flags: Mapping[str, Any]) -> str:
    """What is wrong with which value, by the name it has where it comes from."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"{name} in {SETTINGS_FILE} is not a setting{_meant(nearest(name))}."
    if name in flags:
        source = f"--{name.replace('_', '-')} ({PREFIX}{name.upper()})"
    elif is_in_environment(name):
        source = f"{PREFIX}{name.upper()}"
    else:
        source = f"{name} in {client_file() if name in CLIENT_FIELDS else SETTINGS_FILE}"
    return f"{source} cannot be used: {_told(first)}."


def _told(entry: Mapping[str, Any]) -> str:
    text = reason(entry)
    return f"it {text}" if entry["type"] in REASONS else text


def _meant(name: str | None) -> str:
    return f"; perhaps {name} is meant" if name else ""


def strange_variables() -> list[str]:
    """A sentence for each variable that looks like a setting and is none."""
    found: list[str] = []
    for variable in unknown_variables():
        name = nearest(variable[len(PREFIX) :])
        found.append(f"{variable} is not a setting and has no effect{_meant(name and PREFIX + name.upper())}.")
    return found


def warn_of_strange_variables() -> None:
    """No refusal: others may use the prefix too, such as a newer version or a trainer of one's own."""
    for sentence in strange_variables():
        logger.warning("%s", sentence)


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


def configure_logging(settings: Settings, *, has_own_server: bool = True) -> None:
    """`has_own_server`: uvicorn is started by us, so what it logs is ours to choose."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("alembic", "celery", "kombu", *(("uvicorn.access", "uvicorn.error") if has_own_server else ())):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # a broker that is away is told of once, by us
