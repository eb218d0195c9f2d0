"""List a log while its writers go on, so that what comes meanwhile is neither missing nor too much.

A writer creates first its evidence, then the claim, then the tiles, then `checkpoints/<size>`, and moves
`checkpoint` last; a new year's first claim comes after all of the year before. So it is seen first which
years there are, of each the heads are listed before the claims and tiles that they need, and evidence last.
Where a signed head that came meanwhile shows that the log went on, what lies beyond the listed heads is left
out: it is later. Where none does, what lies beyond them is all that there is, and is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, takewhile
from typing import Final

from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import (
    LOGS,
    LayoutError,
    checkpoint_key,
    checkpoints_prefix,
    seq_key,
    seq_prefix,
)
from interlock.evidence.log.layout import prefix as log_prefix
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.inventory import Irregular, YearInventory
from interlock.evidence.verification.source import (
    MAX_CHECKPOINT,
    MAX_CLAIM,
    ObjectMissing,
    ObjectTooLarge,
    Source,
    Version,
)
from interlock.evidence.verification.trust import Trust

TRIES: Final = 3
"""Listings of a year that has claims and no head: its first writer may be publishing just now."""
MAX_STRANGE: Final = 1_000
"""Objects outside of any year's log that are remembered."""


@dataclass
class Snapshot:
    """What is below `log/`.

    Attributes:
        years: the objects of each year's log.
        strange: objects that belong to none.
    """

    years: dict[int, YearInventory] = field(default_factory=dict)
    strange: list[Irregular] = field(default_factory=list)


def take_snapshot(source: Source, trust: Trust, since: int = 0) -> Snapshot:
    """List the logs of all years, or of those after the year `since`.

    Raises:
        SourceError: they can't be listed.
    """
    found = Snapshot()
    for year in list(_years(source, found.strange)):
        if year <= since:
            continue
        inventory = _listed(source, year, trust)
        if inventory.empty:
            found.strange += inventory.irregular
        else:
            found.years[year] = inventory
    return found


def _years(source: Source, strange: list[Irregular]) -> Iterator[int]:
    """The years that have an object; what is in no year's folder goes to `strange`."""
    after = ""
    while True:
        for version in source.versions(LOGS, after):
            name, slash, _ = version.key.removeprefix(LOGS).partition("/")
            if slash and (year := _year(name)) is not None:
                yield year
                after = f"{LOGS}{name}0"  # "0" follows "/": the first key after the folder
                break
            if len(strange) < MAX_STRANGE:
                strange.append(Irregular("unknown-object", version.key, version))
        else:
            return


def _year(name: str) -> int | None:
    if not (len(name) == 4 and name.isascii() and name.isdigit()):
        return None
    try:
        log_prefix(int(name))
    except LayoutError:  # no log can have this year
        return None
    return int(name)


def _listed(source: Source, year: int, trust: Trust) -> YearInventory:
    for _ in range(TRIES):
        inventory = YearInventory(year)
        take_all(inventory, source, log_prefix(year))
        if inventory.heads or inventory.checkpoints or not inventory.claims or not source.live:
            break
    if source.live:
        settle_live(source, inventory, trust)
    return inventory


def take_all(inventory: YearInventory, source: Source, prefix: str, after: str = "") -> None:
    """Take all objects below a prefix into an inventory."""
    for key, versions in groupby(source.versions(prefix, after), key=lambda version: version.key):
        inventory.take(key, list(versions))


def settle_live(source: Source, inventory: YearInventory, trust: Trust, least: int = 0) -> None:
    """Bring what was listed of a bucket, its heads first, to one state: see the module's description.

    Args:
        source: the bucket.
        inventory: what was listed of a year.
        trust: the keys.
        least: the size of a head that is known without having been listed.
    """
    year, largest = inventory.year, max(inventory.checkpoints, default=least)
    newer = YearInventory(year)
    take_all(newer, source, seq_prefix(year), seq_key(year, max(inventory.claims, default=0)))
    claims = {**inventory.claims, **newer.claims}
    take_newest(inventory, source)
    take_all(newer, source, checkpoints_prefix(year), f"{checkpoints_prefix(year)}{largest:020d}")
    if any(_signed(source, version, trust, year) for version in newer.checkpoints.values()):
        inventory.cut(largest, _before(source, inventory, largest), end_of(source, claims))
    else:
        inventory.claims = claims


def take_newest(inventory: YearInventory, source: Source) -> None:
    """List the versions of `checkpoint` (again)."""
    key = checkpoint_key(inventory.year)
    versions = list(takewhile(partial(_of, key), source.versions(key)))
    inventory.irregular = [one for one in inventory.irregular if one.key != key]
    inventory.heads.clear()
    if versions:
        inventory.take(key, versions)


def _of(key: str, version: Version) -> bool:
    return version.key == key


def _signed(source: Source, version: Version, trust: Trust, year: int) -> bool:
    """Whether a head is one of this log."""
    try:
        return read_head(source.read(version.key, MAX_CHECKPOINT, version.version_id), trust, "").year == year
    except (HeadError, ObjectMissing, ObjectTooLarge):
        return False


def _before(source: Source, inventory: YearInventory, size: int) -> dict[int, Version]:
    """The claims without those at the end that begin at `size` or after it."""
    kept = dict(inventory.claims)
    for number in sorted(kept, reverse=True):
        claim = _claim(source, kept[number])
        if claim is not None and claim.first < size:
            break
        if claim is not None:
            del kept[number]
    return kept


def end_of(source: Source, claims: dict[int, Version]) -> int:
    """How many entries the last claim that can be read says there are; 0: none can."""
    for number in sorted(claims, reverse=True):
        if (claim := _claim(source, claims[number])) is not None:
            return claim.end
    return 0


def _claim(source: Source, version: Version) -> Claim | None:
    try:
        return Claim.decode(source.read(version.key, MAX_CLAIM, version.version_id))
    except (ClaimError, ObjectMissing, ObjectTooLarge):
        return None
