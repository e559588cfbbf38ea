"""It imports a missing package."""

import no_such_library  # type: ignore[import-not-found]

app = no_such_library
