"""A second build of the package beside the editable one, with other settings.

It has an environment of its own that sees everything installed in this one but the
editable package: a directory that a ``.pth`` file adds is not searched for ``.pth``
files itself, and the editable package hooks in through one.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILDS = ROOT / "build"


# Without it a checkout's own folder, which is searched first where a program runs
# there, would be taken for the package.
THIS_BUILD = """
import importlib.util, pathlib, sys

class ThisBuild:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "aioadapt":
            folder = pathlib.Path(__file__).with_name(name)
            return importlib.util.spec_from_file_location(
                name, folder / "__init__.py", submodule_search_locations=[str(folder)]
            )

sys.meta_path.insert(0, ThisBuild)
"""


class BuildError(Exception):
    """The package could not be built; the message has the end of the output."""


def build_environment() -> dict[str, str]:
    """Finds this environment's cython and ninja."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def second_build(name: str, source: Path = ROOT, *, setup: Sequence[str] = ()) -> Path:
    """Build and install *source* into ``build/NAME``; builds only what has changed.

    Args:
        setup: arguments for ``meson setup``.

    Returns:
        The interpreter that imports this build.
    """
    folder = BUILDS / name
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        ours = next((folder / "venv" / "lib").glob("python3*")) / "site-packages"
        (ours / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        (ours / "this_build.py").write_text(THIS_BUILD)
        (ours / "this_build.pth").write_text("import this_build\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    pip += ["--no-deps", "--no-build-isolation", "--force-reinstall"]
    pip += ["--no-input", "--disable-pip-version-check"]
    pip += [f"--config-settings=build-dir={folder / 'meson'}"]
    pip += [f"--config-settings=setup-args={argument}" for argument in setup]
    done = subprocess.run(
        [*pip, str(source)],
        capture_output=True,
        text=True,
        check=False,
        cwd=source,
        env=build_environment(),
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-4000:]
        raise BuildError(
            f"{source} cannot be built (if its options have changed, remove "
            f"{folder / 'meson'}):\n{output}"
        )
    # pytest looks for the modules of a plugin's distribution by itself, along sys.path,
    # to rewrite their asserts.  Here it must not.
    for record in (folder / "venv").rglob("aioadapt-*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(x for x in lines if not x.startswith("aioadapt/")))
    return python
