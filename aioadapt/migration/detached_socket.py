"""A descriptor that no loop serves, and what was read from it.

While a ``DetachedSocket`` has not been taken it is the only owner of its descriptor:
whoever loses it loses the connection, so its end closes the descriptor and
says so.  Taking and putting back are each allowed in one order only.
"""

import os
import warnings
from typing import Any

from aioadapt.errors import MigrationOrderError

from .ports import Released


class DetachedSocket:
    """Owns ``released.fd`` from the moment it is made until :meth:`take`."""

    __slots__ = ("_released", "id", "peername", "sockname", "unread_bytes")

    def __init__(self, released: Released) -> None:
        self._released: Released | None = released
        self.id: int = released.id
        self.peername: Any = released.peername
        self.sockname: Any = released.sockname
        self.unread_bytes: int = len(released.unread)

    def take(self) -> Released:
        """The descriptor is the caller's from here on."""
        released, self._released = self._released, None
        if released is None:
            raise MigrationOrderError(f"{self!r} was taken before")
        return released

    def put_back(self, released: Released) -> None:
        """The caller could do nothing with what it took."""
        if self._released is not None:
            raise MigrationOrderError(f"{self!r} was not taken")
        if released.id != self.id:
            raise MigrationOrderError(f"connection {released.id} put into {self!r}")
        self._released = released

    def close(self) -> None:
        """Nobody will serve it: the peer sees its connection end."""
        os.close(self.take().fd)

    def __del__(self) -> None:
        # __init__ may have failed before there was anything to own.
        released = getattr(self, "_released", None)
        if released is not None:
            warnings.warn(
                f"{self!r} was lost; its descriptor is closed now",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            self.close()

    def __repr__(self) -> str:
        held = "nothing" if self._released is None else f"fd {self._released.fd}"
        return (
            f"<DetachedSocket of connection {self.id} from {self.peername!r}: holds {held}, "
            f"{self.unread_bytes} unread bytes>"
        )
