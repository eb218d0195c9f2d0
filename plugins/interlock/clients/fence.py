"""What keeps a worker that lives on from writing after its service went to another.

Every write of an object carries the resourceVersion of a read whose stamp was not later than our own (the
transitions of the lock under which we write), and leaves our stamp in the same request. That fences as well
as a stamp ahead of the write would, and costs one request less:

- No write is sent before its intent is in the journal, and the journal's own resourceVersion lets only one
  writer go on. So whoever takes over (the run's rollback, or the watchdog) either ends the journal before an
  intent was in it, and then the late worker can't put one there; or finds the intent, and then writes to its
  object itself, if only to stamp it.
- That write changes the resourceVersion: a worker that lives on is refused by the API server, reads again,
  finds a stamp later than its own, and gives up. Had its write come first, the one who takes over is refused,
  reads again, and takes that write into account.

A creation has no resourceVersion to carry. A worker that created something and then finds its journal ended
deletes it again, and `close` judges what is there: a worker that died just then leaves no silent remainder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.fields import FieldPath, put
from interlock.trains.lock import FENCE

BACK = "-back"
"""Ends the stamp of a rollback, which thus differs from that of the promotion it takes back."""

_STAMP = FieldPath.of("metadata", "annotations", FENCE)


class Refused(Exception):
    """A write that must not be made; the message says why and what to do."""


@dataclass(frozen=True)
class Fence:
    """What a writer stamps on its targets.

    Attributes:
        transitions: of the lock under which it writes.
        back: whether it takes back.
    """

    transitions: int
    back: bool = False

    def __str__(self) -> str:
        return f"{self.transitions}{BACK if self.back else ''}"

    def check(self, live: Manifest) -> bool:
        """Whether the object shows our stamp.

        Raises:
            Refused: it shows the stamp of somebody who came after us.
        """
        stamp = live.annotations.get(FENCE, "")
        number, back = stamp.removesuffix(BACK), stamp.endswith(BACK)
        if number.isdigit() and (int(number), back) > (self.transitions, self.back):
            raise Refused(
                f"{live.ref} is stamped {stamp!r}, later than our {str(self)!r}: another run or this run's "
                "rollback has taken it over; nothing was written"
            )
        return stamp == str(self)

    def check_all(self, live: Mapping[ObjectRef, Manifest | None]) -> None:
        """Refuse if one of the objects shows the stamp of somebody who came after us.

        Raises:
            Refused: it does.
        """
        for found in filter(None, live.values()):
            self.check(found)

    def on(self, manifest: Manifest) -> Manifest:
        """The object with our stamp."""
        return Manifest.of(put(manifest.raw, _STAMP, str(self)))
