"""The public names are imported lazily, each independently of the others."""

import ast
import sys
from pathlib import Path

from programs import printed_by_python

import aioadapt

HOMES: dict[str, str] = aioadapt._HOMES  # type: ignore[attr-defined]


def test_the_type_checker_finds_each_name_where_the_program_does() -> None:
    tree = ast.parse(Path(aioadapt.__file__).read_text())
    [for_types] = [node for node in tree.body if isinstance(node, ast.If)]

    seen = {
        alias.name: node.module
        for node in for_types.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert seen == HOMES


def test_names_that_need_nothing_else_are_what_a_star_gives() -> None:
    assert {*aioadapt.__all__} == {*HOMES} - {
        "AdaptiveServer",
        "EventLoopPolicy",
        "serve",
    }


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(aioadapt, "SelectEventLoop")


def test_dir_lists_names_that_nobody_has_asked_for_yet() -> None:
    assert {*HOMES} <= {*dir(aioadapt)}


def test_each_name_can_be_the_first_one_asked_for() -> None:
    """Each in its own fork of a process in which none has been looked up:
    with circular imports only one order would work."""
    program = """
import os, sys, traceback, warnings
import aioadapt
assert not [name for name in sys.modules if name.startswith("aioadapt.")]
warnings.simplefilter("ignore", DeprecationWarning)
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            getattr(aioadapt, name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"aioadapt.{name} cannot be asked for first")
"""
    names = [
        name
        for name in HOMES
        if name != "EventLoopPolicy" or sys.version_info < (3, 16)
    ]

    printed_by_python("-W", "error", "-c", program, *names)
