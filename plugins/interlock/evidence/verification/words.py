"""The sentences of a verdict: what is proven, what was not checked, what is not excluded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interlock.evidence.verification.locks import Locks, Missed
from interlock.evidence.verification.report import Report, YearReport
from interlock.evidence.verification.runs import WAITS, Seals

if TYPE_CHECKING:
    from interlock.evidence.verification.source import Source
    from interlock.evidence.verification.trust import Trust
    from interlock.evidence.verification.verify import Options

REWIND: Final = "a rewind by its operators is not excluded"
WAITING: Final = "listed by seals and waiting"
"""What a report counts these statements as."""
NAMED: Final = 10
"""Objects that a sentence names; further ones are counted."""
ALWAYS: Final = (
    "who may bypass Governance (s3:BypassGovernanceRetention) or runs the store can delete what is "
    "locked; what is gone from the log's middle is found, what is gone from its end only with a witness",
    "what was never recorded leaves no trace here; a seal shows what is missing of a sealed run",
    "times are their writers' claims; the store's own time bounds them from above; a claim's own time and "
    "attempt (`at`, `attempt`) are under no signature: information, no evidence",
)


@dataclass(frozen=True)
class Steps:
    """What the steps after the entries saw."""

    seals: Seals = field(default_factory=Seals)
    blobs: Missed = field(default_factory=Missed)
    locks: Locks = field(default_factory=Locks)


def counted(seals: Seals, locks: Locks) -> dict[str, int]:
    """What a report counts of them."""
    return {
        "runs sealed": seals.sealed,
        "runs without a seal": seals.unsealed,
        "listed by seals and elsewhere": seals.elsewhere,
        WAITING: seals.waiting,
        "locks": locks.count,
    }


def conclude(report: Report, trust: Trust, options: Options, source: Source, steps: Steps) -> None:
    """Add the sentences to a report."""
    for one in report.years:
        if one.proven > one.start:
            report.proven.append(
                f"{one.year}: entries {one.start} to {one.proven - 1} are the tree with root {one.root}, "
                f"which a key of {report.log} signed"
            )
        elif one.start:
            report.proven.append(f"{one.year}: nothing is new since the trusted head of size {one.start}")
        if one.size > one.proven and not report.findings.bad:
            report.unchecked.append(
                f"{one.year}: the entries {one.proven} to {one.size - 1} are under no signed head yet"
            )
    if not any(one.proven for one in report.years):
        claimed = sum(one.size for one in report.years)
        report.nothing = (
            f"there are {claimed} entries and none is under a signed head" if claimed else "it has no entries"
        )
    _common(report, trust, options, source, steps)
    if since := options.since:
        if any(one.start for one in report.years):
            report.unchecked.append(
                f"{since.year}: the entries 0 to {since.head.size - 1} and the years before, with their "
                f"objects, evidence, locks and delete markers: they are taken as the trusted head has them"
            )
        if older := steps.seals.elsewhere:
            report.unchecked.append(
                f"{older} statements that seals list and that are older than where this verification begins"
            )
    if not report.findings.bad:
        report.not_excluded += [_rewind(one, report.witnessed.get(one.year, 0)) for one in report.years]
    report.not_excluded += ALWAYS
    _unsealed(report, steps.seals, "was left out of the log")
    if late := report.grades.get("attested late", 0):
        report.not_excluded.append(
            f"{late} statements attested late were on a worker's disk until they were shipped: "
            f"until then only the spool's chain protected them"
        )
    if not source.live:
        at = report.judged_at.isoformat(timespec="seconds") if report.judged_at else ""
        report.not_excluded.append(
            f"it is a copy, judged as of {at}, when it was made as it says: what came later is not in it"
            if at
            else "it is a copy, and nothing says when it was made: no signed head counts as overdue"
        )


def conclude_part(
    report: Report, trust: Trust, options: Options, source: Source, steps: Steps, nameless: int
) -> None:
    """Add the sentences to the report of a part, which doesn't say which claims have `nameless` entries."""
    entries = report.counts["entries"]
    if not entries:
        report.nothing = "this part has no entries"
    for one in report.years:
        report.proven.append(
            f"{one.year}: these entries are in the tree of {one.size} entries with root {one.root}, "
            f"which a key of {report.log} signed"
        )
        if one.heads > 1:
            _not_looked_at(
                report,
                f"{one.year}: whether the {one.heads} signed heads of its receipts are of one log: "
                f"export it anew, or verify the bucket",
            )
    _common(report, trust, options, source, steps)
    if nameless:
        _not_looked_at(
            report, f"the locks of the claims of {nameless} entries: it doesn't say which they are"
        )
    what = report.selection
    if what is None:
        _not_looked_at(report, "which entries of the log this part holds: it doesn't say what was selected")
    elif what.run is not None and steps.seals.unsealed:
        _not_looked_at(report, f"whether all of {what} is here: no seal is, which would list it")
    report.unchecked.append(f"all of the log that is not among these {entries} entries: verify the bucket")
    report.not_excluded += [
        f"there may be more of {what or 'what was selected'} in the log: statements that who made this part "
        f"left out and no seal here lists, and later seals of its runs",
        f"{REWIND}: a part shows its own entries alone",
        *ALWAYS,
    ]
    _unsealed(report, steps.seals, "was left out of this part by who made it")


def conclude_receipt(report: Report, trust: Trust) -> None:
    """Add the sentences to the report of a single receipt."""
    _statements(report, trust)
    report.unchecked += ["the evidence beside the statement, its retention, and the rest of the log"]
    report.not_excluded += [f"{REWIND}: a receipt shows one entry under one head", *ALWAYS]


def _common(report: Report, trust: Trust, options: Options, source: Source, steps: Steps) -> None:
    _statements(report, trust)
    _blobs(report, options, steps.blobs)
    _locks(report, options, source, steps.locks)
    _seals(report, steps.seals)


def _not_looked_at(report: Report, said: str) -> None:
    """What was to be checked, and could not."""
    report.unchecked.append(said)
    report.missing.append(said)


def _statements(report: Report, trust: Trust) -> None:
    then, late = report.grades.get("signed then", 0), report.grades.get("attested late", 0)
    if not trust.statements:
        _not_looked_at(report, "the signatures of the statements: bring their keys with --statement-key")
    elif then:
        report.proven.append(f"{then} statements were signed when they were made (signed then)")
    if late and trust.statements:
        report.proven.append(f"{late} statements were signed when they were shipped (attested late)")


def _blobs(report: Report, options: Options, missed: Missed) -> None:
    if not options.blobs:
        report.unchecked.append("the evidence beside the statements (blobs): not asked for")
        return
    if missed.count:
        _not_looked_at(report, f"{missed.count} evidence blobs could not be read: {missed.why}")
    seen = report.counts["blobs"] - missed.count
    if seen and not any(code.startswith("blob-") for code in report.findings.counts):
        report.proven.append(f"{seen} evidence blobs have the digest that is signed")


def _locks(report: Report, options: Options, source: Source, locks: Locks) -> None:
    if not options.retention:
        report.unchecked.append("versions' retention: not asked for")
        return
    if not source.knows_versions:
        _not_looked_at(
            report,
            "versions, delete markers and retention: this copy has no versions.jsonl that would say",
        )
        return
    if locks.missed.count:
        _not_looked_at(
            report, f"the locks of {locks.missed.count} versions could not be read: {locks.missed.why}"
        )
    if locks.undated:
        _not_looked_at(
            report,
            f"for how long {locks.undated} versions are locked: nothing says when the store took them",
        )
    if locks.untold:
        some = ", ".join(locks.untold[:NAMED])
        more = f" and {len(locks.untold) - NAMED} more" if len(locks.untold) > NAMED else ""
        _not_looked_at(
            report, f"the locks of {len(locks.untold)} objects, of which none is shown: {some}{more}"
        )
    seen = locks.count - locks.undated
    if seen and not any(code.startswith("retention-") for code in report.findings.counts):
        who = "the store" if source.live else "the archive's exporter, who copied it from the store,"
        report.proven.append(
            f"{seen} versions are locked for {options.lock.keep.days} days "
            f"({options.lock.mode} or stricter): {who} says so"
        )


def _seals(report: Report, seals: Seals) -> None:
    if seals.unread:
        _not_looked_at(report, f"what {seals.unread} seals list: the evidence that holds their lists")
    if seals.waiting:
        hours = int(WAITS.total_seconds() // 3600)
        _not_looked_at(
            report,
            f"{seals.waiting} statements that seals list and that are not in the log yet: for {hours} hours "
            f"after its seal a statement may wait on another host; verify again after that",
        )
    if seals.partial:
        report.not_excluded.append(
            f"{seals.partial} runs have a seal that says that it may not list all of their statements"
        )
    if not seals.sealed or "seal-gap" in report.findings.counts or seals.unread:
        return
    several = f" ({seals.several} have several, taken together)" if seals.several else ""
    missed = seals.elsewhere + seals.waiting
    all_but = f", but for {missed} statements that are not in what was read" if missed else ""
    report.proven.append(
        f"{seals.sealed} runs have a seal{several}, and all that their seals list is there{all_but}"
    )


def _unsealed(report: Report, seals: Seals, how: str) -> None:
    if seals.unsealed:
        report.not_excluded.append(
            f"{seals.unsealed} runs have no seal here: a statement of theirs that {how} is not missed"
        )


def _rewind(one: YearReport, seen: int) -> str:
    """What a witness does not exclude of a year."""
    if not seen:
        return f"{one.year}: consistent; {REWIND}: no head that was kept elsewhere was compared"
    if seen < one.proven:
        return (
            f"{one.year}: consistent; up to entry {seen - 1} it is what the witness saw; after that {REWIND}"
        )
    return (
        f"{one.year}: consistent, and up to entry {seen - 1} what the witness saw; "
        f"what was cut off before the witness saw it is not excluded"
    )
