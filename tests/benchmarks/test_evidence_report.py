"""What the benchmark of evidence writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import evidence_report, report


def figures(**more: Any) -> dict[str, Any]:
    """Figures that meet each target of a quiet machine just so."""
    rates = {(1, 1): (60.0, 30.0), (8, 1): (200.0, 50.0), (64, 1): (900.0, 150.0), (64, 4): (370.0, 300.0)}
    writers = [
        {"writers": writers, "hosts": hosts, "count": 1, "requests": 1.5}
        | {"processor_ms": 2.5, "servers_ms": {"bao": 0.5, "weed": 1.0}}
        | {"rate": rate, "p50_ms": 1.0, "p99_ms": p99}
        for (writers, hosts), (rate, p99) in rates.items()
    ]
    one = {"rate": 400.0, "p50_ms": 2.0, "p99_ms": 3.0}
    core = {"signatures_checked": 10_000.0, "signatures_made": 20_000.0, "leaf_hashes": 500_000.0}
    row = {"entries": 1_000, "bytes": 25_000, "requests": 3, "proof_ms": 1.0, "verify_ms": 10.0}
    whole = {"entries": 100_000, "seconds": 25.0, "processor": 20.0}
    return {
        "date": "2026-11-24",
        "machine": {"CPU": "2 cores"},
        "versions": {"Interlock": "0"},
        "load": [0.5, 2.0],
        "seconds": 10.0,
        "bounds": {
            "store": dict.fromkeys(("1", "8", "64"), one),
            "vault": {"one at a time": 300.0, "100 at a time": 5_000.0},
            "core": core,
            "entry_bytes": 1_024,
        },
        "writers": writers,
        "drain": {"statements": 20_000, "spooled": 9.0, "seconds": 4.0, "processor": 3.0},
        "receipts": [row],
        "verification": {"whole": whole, "new": {"entries": 1_000, "seconds": 0.2, "processor": 0.2}},
        "objects": {"blobs_ms": 1.0, "locks_ms": 1.0},
        **more,
    }


def missed(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The targets that were missed: of a busy machine, and of a quiet one."""
    rows = evidence_report.targets(found)
    return [row[0] for row in rows if not row[2]], [row[0] for row in rows if not row[3]]


def test_a_figure_that_is_just_so_meets_its_target() -> None:
    assert missed(figures()) == ([], [])
    assert len(evidence_report.targets(figures())) == 10


def test_of_a_busy_machine_less_is_wanted() -> None:
    found = figures()
    found["writers"][0] |= {"rate": 59.0, "p99_ms": 31.0}
    found["writers"][1]["rate"] = 109.0
    rates = ["1 writer: 40 / 60 entries a second", "8 writers: 110 / 200 entries a second"]
    wait = "1 writer: signed head within 100 / 30 ms, p99"
    assert missed(found) == ([rates[1]], [rates[0], wait, rates[1]])


def test_each_of_the_others_can_be_missed() -> None:
    found = figures(drain={"statements": 20_000, "spooled": 9.0, "seconds": 4.1, "processor": 3.0})
    found["receipts"][0] |= {"bytes": 25_001, "verify_ms": 10.1}
    found["verification"]["whole"]["processor"] = 20.1
    assert missed(found)[0] == [
        "draining: 5,000 a second",
        "a receipt: at most 25,000 bytes",
        "a receipt: verified in 10 ms",
        "100,000 entries: verified in 20 s of one core",
    ]


def test_its_section_is_written_beside_that_of_the_trains(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    marks = [report.BEGIN, report.END, evidence_report.BEGIN, evidence_report.END]
    file.write_text("\n".join(marks))
    report.put(file, "trains")
    report.put(file, evidence_report.markdown(figures()), evidence_report.BEGIN, evidence_report.END)
    report.put(file, "trains again")
    text = file.read_text()
    assert "trains again" in text
    assert "| 64 | 4 | 370 | 1 ms | 300 ms | 1.50 | 2.5, 0.5, 1.0 ms | 400 | 2, 3 ms |" in text
    assert "| 100,000, all | 25.00 s | 20.00 s | 10.40 s |" in text
    assert [text.index(mark) for mark in marks] == sorted(text.index(mark) for mark in marks)
