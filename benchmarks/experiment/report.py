"""Writes and reads the report's files: results as JSON, tables, plots."""

import json
import tempfile
from pathlib import Path
from typing import Any

from aioadapt.measure.usage import ExperimentError

from . import markdown, plots

#: The Python version whose report files have no version in their names.
MAIN_PYTHON = "3.11"


def suffix_of(results: dict[str, Any]) -> str:
    version = results["machine"]["python_minor"]
    return "" if version == MAIN_PYTHON else f"-{version}"


def load(path: Path) -> dict[str, Any]:
    """Read results from a file.

    Raises:
        ExperimentError: it cannot be read, or contains something else.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"cannot read results from {path}: {error}") from error
    if not isinstance(results, dict) or not {"machine", "steps", "switches"} <= set(
        results
    ):
        raise ExperimentError(
            f"{path} does not contain results of `./run report`: there are no machine, "
            f"steps and switches in it"
        )
    return results


def check_folder(folder: Path) -> None:
    """Create the folder, and check that a report can be written there.

    Raises:
        ExperimentError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ExperimentError(
            f"cannot write a report into {folder}: {error.strerror}; choose another "
            f"folder with --output"
        ) from error


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write JSON, Markdown and plots of *results*.

    Results of other Python versions in the folder are included in the comparison.

    Raises:
        ExperimentError: the folder cannot be created or written to.
    """
    check_folder(folder)
    suffix = suffix_of(results)
    data = folder / f"results{suffix}.json"
    data.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    pictures = plots.draw(results, folder, suffix)
    others = {
        found["machine"]["python_minor"]: found
        for path in sorted(folder.glob("results*.json"))
        if path != data and suffix_of(found := load(path)) != suffix
    }
    text = folder / f"results{suffix}.md"
    text.write_text(markdown.render(results, others, plots=pictures), encoding="utf-8")
    return [data, text, *(folder / name for name in pictures)]
