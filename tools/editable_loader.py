"""Finds aioadapt in a virtual environment of ./run: sources here, compiled modules there.

It takes the place of meson-python's loader, which costs every Python that starts 50 ms
(measured); the tests start some two thousand.
"""

import sys
from importlib._bootstrap_external import spec_from_file_location
from importlib.machinery import ModuleSpec
from os.path import isfile

ROOT = BUILD = ""
"""The checkout and its build; ./run sets them in a line after this text."""


class Finder:
    """A package is in two folders; Python itself finds the modules in both."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        at = name.replace(".", "/")
        if not at.startswith("aioadapt") or not isfile(f"{ROOT}/{at}/__init__.py"):
            return None
        return spec_from_file_location(
            name,
            f"{ROOT}/{at}/__init__.py",
            submodule_search_locations=[f"{ROOT}/{at}", f"{BUILD}/{at}"],
        )


def init() -> None:
    sys.meta_path.insert(0, Finder)
