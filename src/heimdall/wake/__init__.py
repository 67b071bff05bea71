"""Wake-ups between processes and threads: they say when to look and carry nothing that must not be lost."""

from heimdall.wake.data_version import DataVersionSignal
from heimdall.wake.inprocess import InProcessWake
from heimdall.wake.polling import PollingSignal
from heimdall.wake.silence import Silence

__all__ = ["DataVersionSignal", "InProcessWake", "PollingSignal", "Silence"]
