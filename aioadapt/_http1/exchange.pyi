class Exchange:
    """Watches one server connection's bytes; says when it is between requests."""

    @property
    def requests(self) -> int:
        """How many requests have begun."""

    @property
    def responses(self) -> int:
        """How many have been answered completely."""

    @property
    def quiet(self) -> bool:
        """Nothing is under way in either direction, and more may come."""

    @property
    def opaque(self) -> bool:
        """What passes can't be followed any more; it stays so."""

    @property
    def why(self) -> str:
        """Why it is not quiet, in a few words; empty where it is."""

    def inbound(self, data: bytes) -> None:
        """The client has sent *data*."""

    def outbound(self, data: bytes) -> None:
        """The server writes *data*."""
