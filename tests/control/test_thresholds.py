"""Thresholds are validated when they are created, and stored as JSON."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from aioadapt import AdaptiveEventLoop, Thresholds, ThresholdsError
from aioadapt.control import calibration


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tick_s", 0, "tick_s must be more than 0, not 0"),
        ("tick_s", "1", "tick_s must be a number, not '1'"),
        ("tick_s", math.nan, "tick_s must be more than 0, not nan"),
        ("tick_s", True, "tick_s must be a number, not True"),
        ("cooldown_s", -1.0, "cooldown_s must be 0 or more, not -1.0"),
        ("cooldown_s", math.inf, "cooldown_s must be 0 or more, not inf"),
        ("sustain_ticks", 1.5, "sustain_ticks must be a whole number, not 1.5"),
        ("down_connections", None, "down_connections must be a whole number, not None"),
        ("error_share", 1.5, "error_share must be a share from 0 to 1, not 1.5"),
        ("error_share", 0.0, "error_share must be more than 0, not 0.0"),
        (
            "down_connections",
            128,
            r"down_connections \(128\) must be less than up_connections \(128\)",
        ),
        (
            "snap_connections",
            99,
            r"snap_connections \(99\) must not be less than up_connections \(128\)",
        ),
        ("tick_s", 0.5, r"tick_s \(0.5\) times storm_ticks \+ 1 \(3\) must not exceed"),
        ("storm_ticks", 4, r"tick_s \(0.25\) times storm_ticks \+ 1 \(5\) must not"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    field: str, value: Any, message: str
) -> None:
    with pytest.raises(ThresholdsError, match=f"^{message}"):
        replace(Thresholds(), **{field: value})
    with pytest.raises(ThresholdsError, match=f"^{message}"):
        Thresholds.from_json({field: value})


def test_every_field_has_a_rule() -> None:
    """A field missing from the lists of checks would accept -1."""
    for field in fields(Thresholds):
        with pytest.raises(ThresholdsError, match=field.name):
            replace(Thresholds(), **{field.name: -1})


def test_json_and_back() -> None:
    thresholds = Thresholds(up_connections=200, snap_connections=300, cooldown_s=3)

    text = json.dumps(thresholds.to_json())

    assert Thresholds.from_json(text) == thresholds
    assert Thresholds.from_json(json.loads(text)) == thresholds


def test_io_uring_may_never_be_better() -> None:
    never = Thresholds(up_connections=None, down_connections=1000)

    assert Thresholds.from_json(json.dumps(never.to_json())) == never


def test_what_is_not_named_has_its_default() -> None:
    assert Thresholds.from_json({"cooldown_s": 3.0}) == Thresholds(cooldown_s=3.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"up": 3}, "unknown threshold 'up'; known: .*up_connections"),
        ("{", "thresholds are not valid JSON: "),
        ("[]", r"thresholds must be a JSON object or a mapping, not \[\]"),
    ],
)
def test_what_is_no_thresholds(values: Any, message: str) -> None:
    with pytest.raises(ThresholdsError, match=message):
        Thresholds.from_json(values)


# -- where they are stored


def test_stored_and_found_again(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    thresholds = Thresholds(cooldown_s=3.0)
    assert calibration.load(environ=environ) is None

    path = calibration.save(thresholds, measured={"cores": 2}, environ=environ)

    assert path == tmp_path / "config" / "aioadapt" / "thresholds.json"
    assert calibration.load(environ=environ) == thresholds
    assert json.loads(path.read_text())["measured"] == {"cores": 2}
    assert list(path.parent.iterdir()) == [path]


def test_where_they_are(tmp_path: Path) -> None:
    home = Path.home() / ".config" / "aioadapt" / "thresholds.json"

    assert calibration.thresholds_path({}) == home
    assert calibration.thresholds_path({"XDG_CONFIG_HOME": "relative"}) == home
    named = {"AIOADAPT_THRESHOLDS": "/t.json", "XDG_CONFIG_HOME": "/config"}
    assert calibration.thresholds_path(named) == Path("/t.json")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """The default file may be missing: it exists only after a calibration."""
    environ = {"AIOADAPT_THRESHOLDS": str(tmp_path / "none.json")}

    with pytest.raises(
        ThresholdsError, match="cannot read the thresholds in .*none.json"
    ):
        calibration.load(environ=environ)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"{}", "the key 'thresholds' is missing"),
        (b'{"thresholds": {"tick_s": 0}}', "tick_s must be more than 0"),
        (b"\xff", "cannot read the thresholds"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)

    with pytest.raises(ThresholdsError, match=message) as raised:
        calibration.load(path)
    assert str(path) in str(raised.value)
    assert "aioadapt calibrate" in str(raised.value)


def test_a_user_without_a_home_folder_has_stored_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a container the user may have no entry; asyncpg's suite tries it."""

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)

    assert calibration.load(environ={}) is None
    AdaptiveEventLoop().close()
    with pytest.raises(ThresholdsError, match="no home folder"):
        calibration.save(Thresholds(), environ={})
