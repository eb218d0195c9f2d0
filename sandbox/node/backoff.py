"""How long to wait before a crashed container, or a failed pull, is tried again.

As a kubelet: the first restart is at once, then the wait doubles up to a limit, and a container that ran
for twice the limit starts over. Only the figures differ: 1 second up to 30, in place of 10 seconds up to
5 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 1.0
LIMIT = 30.0


@dataclass(frozen=True)
class CrashBackoff:
    """The state between two crashes; `delay` is the wait in seconds before the next start."""

    crashes: int = 0
    delay: float = 0.0

    def after(self, ran_for: float) -> CrashBackoff:
        """Return the state after one more exit of a container that ran for `ran_for` seconds."""
        crashes = 1 if ran_for >= 2 * LIMIT else self.crashes + 1
        return CrashBackoff(crashes, 0.0 if crashes == 1 else growing(crashes - 2))


def growing(attempt: int) -> float:
    """Return the seconds before attempt number `attempt`, counted from 0: 1, 2, 4, … 30."""
    return min(FIRST * 2.0 ** min(attempt, 10), LIMIT)


def text(delay: float) -> str:
    """Return the delay as Kubernetes prints durations in its messages."""
    return f"{delay:g}s"
