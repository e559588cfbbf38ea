"""The exceptions that users of aioadapt may want to catch."""


class AioadaptError(Exception):
    """The base class: ``except AioadaptError`` catches all of aioadapt's errors."""


class UringUnavailableError(AioadaptError, OSError):
    """io_uring cannot be used here; the message says why and what to do."""


class UnknownEngineError(AioadaptError, ValueError):
    """There is no engine of that name; the message lists the known ones."""


class WrongThreadError(AioadaptError, RuntimeError):
    """An object that belongs to one thread was used on another."""


class ForkedLoopError(AioadaptError, RuntimeError):
    """A loop was used in a forked child; its kernel objects belong to the parent."""


class LoopStoppedError(AioadaptError, RuntimeError):
    """The loop that should have taken a call or a connection has stopped."""


class MigrationOrderError(AioadaptError, RuntimeError):
    """An event was reported that a move's phase does not allow."""


class ServeError(AioadaptError):
    """A server cannot start as requested; the message is one line, for its user."""


class ForeignLoopError(AioadaptError, RuntimeError):
    """The application used an object of one loop on another loop."""


class ThresholdsError(AioadaptError, ValueError):
    """A controller threshold is unknown or invalid; the message names it."""
