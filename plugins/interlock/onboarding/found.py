"""What a rule finds: done, missing with what would mend it, or not to be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.manifest import Manifest

if TYPE_CHECKING:
    from interlock.onboarding.facts import Facts


@dataclass(frozen=True, slots=True)
class Fix:
    """What makes a missing item done.

    Attributes:
        said: What to do, in a sentence.
        manifests: Objects to apply by server-side apply; of one that exists, only the fields that change.
        text: What else there is to do, exactly: lines of a file, or commands.
        file: The file that `text` belongs to; empty if it is commands for a shell.
    """

    said: str
    manifests: tuple[Manifest, ...] = ()
    text: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """It is so; `said` says what was seen."""

    said: str


@dataclass(frozen=True, slots=True)
class Missing:
    """It is not so; `said` says what is wrong, `fix` what to do about it."""

    said: str
    fix: Fix


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Nobody could look; `said` says why. It never counts as done."""

    said: str


Found: TypeAlias = Done | Missing | NotChecked


class CannotSee(Exception):
    """A fact that a rule needs could not be seen; its text says why. The item is then not checked."""


class Absent(Exception):
    """What a rule is about isn't there at all; its text says what. The item is then missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One item of the checklist.

    Attributes:
        id: One of `interlock.onboarding.items.ITEMS`.
        judge: Looks at the facts. It may raise CannotSee and Absent.
    """

    id: str
    judge: Callable[[Facts], Found]

    def found(self, facts: Facts) -> Found:
        """What the rule finds."""
        try:
            return self.judge(facts)
        except CannotSee as error:
            return NotChecked(str(error))
        except Absent as error:
            return Missing(str(error), Fix("Deploy the service, or correct its file in include/services"))
