"""What ``aioadapt doctor`` knows about kernels, and the remedies for a refusal."""

import json
import re

from aioadapt._kernel.refusal import Cause
from aioadapt.cli.doctor.kernels import KNOWN_BAD
from aioadapt.cli.doctor.remedies import SECCOMP_RULES
from aioadapt.cli.doctor.remedies import remedies as remedies_of


def kernels() -> str:
    rows = [
        f"| {bad.kernels} | {bad.what} | {bad.here} | {_link(bad.reference)} |"
        for bad in KNOWN_BAD
    ]
    head = ["| kernel | reported | here | source |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _link(reference: str) -> str:
    issue = re.fullmatch(r"https://github\.com/[^/]+/(\w+)/issues/(\d+)", reference)
    return f"[{issue[1]} {issue[2]}]({reference})" if issue else reference


def remedies() -> str:
    rows: list[str] = []
    for cause in Cause:
        if cause is not Cause.UNKNOWN:
            # The cause is named on the first of its rows only.
            name = cause.value
            for remedy in remedies_of(cause):
                rows.append(f"| {name} | {remedy.where} | {_plain(remedy.do)} |")
                name = ""
    table = "\n".join(["| cause | where | do |", "| --- | --- | --- |", *rows])
    rules = json.dumps(SECCOMP_RULES, indent=2)
    return f"{table}\n\nThe entry for a seccomp profile:\n\n```json\n{rules}\n```"


def _plain(text: str) -> str:
    """*text*, which is written for a terminal, without Markdown markup."""
    return re.sub(r"([|*_<>`])", r"\\\1", text)
