"""The words that verdicts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """A question's answer, with a third one for what the objects don't decide (Kleene's logic)."""

    YES = "yes"
    NO = "no"
    INDETERMINATE = "indeterminate"

    def __invert__(self) -> Answer:
        if self is Answer.YES:
            return Answer.NO
        return Answer.YES if self is Answer.NO else self

    @classmethod
    def of(cls, found: bool) -> Answer:
        """YES or NO."""
        return cls.YES if found else cls.NO


class Mode(StrEnum):
    """What a PeerAuthentication asks of a port."""

    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class Outcome(StrEnum):
    """What becomes of a request."""

    ALLOW = "allow"
    DENY = "deny"
    INDETERMINATE = "indeterminate"


class Severity(StrEnum):
    """How bad a finding is; `istioctl analyze` has the same three."""

    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


@dataclass(frozen=True, slots=True)
class Reason:
    """One link of the chain that led to a verdict.

    Attributes:
        text: What it says, for people.
        ref: The object it comes from, `PeerAuthentication payments/default`; empty if from none.
    """

    text: str
    ref: str = ""

    def __str__(self) -> str:
        return f"{self.ref}: {self.text}" if self.ref else self.text


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should look at.

    Attributes:
        code: Istio's message code (`IST0102`), or one of ours (`ILM…`, listed in docs/mesh.md).
        name: The message's name, `NamespaceNotInjected`.
        severity: How bad it is.
        ref: The object it is about, `Namespace payments`.
        text: What is wrong, and what to do.
    """

    code: str
    name: str
    severity: Severity
    ref: str
    text: str

    def __str__(self) -> str:
        return f"{self.severity} [{self.code}] ({self.ref}) {self.text}"
