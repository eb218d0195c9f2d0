"""What an environment's checks come to: a verdict, a page for people, and what is kept as evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from interlock.environment.check import AREAS, Check, blocking

Verdict = Literal["passed", "not-passed"]
TITLES: Final[Mapping[str, str]] = {
    "github": "GitHub",
    "vault": "Vault",
    "tools": "Tools",
    "store": "Evidence store",
}
_MARKS: Final[Mapping[str, str]] = {"ok": "ok", "finding": "FINDING", "not-checked": "NOT CHECKED"}


@dataclass(frozen=True, slots=True)
class Result:
    """All checks of an environment at one time, without what looks like a secret.

    Attributes:
        environment: its name.
        at: when it was looked at.
        checks: what was found, area by area.
    """

    environment: str
    at: datetime
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, environment: str, at: datetime, checks: Iterable[Check]) -> Result:
        """The result of these checks; an area without any is itself one that was not looked at."""
        found = tuple(check.withheld() for check in checks)
        seen = {check.area for check in found}
        absent = [
            Check(
                f"{area}.looked-at",
                TITLES[area],
                environment,
                "not-checked",
                "nothing was told of it: its task ended without an answer",
                "Look at the log of that task, and run the check again",
            )
            for area in AREAS
            if area not in seen
        ]
        return cls(environment, at, (*found, *absent))

    @property
    def verdict(self) -> Verdict:
        """`passed`: nothing that matters is wrong, and all that matters was looked at."""
        return "not-passed" if blocking(self.checks) else "passed"

    @property
    def collection(self) -> str:
        """How evidence is collected: `worm` or `temporary`."""
        worm = any(check.code == "store.collection" and check.status == "ok" for check in self.checks)
        return "worm" if worm else "temporary"

    @property
    def counts(self) -> dict[str, int]:
        """How many checks have each status, and how many of them block."""
        found = Counter(check.status for check in self.checks)
        return {status: found[status] for status in ("ok", "finding", "not-checked")} | {
            "blocking": len(blocking(self.checks))
        }

    @property
    def summary(self) -> str:
        """One line."""
        counts = self.counts
        return (
            f"environment {self.environment}: {self.verdict.upper()}: {counts['ok']} in order, "
            f"{counts['finding']} findings, {counts['not-checked']} not checked; "
            f"{counts['blocking']} keep it from passing"
        )

    def fields(self) -> dict[str, Any]:
        """What a statement of type `environment-check` says."""
        return {
            "environment": self.environment,
            "verdict": self.verdict,
            "collection": self.collection,
            "counts": self.counts,
            "blocking": sorted({check.code for check in blocking(self.checks)}),
        }

    def evidence(self) -> dict[str, Any]:
        """What goes beside the statement: each check."""
        return {"environment": self.environment, "checks": [check.as_json() for check in self.checks]}

    def page(self) -> str:
        """The page, in Markdown: first what keeps the environment from passing, then everything by area."""
        lines = [
            f"# Environment check: {self.environment}",
            "",
            f"{self.at.isoformat(timespec='seconds')}: **{self.verdict.upper()}**. {_sentence(self.counts)}",
        ]
        if wrong := blocking(self.checks):
            lines += ["", "## What to do first", ""]
            lines += [f"{n}. {_step(check)}" for n, check in enumerate(wrong, 1)]
        for area in AREAS:
            lines += ["", f"## {TITLES[area]}", "", *_table(self.checks, area)]
        return "\n".join(lines) + "\n"


def _sentence(counts: Mapping[str, int]) -> str:
    return (
        f"{counts['ok']} in order, {counts['finding']} findings, {counts['not-checked']} not checked; "
        f"{counts['blocking']} of these keep it from passing."
    )


def _step(check: Check) -> str:
    return _line(
        f"{check.what} ({check.where}): {check.said}. **{check.fix or 'Look at it'}** `{check.code}`"
    )


def _table(checks: Sequence[Check], area: str) -> list[str]:
    rows = [check for check in checks if check.area == area]
    rows.sort(key=lambda check: (not check.blocks, check.status == "ok"))
    head = ["| Status | Check | What | Where | Found | To do |", "|---|---|---|---|---|---|"]
    return head + [
        f"| {_status(one)} | `{one.code}` | {_cell(one.what)} | {_cell(one.where)} | {_cell(one.said)} "
        f"| {_cell(one.fix)} |"
        for one in rows
    ]


def _status(check: Check) -> str:
    mark = _MARKS[check.status]
    return mark if check.status == "ok" else f"{mark} ({check.severity})"


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
