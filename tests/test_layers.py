"""The structure of the source tree: what may import what, and what must be documented.

Imports are read from the sources, not from the running package, so that an
import inside a function or a branch counts, too.  Imports under
``if TYPE_CHECKING:`` may point up, since they never run; but no circle may hold one.
"""

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aioadapt"

# Lowest first.  A package may import its own layer and the ones below it.
LAYERS: list[set[str]] = [
    {"errors", "stats", "stdlib_private"}
    | {"nesting", "pipes", "selector_view", "sendfile", "sock_calls"}
    | {"socket_methods", "subprocesses"},
    {"_kernel"},
    {"_http1", "support"},
    {"_loop"},
    {"_engine"},
    {"_stream"},
    {"_datagram"},
    {"control"},
    {"native_loop", "epoll_loop", "uring_loop", "adaptive_loop"},
    {"engine", "policy", "asyncio_default"},
    {"loop_thread", "migration"},
    {"standby"},
    {"aioadapt"},  # the public names; the layers above import them as users do
    {"serving", "integrations", "pytest_plugin", "measure"},
    {"_testing"},
    {"cli"},
    {"__main__"},
]
LAYER_OF = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
NEW_ROOM = len(LAYERS)

# Packages that may import only these of our packages.
ALONE = {
    "errors": set[str](),
    "stats": set[str](),
    "stdlib_private": {"errors"},
    "_http1": {"errors"},
}

# Pure rules: they import only the standard library, each other and the errors they
# raise.
PURE = ["phase.py", "decide.py", "sample.py", "thresholds.py"]

# Files should have about 400 lines; a much longer one holds two ideas.  A test
# file is a list, read one test at a time, and may be longer.
LINES_AT_MOST = {"aioadapt": 450, "tests": 650}
LINES_AT_MOST_ELSEWHERE = 450
# File: (its own limit, why it cannot be split).
LONGER: dict[str, tuple[int, str]] = {}

SOURCES = sorted(
    path
    for suffix in ("py", "pyi", "pyx", "pxd")
    for folder in ("aioadapt", "demo", "tests", "benchmarks", "examples", "tools")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str:
    """``aioadapt._loop.timers`` is in ``_loop``; ``aioadapt`` is in itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def layer_of(module: str) -> int:
    return LAYER_OF.get(room_of(module), NEW_ROOM)


@cache
def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exists(module: str) -> bool:
    stem = ROOT.joinpath(*module.split("."))
    return any(
        path.exists()
        for path in (stem, stem.with_suffix(".py"), stem.with_suffix(".pyx"))
    )


def absolute(path: Path, level: int, module: str) -> str:
    """The full module name of ``from ...module import`` in this file."""
    if level == 0:
        return module
    package = path.relative_to(ROOT).parts[:-1]
    base = package[: len(package) - level + 1]
    return ".".join([*base, module] if module else base)


def named(base: str, names: list[str]) -> Iterator[str]:
    """``from base import a, b``: a and b are submodules, or names in base."""
    for name in names:
        submodule = f"{base}.{name}"
        yield submodule if base.startswith("aioadapt") and exists(submodule) else base


class PythonImports(ast.NodeVisitor):
    def __init__(self, path: Path, *, with_types: bool) -> None:
        self.path = path
        self.with_types = with_types
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test) and not self.with_types:
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = absolute(self.path, node.level, node.module or "")
        self.found.update(named(base, [alias.name for alias in node.names]))


CYTHON_FROM = re.compile(
    r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]*)", re.M
)
CYTHON_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([\w., \t]+)$", re.M)


def cython_imports(path: Path) -> set[str]:
    text = re.sub(r"#.*", "", path.read_text())
    found: set[str] = set()
    for dots, module, names in CYTHON_FROM.findall(text):
        base = absolute(path, len(dots), module)
        found.update(named(base, re.findall(r"(\w+)(?:\s+as\s+\w+)?", names)))
    for modules in CYTHON_IMPORT.findall(text):
        found.update(re.findall(r"([\w.]+)(?:\s+as\s+\w+)?", modules))
    return found


@cache
def imports_of(path: Path, *, with_types: bool = False) -> frozenset[str]:
    if path.suffix in (".pyx", ".pxd"):
        return frozenset(cython_imports(path))
    visitor = PythonImports(path, with_types=with_types)
    visitor.visit(ast.parse(path.read_text()))
    return frozenset(visitor.found)


def ours(path: Path) -> list[str]:
    return sorted(m for m in imports_of(path) if m.split(".")[0] == "aioadapt")


def in_package(*suffixes: str) -> list[Path]:
    return [p for p in SOURCES if p.is_relative_to(PACKAGE) and p.suffix in suffixes]


def test_every_room_has_a_layer() -> None:
    rooms = {room_of(module_of(path)) for path in in_package(".py", ".pyx", ".pxd")}

    assert rooms <= LAYER_OF.keys(), "name the new room in LAYERS"


def test_imports_point_down() -> None:
    upward = [
        f"{name_of(path)} imports {module}"
        for path in in_package(".py", ".pyx", ".pxd")
        for module in ours(path)
        if layer_of(module) > layer_of(module_of(path))
    ]

    assert upward == []


def test_no_files_import_each_other_in_a_circle() -> None:
    """Not even for types.  aioadapt itself, which has the public names, is exempt."""
    graph: dict[str, set[str]] = {}
    for path in in_package(".py", ".pyi", ".pyx", ".pxd"):
        module = module_of(path)
        found = imports_of(path, with_types=True) - {module, "aioadapt"}
        graph.setdefault(module, set()).update(
            name for name in found if name.startswith("aioadapt.")
        )

    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names one


def test_rooms_that_stand_alone_import_nothing_of_ours() -> None:
    strays = [
        f"{name_of(path)} imports {module}"
        for path in in_package(".py", ".pyx", ".pxd")
        if (room := room_of(module_of(path))) in ALONE
        for module in ours(path)
        if room_of(module) not in ALONE[room] | {room}
    ]

    assert strays == []


def test_only_the_streams_know_the_wire_watcher() -> None:
    users = {
        room_of(module_of(path))
        for path in in_package(".py", ".pyx", ".pxd")
        for module in ours(path)
        if room_of(module) == "_http1"
    }

    assert users <= {"_http1", "_stream"}


def is_pure(module: str) -> bool:
    *_, name = module.split(".")
    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names or (
        module.startswith("aioadapt.") and f"{name}.py" in [*PURE, "errors.py"]
    )


def test_pure_rules_import_only_the_standard_library() -> None:
    impure = [
        f"{name_of(path)} imports {module}"
        for path in in_package(".py")
        if path.name in PURE
        for module in imports_of(path)
        if not is_pure(module)
    ]

    assert impure == []


def test_no_source_is_included_as_text() -> None:
    """Modules use cimport instead: each is compiled, and read, on its own."""
    pasted = [
        name_of(path)
        for path in in_package(".pyx", ".pxd")
        if re.search(r"^[ \t]*include[ \t]+[\"']", path.read_text(), re.M)
    ]

    assert pasted == []
    assert list(PACKAGE.rglob("*.pxi")) == []


def test_a_compiled_module_that_python_imports_has_a_stub() -> None:
    python = [path for path in SOURCES if path.suffix == ".py"]
    imported = {module for path in python for module in ours(path)}

    without = [
        name_of(path)
        for path in in_package(".pyx")
        if module_of(path) in imported and not path.with_suffix(".pyi").exists()
    ]

    assert without == []


FOLDERS = sorted({path.parent for path in in_package(".py", ".pyi", ".pyx", ".pxd")})


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_meson_lists_what_the_folder_holds(folder: Path) -> None:
    """A file that is not listed is missing from every wheel, and only there.

    A ``.pxd`` is only needed for the build and need not be installed.
    """
    build = folder / "meson.build"
    assert build.exists(), f"{name_of(folder)} needs a meson.build"
    text = re.sub(r"#.*", "", build.read_text())
    listed = set(re.findall(r"'([^'\n]+)'", text))

    held = {
        path.stem if path.suffix == ".pyx" else path.name
        for path in folder.iterdir()
        if path.suffix in (".py", ".pyi", ".pyx") or path.name == "py.typed"
    }
    rooms = {path.parent.name for path in folder.glob("*/meson.build")}
    gone = {
        name
        for name in listed
        if re.search(r"\w\.(py|pyi|pyx|pxd)$", name) and not (folder / name).exists()
    }

    assert held - listed == set(), "not listed"
    assert rooms - set(re.findall(r"subdir\('([^']+)'\)", text)) == set(), "no subdir()"
    assert gone == set(), "listed, and not there"
    assert set(re.findall(r"subdir: '([^']+)'", text)) == {name_of(folder)}


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def lines_at_most(path: Path) -> int:
    folder = path.relative_to(ROOT).parts[0]
    return LINES_AT_MOST.get(folder, LINES_AT_MOST_ELSEWHERE)


def test_files_stay_small_enough_to_be_read_in_one_go() -> None:
    too_long = {
        name_of(path): f"{lines_of(path)} lines"
        for path in [*SOURCES, ROOT / "run"]
        if lines_of(path) > LONGER.get(name_of(path), (lines_at_most(path), ""))[0]
    }

    assert too_long == {}


def test_a_file_that_became_short_needs_no_exception() -> None:
    paths = [ROOT / name for name in LONGER]

    needless = [
        name_of(path)
        for path in paths
        if not path.exists() or lines_of(path) <= lines_at_most(path)
    ]

    assert needless == []
