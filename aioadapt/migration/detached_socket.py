"""A descriptor that no loop serves, and the bytes that were read from it.

Until it is taken, a ``DetachedSocket`` is the only owner of its descriptor.  If it is
lost, so is the connection: its finalizer then closes the descriptor and warns.
``take`` and ``put_back`` must alternate.
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
        """Hand the descriptor over: from here on the caller owns it."""
        released, self._released = self._released, None
        if released is None:
            raise MigrationOrderError(f"{self!r} was already taken")
        return released

    def put_back(self, released: Released) -> None:
        """Return what was taken: the caller could not use it."""
        if self._released is not None:
            raise MigrationOrderError(f"{self!r} was not taken")
        if released.id != self.id:
            raise MigrationOrderError(
                f"cannot put connection {released.id} back into {self!r}"
            )
        self._released = released

    def close(self) -> None:
        """No loop will serve it: the peer sees its connection close."""
        os.close(self.take().fd)

    def __del__(self) -> None:
        # __init__ may have failed before setting it.
        released = getattr(self, "_released", None)
        if released is not None:
            warnings.warn(
                f"{self!r} was lost; closing its descriptor",
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
