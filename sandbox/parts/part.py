"""What a part of the sandbox owes to the command line that starts it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from sandbox.state import State
from sandbox.supervisor import Program

Report = Callable[[str], None]
"""Told in a few words what takes its time."""


class PartError(Exception):
    """A part cannot be started.

    Attributes:
        advice: what the person at the terminal can do about it.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Part(ABC):
    """One part: some programs, how to get ready for them, and how to tell that they serve.

    `up` calls `prepare`, starts `programs`, asks `ready` until it holds, then calls `configure`. Each of
    them is safe to call again on a part that runs.
    """

    name: ClassVar[str]
    time_limit: ClassVar[float]
    """Seconds that the programs have until `ready` must hold."""
    ports: ClassVar[tuple[str, ...]] = ()
    """The names of the ports that the part listens on."""

    @abstractmethod
    def prepare(self, state: State, report: Report) -> None:
        """Put on disk what the programs need; raises PartError."""

    @abstractmethod
    def programs(self, state: State) -> tuple[Program, ...]:
        """The programs to supervise; none if the part is not there."""

    @abstractmethod
    def ready(self, state: State) -> bool:
        """Whether the part serves now; an OSError or an httpx.HTTPError counts as no."""

    def configure(self, state: State) -> None:  # noqa: B027 - nothing to do is a fair answer
        """Set up what lives inside the running part; raises PartError."""

    def tidy(self, state: State) -> None:  # noqa: B027
        """Remove what the ended programs leave outside the state folder."""

    def environment(self, state: State) -> Mapping[str, str]:
        """What a shell needs to use the part, for the state folder's `env` file."""
        return {}
