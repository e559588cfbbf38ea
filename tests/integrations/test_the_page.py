"""``docs/integrations.md``, the README, the extras and the tests agree."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from integrations.consumers import (
    PAGE,
    README,
    ROOT,
    SECTIONS,
    TESTS,
    commands_in_readme,
    consumers,
    marked_in,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from aioadapt.integrations.requirements import OLDEST

CONSUMERS = list(consumers().values())

MARKS = [mark for path in sorted(TESTS.rglob("test_*.py")) for mark in marked_in(path)]


def oldest_versions() -> dict[str, str]:
    """The ``name>=version`` requirements of the extra ``test``, included extras too."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    oldest: dict[str, str] = {}
    todo, seen = ["test"], set[str]()
    while todo:
        extra = todo.pop()
        seen.add(extra)
        for requirement in map(Requirement, extras[extra]):
            if requirement.name == "aioadapt":
                todo += requirement.extras - seen
                continue
            for specifier in requirement.specifier:
                assert specifier.operator == ">="
                oldest[canonicalize_name(requirement.name)] = specifier.version
    return oldest


def test_the_page_has_its_sections() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)

    assert [heading for heading in headings if heading in SECTIONS] == list(SECTIONS)
    assert {consumer.section for consumer in CONSUMERS} <= set(SECTIONS)


def test_every_consumer_on_the_page_has_a_test() -> None:
    tested = {name for name, _ in MARKS}

    assert [c.name for c in CONSUMERS if c.name not in tested] == []


def test_the_consumer_of_every_test_is_on_the_page() -> None:
    """Otherwise a typo in a name would pass, and users would not find the consumer."""
    strays = [f"{where}: {name}" for name, where in MARKS if name not in consumers()]

    assert strays == []


def test_the_readme_has_the_same_lines() -> None:
    commands = commands_in_readme()

    assert commands
    assert set(commands) <= {consumer.line for consumer in CONSUMERS}


def not_there_yet(path: Path) -> list[str]:
    """The items of the list after "Not there yet", each on one line."""
    after = path.read_text().partition("Not there yet")[2]
    found = re.search(r"(?:^- .+\n(?:^  .+\n)*)+", after, re.MULTILINE)
    assert found is not None, f"no list in {path}"
    items = re.split(r"^- ", found[0], flags=re.MULTILINE)[1:]
    return [" ".join(item.split()) for item in items]


def test_the_page_of_limits_is_the_only_list_of_what_is_missing() -> None:
    """The README links to it, so the two cannot disagree."""
    readme = README.read_text()

    assert not_there_yet(ROOT / "docs" / "limits.md")
    assert "docs/limits.md" in readme
    assert "Not there yet" not in readme


def test_nothing_on_the_page_is_said_to_be_missing() -> None:
    packages = sorted({package for c in CONSUMERS for package in c.needs})
    missing = " ".join(not_there_yet(ROOT / "docs" / "limits.md")).lower()

    assert [name for name in packages if re.search(rf"\b{name}\b", missing)] == []


@pytest.mark.parametrize("name", consumers())
def test_what_a_consumer_needs_is_what_its_tests_ask_for(name: str) -> None:
    oldest = oldest_versions()
    needs = consumers()[name].needs

    assert needs == {package: oldest[canonicalize_name(package)] for package in needs}


@pytest.mark.parametrize("package", sorted(OLDEST.keys() & oldest_versions().keys()))
def test_our_own_modules_ask_for_the_same(package: str) -> None:
    assert OLDEST[package] == oldest_versions()[package]


@pytest.mark.parametrize("name", consumers())
def test_what_was_tested_is_about_what_is_tested_here(name: str) -> None:
    """Only major versions are compared, so that a release needs no new page."""
    consumer = consumers()[name]
    assert consumer.tested.keys() == consumer.needs.keys()

    for package, tested in consumer.tested.items():
        assert Version(tested) >= Version(consumer.needs[package])
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
        assert Version(tested).major == Version(installed).major
