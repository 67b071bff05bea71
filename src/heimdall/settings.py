"""The one place that reads the environment.

Flags win over `HEIMDALL_…` variables, those over a `heimdall.toml` in the working folder.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SHORTEST_SECRET = 16


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


Secret = Annotated[SecretStr | None, AfterValidator(_usable_secret)]


class Settings(BaseSettings):
    """What an installation can be told. `heimdall config` prints what is in force."""

    model_config = SettingsConfigDict(
        env_prefix="HEIMDALL_", toml_file="heimdall.toml", extra="forbid", frozen=True, validate_default=True
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
    gpus: list[str] | None = Field(
        None, description="GPUs for jobs, as CUDA_VISIBLE_DEVICES names them; all of this machine by default."
    )
    allowed_hosts: list[str] = Field([], description="Host names accepted besides loopback and the bound address.")
    allowed_origins: list[str] = Field([], description="Origins of web pages that may call the API besides its own.")
    admin_token: Secret = Field(None, description="A token of role admin that needs no row in the database.")
    requests_per_minute: int = Field(
        30_000, ge=0, description="Requests of one token, or of one peer without token; 0 for no limit."
    )
    failed_logins_per_minute: int = Field(30, ge=0, description="Wrong tokens of one peer; 0 for no limit.")
    forwarded_allow_ips: str = Field("127.0.0.1", description="Peers whose X-Forwarded-… headers count.")
    keep_events_days: int | None = Field(
        None, ge=1, description="Empty step, log and system events of jobs ended so long."
    )
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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def resolved_database_url(self) -> str:
        """The database's address with its password; `sqlite:///{data_dir}/heimdall.db` by default."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'heimdall.db'}"

    @property
    def has_shared_database(self) -> bool:
        """Whether processes on other machines can use the database too."""
        return not self.resolved_database_url.startswith("sqlite")

    @property
    def resolved_artifacts_url(self) -> str:
        return self.artifacts_url or (self.data_dir.resolve() / "artifacts").as_uri()

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK or self.host.startswith("127.")

    def masked(self) -> dict[str, Any]:
        """What is in force, for people: passwords hidden."""
        shown = self.model_dump(mode="json")
        shown["database_url"] = _masked(self.resolved_database_url)
        shown["broker_url"] = None if self.broker_url is None else _masked(self.broker_url.get_secret_value())
        shown["artifacts_url"] = self.resolved_artifacts_url
        shown["data_dir"] = str(self.data_dir.resolve())
        return shown


def _masked(url: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
