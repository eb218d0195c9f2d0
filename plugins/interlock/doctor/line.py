"""What the doctor says of one thing that it tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from interlock.connections import ConnectionMissing

CONNECTIONS: Final = "Airflow's connections"
PATIENCE_SECONDS: Final = 15.0
"""For one answer of Vault or the store: slow is not missing, and no train waits for the doctor."""


@dataclass(frozen=True)
class Line:
    """One thing that was tried.

    Attributes:
        what: what was tried.
        ok: whether it works.
        said: what it answered, or what is missing.
        given_by: the file or setting that gives it.
        warning: whether somebody should look although it works.
    """

    what: str
    ok: bool
    said: str
    given_by: str = ""
    warning: bool = False

    def __str__(self) -> str:
        word = "failed" if not self.ok else "warning" if self.warning else "ok"
        return f"{word:7} {self.what}: {self.said}" + (f" [{self.given_by}]" if self.given_by else "")


def attempt(
    what: str, given_by: str, ask: Callable[[], str], *, refused: tuple[type[Exception], ...]
) -> Line:
    """The line of something that answers in words, or raises one of `refused` with words."""
    try:
        return Line(what, True, ask(), given_by)
    except ConnectionMissing as error:
        return Line(what, False, str(error), CONNECTIONS)
    except refused as error:
        return Line(what, False, str(error), given_by)
