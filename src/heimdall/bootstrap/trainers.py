"""Says which installed trainers cannot be used."""

import logging

from heimdall.domain.errors import InvalidInputError
from heimdall.sdk.registry import find_trainers

logger = logging.getLogger(__name__)


def warn_of_trainers() -> None:
    for name, reason in find_trainers().left_out.items():
        logger.error("The trainer %s is left out: %s", name, reason)


def describe_trainers() -> str:
    """Raises: InvalidInputError, when some are left out."""
    trainers = find_trainers()
    usable = ", ".join(trainers.specs)
    if trainers.left_out:
        refused = "; ".join(f"{name}: {reason}" for name, reason in trainers.left_out.items())
        raise InvalidInputError(f"{refused}. Usable: {usable}.")
    return usable
