"""What the tests of the adaptive server need of this machine."""

import pytest

import aioadapt


@pytest.fixture(autouse=True)
def both_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings of whoever runs the tests."""
    for name in ("AIOADAPT_START", "AIOADAPT_THRESHOLDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    support = aioadapt.uring_support()
    if not support.available:
        pytest.skip(f"no io_uring here: {support.reason}")
