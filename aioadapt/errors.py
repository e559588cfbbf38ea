"""Every exception that a user of aioadapt may want to catch."""


class AioadaptError(Exception):
    """The root: ``except AioadaptError`` catches whatever is ours."""


class UringUnavailableError(AioadaptError, OSError):
    """io_uring cannot be used here; the message says why and what to do."""


class UnknownEngineError(AioadaptError, ValueError):
    """There is no engine of that name; the message lists those there are."""


class WrongThreadError(AioadaptError, RuntimeError):
    """Something that belongs to one thread was used on another."""


class ForkedLoopError(AioadaptError, RuntimeError):
    """A loop was used in a forked child; its kernel objects belong to the parent."""


class LoopStoppedError(AioadaptError, RuntimeError):
    """The loop that should have taken a call or a connection has stopped."""


class MigrationOrderError(AioadaptError, RuntimeError):
    """An event was reported to a move that its phase does not allow."""


class ServeError(AioadaptError):
    """A server cannot start as it was asked to; the message is one line for its user."""


class ForeignLoopError(AioadaptError, RuntimeError):
    """The application used on one loop what belongs to another one."""


class ThresholdsError(AioadaptError, ValueError):
    """A threshold of the controller is unknown or makes no sense; the message names it."""
