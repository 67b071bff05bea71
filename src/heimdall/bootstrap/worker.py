"""`heimdall worker`: the slots loop of one machine of many."""

import logging
import signal
import threading
from contextlib import ExitStack
from types import FrameType

import heimdall
from heimdall.bootstrap.configuration import configure_logging, warn_of_strange_variables
from heimdall.bootstrap.folder_lock import FolderLock
from heimdall.bootstrap.installation import open_installation
from heimdall.bootstrap.shared import require_shared
from heimdall.bootstrap.slots import open_slots
from heimdall.bootstrap.trainers import warn_of_trainers
from heimdall.settings import Settings

logger = logging.getLogger(__name__)


def run_worker(settings: Settings) -> int:
    """Run jobs until a signal, then give them back. Raises: HeimdallError when it cannot start."""
    require_shared(settings, "worker")
    configure_logging(settings)
    warn_of_strange_variables()
    warn_of_trainers()
    data_dir = settings.data_dir.resolve()
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    with ExitStack() as stack:
        stack.enter_context(FolderLock(data_dir))
        installation = open_installation(settings, mode="create_only")
        stack.callback(installation.close)
        slots = open_slots(installation)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        threading.Thread(target=slots.run, name="slots").start()
        logger.info("Heimdall %s works with %d slots, data in %s", heimdall.__version__, settings.slots, data_dir)
        told.wait()
        logger.info("Told to stop: running jobs go back to the queue")
        slots.stop()
    return 0
