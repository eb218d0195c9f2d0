"""The sentences of a verdict: what is proven, what was not checked, what is not excluded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.evidence.verification.report import Report

if TYPE_CHECKING:
    from interlock.evidence.verification.heads import SignedHead
    from interlock.evidence.verification.source import Source
    from interlock.evidence.verification.trust import Trust
    from interlock.evidence.verification.verify import Options

REWIND: Final = "a rewind by its operators is not excluded"
ALWAYS: Final = (
    "who may bypass Governance (s3:BypassGovernanceRetention) or runs the store can delete what is "
    "locked; what is gone from the log's middle is found, what is gone from its end only with a witness",
    "what was never recorded leaves no trace here; a seal shows what is missing of a sealed run",
    "times are their writers' claims; the store's own time bounds them from above",
)


def conclude(
    report: Report, trust: Trust, options: Options, source: Source, witnesses: list[SignedHead]
) -> None:
    """Add the sentences to a report."""
    clean = not report.findings.bad
    for one in report.years:
        what = f"{one.year}: entries {one.start} to {one.proven - 1}" if one.proven > one.start else ""
        if what:
            report.proven.append(
                f"{what} are the tree with root {one.root}, which a key of {report.log} signed"
            )
    _common(report, trust, options, source)
    if older := report.counts["listed by seals and older"]:
        report.unchecked.append(
            f"{older} statements that seals list are older than where this verification begins"
        )
    _not_excluded(report, witnesses, clean=clean)


def conclude_part(report: Report, trust: Trust, options: Options, source: Source) -> None:
    """Add the sentences to the report of a part."""
    entries = report.counts["entries"]
    for one in report.years:
        report.proven.append(
            f"{one.year}: these entries are in the tree of {one.size} entries with root {one.root}, "
            f"which a key of {report.log} signed"
        )
    _common(report, trust, options, source)
    report.unchecked.append(f"all of the log that is not among these {entries} entries: verify the bucket")
    if older := report.counts["listed by seals and older"]:
        report.unchecked.append(f"{older} statements that seals list are not in this part")
    report.not_excluded += [
        f"{REWIND}: a part shows its own entries alone",
        "a statement that no seal lists can have been left out of this part by who made it",
        *ALWAYS,
    ]


def conclude_receipt(report: Report, trust: Trust) -> None:
    """Add the sentences to the report of a single receipt."""
    _statements(report, trust)
    report.unchecked += ["the evidence beside the statement, its retention, and the rest of the log"]
    report.not_excluded += [f"{REWIND}: a receipt shows one entry under one head", *ALWAYS]


def _common(report: Report, trust: Trust, options: Options, source: Source) -> None:
    codes = report.findings.counts
    _statements(report, trust)
    if options.blobs:
        if report.counts["blobs"] and not any(code.startswith("blob-") for code in codes):
            report.proven.append(f"{report.counts['blobs']} evidence blobs have the digest that is signed")
    else:
        report.unchecked.append("the evidence beside the statements (blobs): not asked for")
    _locks(report, options, source)
    if report.counts["runs sealed"] and "seal-gap" not in codes:
        report.proven.append(
            f"{report.counts['runs sealed']} runs have a seal, and all that their seals list is there"
        )


def _statements(report: Report, trust: Trust) -> None:
    then, late = report.grades.get("signed then", 0), report.grades.get("attested late", 0)
    if not trust.statements:
        said = "the signatures of the statements: bring their keys with --statement-key"
        report.unchecked.append(said)
        report.missing.append(said)
    elif then:
        report.proven.append(f"{then} statements were signed when they were made (signed then)")
    if late and trust.statements:
        report.proven.append(f"{late} statements were signed when they were shipped (attested late)")


def _locks(report: Report, options: Options, source: Source) -> None:
    if not options.retention:
        report.unchecked.append("versions' retention: not asked for")
    elif not source.knows_versions:
        said = "versions, delete markers and retention: this copy has no versions.jsonl that would say"
        report.unchecked.append(said)
        report.missing.append(said)
    elif not any(code.startswith("retention-") for code in report.findings.counts):
        days = options.lock.keep.days
        who = "the store" if source.live else "the archive's exporter, who copied it from the store,"
        report.proven.append(
            f"{report.counts['locks']} versions are locked for {days} days "
            f"({options.lock.mode} or stricter): {who} says so"
        )


def _not_excluded(report: Report, witnesses: list[SignedHead], *, clean: bool) -> None:
    for one in report.years:
        seen = max((w.head.size for w in witnesses if w.year == one.year), default=0)
        if not clean:
            continue
        if not seen:
            report.not_excluded.append(
                f"{one.year}: consistent; {REWIND}: no head that was kept elsewhere was compared"
            )
        elif seen < one.proven:
            report.not_excluded.append(
                f"{one.year}: consistent; up to entry {seen - 1} it is what the witness saw; "
                f"after that {REWIND}"
            )
    report.not_excluded += ALWAYS
    if late := report.grades.get("attested late", 0):
        report.not_excluded.append(
            f"{late} statements attested late were on a worker's disk until they were shipped: "
            f"until then only the spool's chain protected them"
        )
