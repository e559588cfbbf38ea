"""The suite passes however it is started, and whatever else runs on the machine."""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent

SENSITIVE = [
    "tests/parity/test_signals.py::test_a_program_that_gets_ctrl_c_cleans_up_and_dies_of_it",
    "tests/test_hermetic.py::test_what_a_test_sees_is_its_own",
]


def test_what_a_test_sees_is_its_own() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert "AIOADAPT_ENGINE" not in os.environ
    assert os.environ["PATH"].split(":")[0] == sysconfig.get_path("scripts")
    # Other packages keep settings there, too.
    assert not Path(os.environ["XDG_CONFIG_HOME"], "aioadapt").exists()


def test_it_passes_as_a_background_job_with_settings_of_its_users() -> None:
    """A shell makes background jobs ignore SIGINT, and child processes inherit it."""

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SENSITIVE],
        env=os.environ
        | {"AIOADAPT_ENGINE": "none", "AIOADAPT_START": "none", "PATH": os.defpath},
        cwd=ROOT,
        preexec_fn=ignore,
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )

    assert done.returncode == 0, done.stdout
