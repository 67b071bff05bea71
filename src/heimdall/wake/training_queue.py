"""The queue `training` as Celery knows it."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from celery import Celery
from kombu.entity import Queue

QUEUE = "training"
WAKE = "heimdall.wake"


def make_app(url: str) -> Celery:
    app = Celery("heimdall", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(QUEUE)],
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_default_delivery_mode="transient",  # a wake-up that is lost costs seconds
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # there are none; unset, Celery warns
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2.0,
        broker_heartbeat=10,
    )
    return app
