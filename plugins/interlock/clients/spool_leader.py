"""Who holds a spool's lock: chains what waits, takes it out, and tells those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from interlock.clients.spool_callers import Callers
from interlock.clients.spool_errors import SpoolError, SpoolTampered, on_disk
from interlock.clients.spool_folder import NOBODY, SpoolFolder, caller_of, replace_file, sync_folder
from interlock.clients.spool_journal import Entry, Journal, Opened, Seen, first_missing
from interlock.evidence.statement import sha256
from interlock.evidence.waiting import Waiting, WaitingError, decode


@dataclass(frozen=True)
class Taken:
    """A statement with its place in the chain."""

    entry: Entry
    waiting: Waiting


class Leader:
    """Who holds the leader's lock of a spool."""

    def __init__(self, files: SpoolFolder, journal: Journal, step: Callable[[str], None]) -> None:
        """Keep the parts; `Spool.lead` makes it."""
        self._files = files
        self._journal = journal
        self._step = step
        self._callers = Callers(files.callers)
        self._heard: tuple[set[str], dict[str, tuple[int | None, int | None]]] = (set(), {})
        self.shipped = 0
        """How many statements this leader took into the log."""

    def overhear(self, names: Sequence[str], places: dict[str, tuple[int | None, int | None]]) -> None:
        """Note in `places` the year and index of these files, the leader's own, when they are in the log."""
        self._heard = (set(names), places)

    @property
    def opened(self) -> Opened | None:
        """The open position, where there is one."""
        return self._journal.opened

    @property
    def seen(self) -> Seen | None:
        """The last head that a claim of this spool led to."""
        return self._journal.seen

    def gather(self) -> int:
        """Give each new file its place, and remove what was done; return how many wait.

        The places are durable with the next `open` or `save`.

        Raises:
            SpoolTampered: a file that has a place is gone.
        """
        with on_disk(self._files.root):
            names = self._files.names()
            there = set(names)
            if left := there & self._journal.finished:
                self._files.remove(sorted(left))
            gone = first_missing(self._journal.waiting.values(), there)
            if gone is not None:
                raise SpoolTampered(f"{self._files.waiting / gone.name} is gone before it was shipped")
            for name in names:
                if name not in self._journal.names:
                    self._journal.add(name, sha256(self._files.read(name)))
        return len(self._journal.waiting)

    def save(self) -> None:
        """Bring the places to the disk."""
        with on_disk(self._files.root):
            self._journal.write(sync=True)

    def save_what_can(self) -> None:
        """Bring the places to the disk, after something failed: each new file's too, as far as it can be."""
        with suppress(SpoolError):
            if self._journal.opened is None:
                self.gather()
            self.save()

    def waiting(self) -> Iterator[Taken]:
        """Yield what waits, in the chain's order, each checked against the chain as it comes.

        Raises:
            SpoolTampered: the next file isn't the one that was written; what came before it was good.
        """
        for entry in list(self._journal.waiting.values()):
            yield self._taken(entry)

    def between(self, first: int, last: int) -> list[Taken]:
        """What has these places in the chain; raises as `waiting`."""
        return [self._taken(self._journal.waiting[n]) for n in range(first, last + 1)]

    def _taken(self, entry: Entry) -> Taken:
        with on_disk(self._files.root):
            try:
                content = self._files.read(entry.name)
            except FileNotFoundError:
                path = self._files.waiting / entry.name
                raise SpoolTampered(f"{path} is gone before it was shipped") from None
        if sha256(content) != entry.sha256:
            raise SpoolTampered(f"{self._files.waiting / entry.name}: it isn't the file that was written")
        return Taken(entry, decoded(self._files.waiting, entry.name, content))

    def open(self, position: Opened) -> None:
        """Bring the claim that is about to be sent to the disk, with all places given so far."""
        with on_disk(self._files.root):
            self._journal.open(position)
            self._journal.write(sync=True)
        self._step("opened")

    def done(self, seen: Seen, first: int) -> int:
        """What the open claim carried is in the log: remove it, and tell who waits for it.

        Args:
            seen: the head that the claim led to.
            first: the index of its first entry.
        """
        opened = self._journal.opened
        assert opened is not None
        entries = [self._journal.waiting[n] for n in range(opened.first, opened.last + 1)]
        with on_disk(self._files.root):
            self._journal.done(seen)
            self._journal.write(sync=False)
            self._step("done")
            self._files.remove([entry.name for entry in entries])
        self._step("removed")
        places: dict[str, dict[str, int]] = {}
        for position, entry in enumerate(entries):
            places.setdefault(caller_of(entry.name), {})[entry.name] = first + position
        self.shipped += len(entries)
        own, heard = self._heard
        for caller, found in places.items():
            heard.update({name: (opened.year, index) for name, index in found.items() if name in own})
            if caller != NOBODY:
                self._callers.tell(caller, {"year": opened.year, "places": found})
        return len(entries)

    def failed(self, reason: str) -> None:
        """Tell all who wait why nothing goes to the log now."""
        self._callers.tell_all({"failed": reason})

    def edge(self) -> bytes | None:
        """The log's right edge as the last leader left it."""
        with on_disk(self._files.root):
            try:
                return self._files.edge.read_bytes()
            except FileNotFoundError:
                return None

    def keep_edge(self, content: bytes | None) -> None:
        """Leave the log's right edge to the next leader; a cache, so without bringing it to the disk."""
        with on_disk(self._files.root):
            if content is None:
                self._files.edge.unlink(missing_ok=True)
            else:
                replace_file(self._files.edge, content, sync=False)

    def close(self) -> None:
        """End: begin the journal anew where it has grown and nothing waits in it."""
        if not self._journal.ripe:
            return
        with on_disk(self._files.root):
            if not set(self._files.names()) & self._journal.finished:
                # What was removed must not come back once the journal has forgotten it.
                sync_folder(self._files.waiting)
                self._journal.compact()
                self._callers.clear()

    def wake(self) -> None:
        """After the lock is free: wake one who waits for a statement that came meanwhile."""
        for name in self._files.names():
            if caller_of(name) != NOBODY and self._callers.tell(caller_of(name), {"lead": True}):
                break
        self._callers.close()


def decoded(folder: Path, name: str, content: bytes) -> Waiting:
    """Read a waiting file's content; raises SpoolTampered where it is none."""
    try:
        return decode(content)
    except WaitingError as error:
        raise SpoolTampered(f"{folder / name}: {error}") from error
