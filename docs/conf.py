"""How Sphinx builds these pages: ``./run docs``.

Nothing is fetched from the network.  So references to Python's own documentation
remain plain text.  They are listed below, so that every other reference has to
resolve.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

project = "aioadapt"
author = "The aioadapt developers"
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docs._ext.from_code",
]

source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Commands are also named in prose and in tables that are generated as plain text:
# with smart quotes, -- would become a dash there, and quotes would become curly.
smartquotes = False

html_theme = "furo"
html_title = "aioadapt"
html_copy_source = False
html_show_sphinx = False

autodoc_member_order = "bysource"
# The fields of a dataclass are explained in its docstring.
napoleon_use_ivar = True

nitpick_ignore_regex = [
    # Python's own, and types in signatures that are not public.
    (
        r"py:.*",
        r"(asyncio|collections|concurrent|socket|ssl|contextlib|pathlib|types)\..*",
    ),
    (
        r"py:.*",
        r"(Coroutine|Callable|Awaitable|Mapping|Sequence|Self|Any|TracebackType)",
    ),
    (r"py:.*", r"(frozenset|optional|_T|T|Engine|tuple\[int)"),
    (r"py:class", r"aioadapt\..*\.(_T|T|ServingLoop|NativeLoop|Engine)"),
    (r"py:class", r"ServingLoop|aioadapt\.serving\.options\.Settings"),
]
