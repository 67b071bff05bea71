"""How a trainer stops when asked to."""


class StopTraining(BaseException):
    """Raised inside a trainer by its context when the attempt must stop here. Let it pass."""
