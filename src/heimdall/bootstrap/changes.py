"""How this process hears of writes and of queued jobs, and where it tells of its own.

The libraries of PostgreSQL and RabbitMQ are loaded only by an installation that uses them.
"""

from pathlib import Path

from sqlalchemy import make_url

from heimdall.domain.signals import ChangeSignal, Publisher, Wake
from heimdall.settings import Settings
from heimdall.wake import DataVersionSignal, InProcessWake, PollingSignal, Silence

REQUEST_SECONDS = 0.5


def change_signal(settings: Settings) -> ChangeSignal:
    """For a job's process, which only asks what is requested of it."""
    return _data_version(settings) or PollingSignal(REQUEST_SECONDS)


def live_signal(settings: Settings) -> ChangeSignal:
    """For an API process, which follows the events of all jobs."""
    if settings.broker_url is None:
        return _database_signal(settings)
    from heimdall.wake.bus import BusSignal, EitherSignal

    # Steps, log lines and system samples are not on the bus.
    return EitherSignal([BusSignal(settings.broker_url.get_secret_value()), _database_signal(settings)])


def open_publisher(settings: Settings) -> Publisher:
    """Where the events that this process stores are told."""
    if settings.broker_url is None:
        return Silence()
    from heimdall.wake.exchange import EventExchange

    return EventExchange(settings.broker_url.get_secret_value())


def open_wake(settings: Settings, *, has_slots: bool) -> Wake:
    """`has_slots`: a slots loop of this process waits for it; otherwise it only sends."""
    if settings.broker_url is not None:
        from heimdall.wake.rabbitmq import CeleryWake

        return CeleryWake(settings.broker_url.get_secret_value(), has_slots=has_slots)
    if settings.has_shared_database and has_slots:
        from heimdall.wake.notify import NotifyWake

        return NotifyWake(_libpq_address(settings))
    return InProcessWake()


def describe_broker(settings: Settings) -> str:
    """Raises: BrokerUnavailableError."""
    if settings.broker_url is None:
        return "none is used"
    from heimdall.wake import line

    return line.describe_broker(settings.broker_url.get_secret_value())


def _database_signal(settings: Settings) -> ChangeSignal:
    if settings.has_shared_database:
        from heimdall.wake.notify import NotifySignal

        return NotifySignal(_libpq_address(settings))
    return _data_version(settings) or PollingSignal()


def _data_version(settings: Settings) -> ChangeSignal | None:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return DataVersionSignal(Path(url.database))
    return None


def _libpq_address(settings: Settings) -> str:
    url = make_url(settings.resolved_database_url).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)
