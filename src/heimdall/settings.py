"""The one place that reads the environment.

Flags win over `HEIMDALL_…` variables, those over files: `client.toml` of the home folder says which service the
command line talks to, `heimdall.toml` of the working folder sets all the rest. An empty variable is none.
"""

import difflib
import json
import logging
import os
import re
import tomllib
from collections.abc import Collection
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from heimdall.api.forwarded import parse_trusted

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a server listens → where it can be called
SHORTEST_SECRET = 16
PREFIX = "HEIMDALL_"
SETTINGS_FILE = "heimdall.toml"
CLIENT_FILE = "client.toml"
CLIENT_FIELDS = frozenset({"url", "token"})
SERVER_OF_CLIENT = frozenset({"host", "port", "admin_token"})  # by which a client finds the service of this machine
OF_TESTS = ("HEIMDALL_TEST_", "HEIMDALL_CHAOS_", "HEIMDALL_FAULT_")
# What Kubernetes sets in every pod beside a Service whose name begins with `heimdall-`.
SERVICE_LINK = re.compile(r"HEIMDALL_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_\w+)?)")
SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")  # as Kubernetes sets HEIMDALL_PORT beside a Service `heimdall`
SECRET_FIELD = re.compile(r"password|passwd|passphrase|pwd|secret|token|signature|credential|access_?key|^sig$", re.I)
logger = logging.getLogger(__name__)


def _usable_secret(secret: SecretStr | None) -> SecretStr | None:
    """None when empty, which is how a variable is taken back."""
    text = secret.get_secret_value() if secret else ""
    if not text:
        return None
    if len(text) < SHORTEST_SECRET or not re.fullmatch(r"[A-Za-z0-9._~-]+", text):
        raise ValueError(f"a token has at least {SHORTEST_SECRET} characters, of A-Z a-z 0-9 . _ ~ -")
    return secret


def _usable_broker(url: SecretStr | None) -> SecretStr | None:
    """None when empty."""
    text = url.get_secret_value() if url else ""
    if not text:
        return None
    if not re.match(r"amqps?://[^/]", text):
        raise ValueError("use amqp://user:password@host:5672/vhost of RabbitMQ, or leave it empty")
    return url


def _usable_peers(text: str) -> str:
    try:
        parse_trusted(text)
    except ValueError as error:
        raise ValueError(
            f"{error}; give addresses, networks such as 10.0.0.0/8, or * for every peer, with commas between them"
        ) from None
    return text


def _listed(value: Any) -> Any:
    """The list that a text means: JSON, or words with commas between them."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError('give words with commas between them, or a JSON list such as ["a", "b"]') from None


def _listed_or_none(value: Any) -> Any:
    """None when empty."""
    return None if isinstance(value, str) and value.strip() in {"", "null"} else _listed(value)


Secret = Annotated[SecretStr | None, AfterValidator(_usable_secret)]
Words = Annotated[list[str], NoDecode, BeforeValidator(_listed)]


class Environment(EnvSettingsSource):
    @override
    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        if SERVICE_ADDRESS.match(str(found.get("port"))):
            del found["port"]
        return found


class SettingsFileError(ValueError):
    """A file of settings that cannot be used; the message names it."""


class SettingsFile(TomlConfigSettingsSource):
    @override
    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        try:
            return tomllib.loads(file_path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsFileError(f"{Path(str(file_path)).resolve()} cannot be read: {error}.") from None


class WorkingFolderFile(SettingsFile):
    """Comes with the folder, which somebody else may have filled: it does not decide where a token is sent."""

    @override
    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if name not in CLIENT_FIELDS}


class UnreadWorkingFolderFile(SettingsFile):
    """For commands that only call a service: what it says is named, and not used."""

    @override
    def __call__(self) -> dict[str, Any]:
        given = super().__call__().keys()
        _warn_of_unread(given & CLIENT_FIELDS, "is ignored")
        if not self.current_state.get("url"):
            _warn_of_unread(
                given & SERVER_OF_CLIENT, "is for the service itself; a command that calls it does not read it"
            )
        return {}


class ClientFile(SettingsFile):
    """`url` and `token`; the token goes to no other service than that of the file."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        self._path = client_file()
        super().__init__(settings_cls, self._path)

    @override
    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        if strange := sorted(found.keys() - CLIENT_FIELDS):
            raise SettingsFileError(f"{self._path} can set url and token only, not {strange[0]}.")
        if self.current_state.get("url") not in {None, found.get("url")}:
            found.pop("token", None)
        if "token" in found and self._path.stat().st_mode & 0o077:
            logger.warning("Other users of this machine can read the token in %s; close it with chmod 600.", self._path)
        return found


def client_file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or home_folder() / ".config") / "heimdall" / CLIENT_FILE


def home_folder() -> Path:
    return Path(os.environ.get("HOME") or "/")


def _warn_of_unread(names: Collection[str], consequence: str) -> None:
    if names:
        logger.warning(
            "%s sets %s, which %s: set HEIMDALL_URL and HEIMDALL_TOKEN, or write %s.",
            Path(SETTINGS_FILE).resolve(),
            " and ".join(sorted(names)),
            consequence,
            client_file(),
        )


class Settings(BaseSettings):
    """What an installation can be told. `heimdall config` prints what is in force."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        toml_file=SETTINGS_FILE,
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    data_dir: Path = Field(Path("heimdall-data"), description="Folder of the database, artifacts and caches.")
    database_url: SecretStr | None = Field(
        None, description="sqlite:///… or postgresql://…; SQLite in the data folder."
    )
    broker_url: Annotated[SecretStr | None, AfterValidator(_usable_broker)] = Field(
        None, description="amqp://… of RabbitMQ, for several processes; none by default."
    )
    artifacts_url: str | None = Field(
        None, description="file://…, s3://bucket/prefix …; by default in the data folder."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8001, ge=0, le=65535, description="Port to listen on.")
    slots: int = Field(1, ge=0, le=256, description="Jobs that run at once on this machine.")
    gpus: Annotated[list[str] | None, NoDecode, BeforeValidator(_listed_or_none)] = Field(
        None, description="GPUs for jobs, as CUDA_VISIBLE_DEVICES names them; all of this machine by default."
    )
    allowed_hosts: Words = Field([], description="Host names accepted besides loopback and the bound address.")
    allowed_origins: Words = Field([], description="Origins of web pages that may call the API besides its own.")
    admin_token: Secret = Field(None, description="A token of role admin that needs no row in the database.")
    requests_per_minute: int = Field(
        30_000, ge=0, description="Requests of one token, or of one peer without token; 0 for no limit."
    )
    failed_logins_per_minute: int = Field(30, ge=0, description="Wrong tokens of one peer; 0 for no limit.")
    forwarded_allow_ips: Annotated[str, AfterValidator(_usable_peers)] = Field(
        "", description="Peers whose X-Forwarded-… headers count; nobody by default."
    )
    keep_events_days: int | None = Field(
        None, ge=1, description="Empty step, log and system events of jobs ended so long."
    )
    cache_gib: float = Field(20.0, ge=0, description="GiB of caches of this machine; what running jobs use stays.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines as text or as one JSON object each.")
    url: str | None = Field(None, description="Service that the command line talks to; the local one by default.")
    token: Secret = Field(None, description="Token that the command line sends.")

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls), WorkingFolderFile(settings_cls)

    @property
    def resolved_database_url(self) -> str:
        """The database's address with its password; `sqlite:///{data_dir}/heimdall.db` by default."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return "sqlite:///" + _escaped(str(self.data_dir.resolve() / "heimdall.db"))

    @property
    def cache_bytes(self) -> int:
        return int(self.cache_gib * (1 << 30))

    @property
    def has_shared_database(self) -> bool:
        """Whether processes on other machines can use the database too."""
        return self.database_url is not None and not self.database_url.get_secret_value().startswith("sqlite")

    @property
    def resolved_artifacts_url(self) -> str:
        return self.artifacts_url or (self.data_dir.resolve() / "artifacts").as_uri()

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK or self.host.startswith("127.")

    def masked(self) -> dict[str, Any]:
        """What is in force, for people: passwords hidden."""
        shown = self.model_dump(mode="json")
        shown["database_url"] = self.resolved_database_url
        shown["broker_url"] = self.broker_url.get_secret_value() if self.broker_url else None
        shown["artifacts_url"] = self.resolved_artifacts_url
        shown["data_dir"] = str(self.data_dir.resolve())
        for name in ("database_url", "broker_url", "artifacts_url", "url"):
            shown[name] = masked_url(shown[name]) if shown[name] else shown[name]
        return shown


class ClientSettings(Settings):
    """For commands that call a service: the working folder has no say in which, nor in what it is sent."""

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        unread = UnreadWorkingFolderFile(settings_cls)
        return init_settings, Environment(settings_cls), ClientFile(settings_cls), unread


class JobSettings(Settings):
    """For a job's process, which is told everything by the one that starts it."""

    model_config = SettingsConfigDict(toml_file=None)  # one that no source reads would be warned of in every job's log

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls)


def _escaped(path: str) -> str:
    """What would not be part of the path in a URL. SQLAlchemy's URL does the same, and takes long to load."""
    return re.sub(r"[%?#]", lambda found: f"%{ord(found[0]):X}", path)


def http_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(host: str, port: int) -> str:
    """Where a service of this machine that listens on `host` can be called."""
    return http_url(EVERY_ADDRESS.get(host, host), port)


def variables_of_settings() -> set[str]:
    """The variables of this process that set something, which may be a password."""
    names = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    return {variable for variable in os.environ if variable.upper() in names}


def masked_url(url: str) -> str:
    """The URL without the password in its authority and in its query.

    A password may hold what should have been escaped, an @ or a slash: rather too much is hidden than too little.
    """
    hidden = re.sub(r"://([^:/?#]*):.*@", r"://\1:***@", url, count=1)
    place, mark, query = hidden.partition("?")
    return place + mark + "".join(_masked_field(part) for part in re.split(r"([&;#])", query))


def _masked_field(field: str) -> str:
    name, mark, _ = field.partition("=")
    return f"{name}=***" if mark and SECRET_FIELD.search(unquote(name)) else field


def is_in_environment(name: str) -> bool:
    """Whether a variable sets this setting: an empty one does not. Case does not matter."""
    return any(variable.upper() == f"{PREFIX}{name}".upper() and value for variable, value in os.environ.items())


def nearest(name: str) -> str | None:
    """The setting that was meant, perhaps."""
    return next(iter(difflib.get_close_matches(name.lower(), Settings.model_fields, n=1)), None)


def unknown_variables() -> list[str]:
    """The variables of our prefix that nothing reads: a misspelt one has no effect otherwise."""
    return sorted(
        variable
        for variable in os.environ
        if variable.upper().startswith(PREFIX)
        and variable.upper().removeprefix(PREFIX).lower() not in Settings.model_fields
        and not variable.startswith(OF_TESTS)
        and not SERVICE_LINK.fullmatch(variable)
    )
