"""Verify one year's log: claims, leaves, tiles and heads against each other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from interlock.evidence.log.merkle import leaf_hash
from interlock.evidence.log.tiles import WIDTH
from interlock.evidence.verification.entry import describe
from interlock.evidence.verification.findings import Findings, YearFindings
from interlock.evidence.verification.heads import OVERDUE, Heads
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.objects import YearObjects
from interlock.evidence.verification.replay import Replay, late_claims
from interlock.evidence.verification.settle import Head, Settled, first_difference, roots, settle
from interlock.evidence.verification.source import Source, shifted
from interlock.evidence.verification.statements import Statements
from interlock.evidence.verification.tile_check import TileJudge
from interlock.evidence.verification.tree_tiles import frontier_of
from interlock.evidence.verification.trust import Trust

GRACE: Final = timedelta(minutes=1)
"""For so long a claim in a bucket may be without a signed head and nothing is said: its writer is at it."""


@dataclass(frozen=True)
class Start:
    """Where an incremental verification begins; the whole log from 0 on by default.

    Attributes:
        size: the trusted size.
        claim: the number and first index of the first claim to play, at or before `base`.
        levels: for each level from 1 on, the hashes of its unfinished tile at `base`.
        taken: when the store took the trusted head, so all before it; None: the whole log, or nobody says.
    """

    size: int = 0
    claim: int = 0
    first: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()
    taken: datetime | None = None

    @property
    def base(self) -> int:
        """The size rounded down to full bundles: from there on leaves are played."""
        return self.size - self.size % WIDTH


@dataclass
class YearResult:
    """What was found of a year's log.

    Attributes:
        size: entries that are claimed.
        proven: entries under a signed head that they give.
        roots: at each size asked for.
        firsts: each claim's first index, by number.
    """

    year: int
    start: int
    size: int
    proven: int
    root: bytes
    claims: int
    statements: Statements
    roots: dict[int, bytes] = field(default_factory=dict)
    firsts: dict[int, int] = field(default_factory=dict)
    closed: bool = False


class YearCheck:
    """Verifies one year's log."""

    def __init__(
        self,
        source: Source,
        inventory: YearInventory,
        heads: Heads,
        trust: Trust,
        findings: Findings,
        *,
        now: datetime,
        tolerance: timedelta,
        start: Start | None = None,
    ) -> None:
        self._start = start or Start()
        self._source, self._inventory, self._trust, self._findings = source, inventory, trust, findings
        self._now, self._tolerance = now, tolerance
        self._add = YearFindings(findings, inventory.year).add
        self._heads = [one.head for one in heads.all if one.head.size > self._start.base]
        self._published = heads.published
        self._size = max((head.size for head in self._heads), default=self._start.base)
        self._objects = YearObjects(source, inventory, self._size)
        self._replay = Replay(source, inventory, self._objects, findings, self._start.base)

    def run(self, sizes: Sequence[int], progress: Callable[[int], None]) -> YearResult:
        """Verify.

        Args:
            sizes: further sizes at which the root is wanted: those that witnesses saw.
            progress: told how many entries were read.
        """
        year, start = self._inventory.year, self._start
        statements = Statements(self._trust, self._tolerance, self._start.taken)
        frontier = frontier_of(start.levels, start.base)
        replay = self._replay

        def feed_to(taking: Statements) -> Callable[..., None]:
            def feed(batch: object) -> None:
                taking.feed(batch)  # type: ignore[arg-type]
                progress(taking.count)

            return feed

        replay.run(self._size, feed_to(statements), start.claim, start.first)
        leaves = replay.leaves
        claimed = leaves.end
        settled = settle(
            leaves, frontier, self._heads, (self._objects.tile_hashes, self._objects.bundle_hashes)
        )
        self._judge_heads(settled)
        if settled.altered or not replay.regular:
            statements = self._again(settled, feed_to)
        wanted = {*sizes, *(one.first for one in replay.seen), settled.proven, start.base}
        known = roots(leaves, frontier, wanted)
        self._judge_claims(known, settled)
        if replay.regular:
            self._judge_ends(settled.proven)
        if replay.hole is not None:
            self._hole(replay.hole)
        self._judge_tiles(settled.proven)
        self._judge_pending(settled.proven, claimed)
        return YearResult(
            year=year,
            start=start.size,
            size=max(claimed, start.size),
            proven=settled.proven,
            root=known.get(settled.proven, frontier.root()),
            claims=len(replay.seen),
            statements=statements,
            roots=known,
            firsts={one.number: one.first for one in replay.seen},
            closed=bool(replay.seen) and replay.seen[-1].closes,
        )

    # What the heads say

    def _judge_heads(self, settled: Settled) -> None:
        for index, true, ours in settled.altered:
            if self._findings.full("entry-altered"):
                continue
            entry = self._true(index, None, {index: true})
            source = "its bundle has it" if entry is not None else "its content is lost"
            self._add(
                "entry-altered",
                index,
                self._where(index),
                f"leaf hash {true.hex()} ({source})",
                f"leaf hash {ours.hex()}",
                (describe(entry, index),),
            )
        for head in settled.forks:
            self._add(
                "checkpoint-fork",
                None,
                head.object,
                f"the root that heads before and after it prove at {head.size}",
                f"a signed root {head.root.hex()}",
            )
        if settled.unexplained and self._replay.hole is None:
            head = settled.unexplained[0]
            index = self._suspect(settled.proven, head)
            leaves = self._replay.leaves
            given = roots(leaves, frontier_of(self._start.levels, self._start.base), [head.size])
            found = given[head.size].hex() if head.size in given else f"{leaves.end} entries"
            self._add(
                "root-mismatch",
                index,
                head.object,
                f"root {head.root.hex()} at size {head.size}",
                f"{found}; the entries are proven up to {settled.proven}",
                end=head.size,
            )

    def _suspect(self, proven: int, head: Head) -> int:
        alternatives = (self._objects.tile_hashes, self._objects.bundle_hashes)
        found = first_difference(self._replay.leaves, proven, head.size, alternatives)
        return proven if found is None else found

    def _again(self, settled: Settled, feed_to: Callable[[Statements], Callable[..., None]]) -> Statements:
        """Read the statements once more, those that the signed heads cover."""
        hashes = {index: true for index, true, _ in settled.altered}
        statements = Statements(self._trust, self._tolerance, self._start.taken)
        feed = feed_to(statements)
        for batch in self._replay.batches(lambda index, leaf: self._true(index, leaf, hashes)):
            feed(batch)
        return statements

    def _true(self, index: int, leaf: bytes | None, altered: dict[int, bytes]) -> bytes | None:
        """The entry with the true leaf hash: the claim's, else the bundle's."""
        if leaf is not None and index not in altered:
            return leaf
        entry = self._objects.entry(index)
        wanted = altered.get(index)
        if wanted is None and index < self._replay.leaves.end:
            wanted = self._replay.leaves.get(index)
        return entry if entry is not None and leaf_hash(entry) == wanted else None

    # What the claims and the tiles say

    def _judge_claims(self, known: dict[int, bytes], settled: Settled) -> None:
        for one in self._replay.seen:
            root = known.get(one.first)
            sure = one.first <= settled.proven or not settled.unexplained
            if root is not None and sure and root != one.root:
                key = self._objects.claim_key(one.number)
                self._add("claim-root", one.first, key, f"root {root.hex()}", f"root {one.root.hex()}")
            if (
                one.at is not None
                and one.modified is not None
                and one.at > shifted(one.modified, self._tolerance)
            ):
                limit = f"a time up to {one.modified.isoformat()}, when the store took it"
                key = self._objects.claim_key(one.number)
                self._add("clock-future", one.first, key, limit, one.at.isoformat())
        for early, late in late_claims(self._replay.seen):
            assert early.modified is not None
            assert late.modified is not None
            if early.modified > shifted(late.modified, self._tolerance):
                self._add(
                    "clock-rewritten",
                    early.first,
                    self._objects.claim_key(early.number),
                    f"taken by the store before claim {late.number}, {late.modified.isoformat()}",
                    early.modified.isoformat(),
                )

    def _judge_ends(self, proven: int) -> None:
        ends = {*(one.first for one in self._replay.seen), self._replay.leaves.end}
        for head in self._heads:
            if head.size <= proven and head.size not in ends:
                said = f"size {head.size}"
                self._add("head-mid-claim", head.size, head.object, "a size at which a claim ends", said)

    def _hole(self, index: int) -> None:
        self._add(
            "root-mismatch",
            index,
            self._where(index),
            "an entry, or at least its hash",
            "neither claim nor bundle nor tile: nothing from here on can be proven",
            end=self._size,
        )

    def _judge_tiles(self, size: int) -> None:
        judge = TileJudge(self._source, self._objects, self._inventory, self._replay.leaves, self._findings)
        # What only a head that isn't published yet needs may still be on its way.
        published = self._published
        for one in sorted({size, min(size, max(published, self._start.base))}):
            judge.tiles(self._start.levels, one, published)
            judge.bundles(self._start.base, one, published)
        if self._replay.hole is None:
            judge.beyond(max(self._replay.leaves.end, self._size))

    def _judge_pending(self, proven: int, claimed: int) -> None:
        pending = [one for one in self._replay.seen if one.first >= proven]
        if claimed <= proven or not pending or not self._heads or self._size > claimed:
            return
        since = next((one.modified or one.at for one in pending), None)
        if self._source.live and since is not None and self._now - since < GRACE:
            return
        late = since is not None and self._now - since > OVERDUE
        said = f"{claimed - proven} entries since {since.isoformat() if since else 'an unknown time'}"
        self._add(
            "head-overdue" if late else "head-pending",
            proven,
            self._objects.claim_key(pending[0].number),
            "a signed head over them",
            said,
            end=claimed,
        )

    def _where(self, index: int) -> str:
        segments = self._replay.segments
        at = bisect_right(segments, index, key=lambda one: one.first) - 1
        claim = segments[at].claim if at >= 0 and index < segments[at].first + segments[at].count else None
        if claim is not None:
            return self._objects.claim_key(claim)
        return self._objects.bundle_key(index // WIDTH)
