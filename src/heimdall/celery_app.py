"""`celery -A heimdall.celery_app …`: Celery's own tools for the queue `training`, such as `purge` and `amqp`.

Not for `celery worker`: a wake-up is of use only beside a slots loop, which `heimdall worker` brings.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

from celery.signals import worker_init

from heimdall.bootstrap import load_settings
from heimdall.domain.errors import StartRefusedError
from heimdall.wake.training_queue import make_app

settings = load_settings()
if settings.broker_url is None:
    raise StartRefusedError("There is no message broker: set HEIMDALL_BROKER_URL to amqp://… first.")
app = make_app(settings.broker_url.get_secret_value())


@worker_init.connect
def refuse(**_: object) -> None:
    raise SystemExit("Start `heimdall worker` instead: this worker could run no jobs.")
