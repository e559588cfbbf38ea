"""The unpacked tests of a suite, and a virtual environment in which they run.

Both are under ``build/foreign`` and are created once for each release and Python
version.  The environment contains the project from the package index, the
requirements of its tests, this checkout's aioadapt as it is currently built, and
``inject/chosen_loop.py``, which every Python process of the environment imports at
startup.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from .suites import Suite

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT / "build" / "foreign"
INJECT = Path(__file__).resolve().parent / "inject"

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"


@dataclass(frozen=True)
class Environment:
    source: Path
    """The unpacked release, without the project's own package."""
    python: Path

    def versions(self) -> str:
        """``pip freeze``: what else is installed."""
        return run(self.python, "-m", "pip", "freeze")


def make(suite: Suite) -> Environment:
    source = FOREIGN / f"{suite.name}-{suite.release}"
    if not source.exists():
        unpack(suite, source)
    venv = FOREIGN / f"{suite.name}-{suite.release}-venv-{PYTHON}"
    environment = Environment(source, venv / "bin" / "python")
    requirements = [suite.wanted, *suite.needs(source), *suite.also]
    stamp = venv / "requirements.txt"
    if not stamp.exists() or stamp.read_text().splitlines() != requirements:
        shutil.rmtree(venv, ignore_errors=True)
        run(sys.executable, "-m", "venv", venv)
        wanted = FOREIGN / f"{suite.name}-requirements.txt"
        wanted.write_text("\n".join(requirements) + "\n")
        pip = (environment.python, "-m", "pip", "install", "--quiet", "--no-input")
        run(*pip, "--requirement", wanted)
        wanted.rename(stamp)
    put_ours_in(venv)
    return environment


def unpack(suite: Suite, source: Path) -> None:
    half_done = FOREIGN / f"{suite.name}-unpacking"
    shutil.rmtree(half_done, ignore_errors=True)
    tree = (clone if suite.repository else download)(suite, half_done)
    if suite.package:
        shutil.rmtree(tree / suite.package)
    tree.rename(source)
    shutil.rmtree(half_done, ignore_errors=True)


def clone(suite: Suite, half_done: Path) -> Path:
    shallow = ("git", "clone", "--quiet", "--depth=1", f"--branch={suite.release}")
    run(*shallow, suite.repository, half_done)
    return half_done


def download(suite: Suite, half_done: Path) -> Path:
    downloads = FOREIGN / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    exact = f"{suite.name}=={suite.release}"
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-input")
    run(*pip, "--no-deps", "--no-binary", suite.name, "--dest", downloads, exact)
    as_a_file = f"{suite.name.replace('-', '_')}-{suite.release}"
    with tarfile.open(downloads / f"{as_a_file}.tar.gz") as archive:
        archive.extractall(half_done, filter="data")
    return half_done / as_a_file


def put_ours_in(venv: Path) -> None:
    """Add the checkout's editable aioadapt, without entry points, and the chosen loop."""
    [ours] = ROOT.glob(f"{Path(sys.prefix).name}/lib/python*/site-packages")
    [theirs] = venv.glob("lib/python*/site-packages")
    # How meson-python does it: a .pth file that imports a finder for the build.
    for file in ("aioadapt-editable.pth", "_aioadapt_editable_loader.py"):
        shutil.copy(ours / file, theirs / file)
    # Its name sorts after the other one's, so it is executed after it.
    (theirs / "foreign-loop.pth").write_text(f"{INJECT}\nimport chosen_loop\n")


def run(*command: str | Path) -> str:
    """Run a command; returns its output.

    Raises:
        SystemExit: it failed; its output goes to stderr.
    """
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"exit status {done.returncode} from {' '.join(words)}")
    return done.stdout
