"""What one look at an environment found: in order, a finding, or not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

from interlock.evidence.redaction import redact_text

Status = Literal["ok", "finding", "not-checked"]
Severity = Literal["error", "warning", "note"]
Area = Literal["github", "vault", "tools", "store"]
AREAS: Final[tuple[Area, ...]] = ("github", "vault", "tools", "store")


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be looked at, in place of what would have been seen.

    Attributes:
        why: what was asked of whom, and the answer.
        kind: `refused`: the credentials; `forbidden`: the credentials are good, and may not look; `missing`:
            there is nothing, or nothing that may be seen; `away`: no usable answer.
    """

    why: str
    kind: Literal["refused", "forbidden", "missing", "away"] = "away"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        code: what is looked for, `AREA.NAME`; docs/environment.md lists all.
        what: the thing itself, such as a repository or a path.
        where: the connection or address that it was asked through.
        status: `ok`, `finding`, or `not-checked`: nobody could look, so nothing is known.
        said: what was found.
        fix: what to do about it; empty where nothing is to do.
        severity: how much it matters unless it is ok: an `error` keeps the environment from passing.
    """

    code: str
    what: str
    where: str
    status: Status
    said: str
    fix: str = ""
    severity: Severity = "error"

    @property
    def area(self) -> str:
        """What it belongs to: `github`, `vault`, `tools` or `store`."""
        return self.code.partition(".")[0]

    @property
    def blocks(self) -> bool:
        """Whether the environment doesn't pass because of it."""
        return self.status != "ok" and self.severity == "error"

    def withheld(self) -> Self:
        """The same, without texts that look like a secret: others' answers are quoted in them."""
        return replace(
            self,
            what=redact_text(self.what),
            where=redact_text(self.where),
            said=redact_text(self.said),
            fix=redact_text(self.fix),
        )

    def as_json(self) -> dict[str, str]:
        """As XCom and evidence have it."""
        return asdict(self)

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave."""
        return cls(**told)

    def __str__(self) -> str:
        word = "ok" if self.status == "ok" else f"{self.status} ({self.severity})"
        fix = f". {self.fix}" if self.fix else ""
        return f"{word}: {self.code}: {self.what} [{self.where}]: {self.said}{fix}"


@dataclass(frozen=True, slots=True)
class At:
    """Makes the checks of one place.

    Attributes:
        where: the connection or address.
    """

    where: str

    def ok(self, code: str, what: str, said: str) -> Check:
        """It is in order."""
        return Check(code, what, self.where, "ok", said)

    def finding(self, code: str, what: str, said: str, fix: str, *, severity: Severity = "error") -> Check:
        """It is not in order."""
        return Check(code, what, self.where, "finding", said, fix, severity)

    def unseen(
        self, code: str, what: str, unseen: Unseen, fix: str, *, severity: Severity = "error"
    ) -> Check:
        """Nobody could look."""
        return Check(code, what, self.where, "not-checked", unseen.why, fix, severity)

    def either(
        self,
        right: bool,
        code: str,
        what: str,
        said: str,
        *,
        wrong: str,
        fix: str,
        severity: Severity = "error",
    ) -> Check:
        """In order, with `said`, where `right`; else a finding that says what is `wrong`."""
        if right:
            return self.ok(code, what, said)
        return self.finding(code, what, wrong, fix, severity=severity)


def blocking(checks: Iterable[Check]) -> list[Check]:
    """Those that keep the environment from passing."""
    return [check for check in checks if check.blocks]
