"""The evidence log's figures as Markdown, and what they say of the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import table

BEGIN, END = "<!-- figures of evidence: written by `make bench-evidence` -->", "<!-- end of those figures -->"
RATES = {(1, 1): (40, 60), (8, 1): (110, 200), (64, 1): (500, 900), (64, 4): (250, 370)}
"""Entries a second that are wanted of so many writers on so many hosts: busy, and on a quiet machine."""
WAITS = {(1, 1): (100, 30), (64, 1): (300, 150)}
"""Milliseconds until the signed head that 99 of 100 may take at most, in the same way."""
DRAINED, RECEIPT_BYTES, RECEIPT_MS, WHOLE_SECONDS = 5_000, 25_000, 10, 20

Figures = Mapping[str, Any]


def targets(found: Figures) -> list[tuple[str, str, bool, bool]]:
    """What was aimed at: the target, the figure, whether it was met on a busy machine, and on a quiet one."""
    rows: list[tuple[str, str, bool, bool]] = []
    for row in found["writers"]:
        load = (row["writers"], row["hosts"])
        busy, quiet = RATES[load]
        said = f"{row['rate']:.0f}"
        target = f"{_named(*load)}: {busy} / {quiet} entries a second"
        rows.append((target, said, row["rate"] >= busy, row["rate"] >= quiet))
        if load in WAITS:
            busy, quiet = WAITS[load]
            target = f"{_named(*load)}: signed head within {busy} / {quiet} ms, p99"
            said = f"{row['p99_ms']:.0f} ms"
            rows.append((target, said, row["p99_ms"] <= busy, row["p99_ms"] <= quiet))
    rate = found["drain"]["statements"] / found["drain"]["seconds"]
    largest = max(row["bytes"] for row in found["receipts"])
    slowest = max(row["verify_ms"] for row in found["receipts"])
    whole = found["verification"]["whole"]
    for target, said, met in (
        (f"draining: {DRAINED:,} a second", f"{rate:,.0f}", rate >= DRAINED),
        (f"a receipt: at most {RECEIPT_BYTES:,} bytes", f"{largest:,} bytes", largest <= RECEIPT_BYTES),
        (f"a receipt: verified in {RECEIPT_MS} ms", f"{slowest:.1f} ms", slowest <= RECEIPT_MS),
        (
            f"{whole['entries']:,} entries: verified in {WHOLE_SECONDS} s of one core",
            f"{whole['processor']:.1f} s",
            whole["processor"] <= WHOLE_SECONDS,
        ),
    ):
        rows.append((target, said, met, met))
    return rows


def markdown(found: Figures) -> str:
    """The section with the figures."""

    def listed(name: str) -> str:
        return "; ".join(f"{key} {value}" for key, value in found[name].items())

    (first, last), size = found["load"], found["bounds"]["entry_bytes"]
    return "\n\n".join(
        [
            f"- **When**: {found['date']}; load {first:.1f} before, {last:.1f} after\n"
            f"- **Machine**: {listed('machine')}\n"
            f"- **Versions**: {listed('versions')}\n"
            f"- **Load**: each for {found['seconds']:g} s; an entry has {size} bytes",
            "### Writers",
            _writers(found),
            "### Targets of evidence",
            table(
                ("target (busy / quiet)", "measured", "met as if busy", "as if quiet"),
                [(target, said, _yes(busy), _yes(quiet)) for target, said, busy, quiet in targets(found)],
            ),
            "### Drain",
            _drain(found),
            "### Receipts",
            _receipts(found),
            "### Verification",
            _verification(found),
        ]
    )


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


def _named(writers: int, hosts: int) -> str:
    one = f"{writers} writer{'s' if writers > 1 else ''}"
    return one if hosts == 1 else f"{one} on {hosts} hosts"


def _writers(found: Figures) -> str:
    rows = []
    for row in found["writers"]:
        bound, servers = found["bounds"]["store"][str(row["writers"])], row["servers_ms"]
        rows.append(
            (
                row["writers"],
                row["hosts"],
                f"{row['rate']:.0f}",
                f"{row['p50_ms']:.0f} ms",
                f"{row['p99_ms']:.0f} ms",
                f"{row['requests']:.2f}",
                f"{row['processor_ms']:.1f}, {servers['bao']:.1f}, {servers['weed']:.1f} ms",
                f"{bound['rate']:.0f}",
                f"{bound['p50_ms']:.0f}, {bound['p99_ms']:.0f} ms",
            )
        )
    head = (
        "writers",
        "hosts",
        "entries a second",
        "append to signed head: p50",
        "p99",
        "requests to the store for each",
        "processor time for each: writer, Vault, store",
        "bound: the store's own creates a second",
        "p50, p99",
    )
    return table(head, rows)


def _drain(found: Figures) -> str:
    drain, vault = found["drain"], found["bounds"]["vault"]
    row = (
        f"{drain['statements']:,}",
        f"{drain['spooled']:.1f} s",
        f"{drain['seconds']:.1f} s",
        f"{drain['processor']:.1f} s",
        f"{drain['statements'] / drain['seconds']:,.0f}",
        f"{vault['one at a time']:,.0f}",
        f"{vault['100 at a time']:,.0f}",
    )
    head = (
        "statements",
        "spooled in",
        "drained by one shipper in",
        "of it processor time",
        "a second",
        "bound: Vault's signatures a second, one at a time",
        "100 at a time",
    )
    return table(head, [row])


def _receipts(found: Figures) -> str:
    rows = [
        (
            f"{row['entries']:,}",
            f"{row['bytes']:,}",
            f"{row['requests']:.0f}",
            f"{row['proof_ms']:.1f} ms",
            f"{row['verify_ms']:.2f} ms",
        )
        for row in found["receipts"]
    ]
    head = (
        "entries in the log",
        "bytes of a receipt with its entry",
        "tiles read for it",
        "time for the proof",
        "to verify it",
    )
    return table(head, rows)


def _verification(found: Figures) -> str:
    core, objects = found["bounds"]["core"], found["objects"]
    rows = []
    for name, row in (("all", found["verification"]["whole"]), ("new on top", found["verification"]["new"])):
        bound = row["entries"] * (1 / core["signatures_checked"] + 2 / core["leaf_hashes"])
        shown = (f"{row['seconds']:.2f} s", f"{row['processor']:.2f} s", f"{bound:.2f} s")
        rows.append((f"{row['entries']:,}, {name}", *shown))
    head = (
        "entries of an archive",
        "verified in",
        "of it processor time",
        "bound: a signature and two leaf hashes each",
    )
    return (
        f"{table(head, rows)}\n\n"
        f"From a bucket besides: {objects['blobs_ms']:.1f} ms for each blob, "
        f"{objects['locks_ms']:.1f} ms for each lock, which are requests to the store. One core checks "
        f"{core['signatures_checked']:,.0f} signatures a second, makes {core['signatures_made']:,.0f}, and "
        f"hashes {core['leaf_hashes']:,.0f} leaves."
    )
