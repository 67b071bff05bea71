"""A team's installation, asked as one `heimdall up` is: PostgreSQL, RabbitMQ, Celery, S3, two APIs, one worker."""

from pathlib import Path

from obstore.store import ObjectStore
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from typing_extensions import override

from tests.e2e.service import RunningService
from tests.services.cluster import Cluster
from tests.services.rabbitmq import SharedRabbit
from tests.services.s3 import S3Server


class TeamService(RunningService):
    """Asked through one of its API processes; the worker has one slot."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.api.close()
        self._s3 = S3Server(folder / "s3.log")
        self._bucket = self._s3.new_bucket()
        environment = self._s3.environment(self._bucket)
        self._cluster = Cluster(folder, broker=SharedRabbit(), environment=environment, workers=1)
        one = self._cluster.apis[0]
        self.api, self.url, self.port = one.api, one.url, one.port

    @override
    def start(self, *, warm: bool = True) -> "TeamService":
        self._cluster.start()
        return self

    @override
    def close(self) -> int:
        codes = self._cluster.close()
        self._s3.close()
        return max(codes)

    @property
    @override
    def database_url(self) -> str:
        return self._cluster.database_url.replace("://", "+psycopg://")

    @property
    @override
    def objects(self) -> ObjectStore:
        return self._s3.store(self._bucket, "artifacts")

    @override
    def _can_write(self, job_id: str) -> bool:
        """A process that stands still within a transaction would hold the lock of its job's row."""
        statement = text("SELECT 1 FROM training_jobs WHERE id = :id FOR UPDATE NOWAIT")
        with create_engine(self.database_url, poolclass=NullPool).connect() as connection:
            try:
                connection.execute(statement, {"id": job_id})
            except OperationalError:
                return False
            return True
