"""The command line: help, and invalid arguments."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from aioadapt.cli import main as door


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_help_is_no_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(arguments) == 0
    assert "Usage: aioadapt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "app:app", "--port", "soon"], "--port"),
        (["top", "--interval-s", "0"], "--interval-s"),
        (["serve", "app:app", "--engines"], "--engines"),
        (["doctor", "now"], "now"),
        (["sevre"], "sevre"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("aioadapt: ")
    assert named in printed.err


def test_a_missing_extra_is_one_line_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "uvicorn" else importlib.util.find_spec(name)

    monkeypatch.setattr(door, "find_spec", find_spec)
    assert door.main(["serve"]) == 2
    assert capsys.readouterr().err == (
        'aioadapt: not installed: uvicorn; run pip install "aioadapt[serve,cli]"\n'
    )
