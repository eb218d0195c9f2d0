"""Two signed heads that can't both be of one log are found, wherever the second one is."""

from __future__ import annotations

import base64
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from auditors_desk import Desk, desk
from made_logs import Log
from made_trees import derived, hashed
from tampering import fresh

from interlock.evidence.log.merkle import inclusion_proof
from interlock.evidence.log.note import MAX_NOTE_BYTES
from interlock.evidence.log.receipt import Receipt
from interlock.evidence.log.tiles import TileReader, TileRef

__all__ = ["desk"]


def put_head(log: Log, size: int, root: bytes | None = None) -> None:
    log.bucket.put("log/2026/checkpoint", log.checkpoint(size, root=root), log.clock, keep=timedelta(days=1))


@pytest.mark.parametrize("size", [1, 264, 500, 600])
def test_another_root_in_an_older_version_of_checkpoint_is_a_fork(size: int) -> None:
    log = fresh()
    put_head(log, size, hashed(b"another"))
    put_head(log, 600)
    report = log.verify()
    assert "checkpoint-fork" in report.findings.counts, [*report.findings]
    assert "root-mismatch" not in report.findings.counts
    (found,) = [one for one in report.findings if one.code == "checkpoint-fork"]
    assert found.object.startswith("log/2026/checkpoint, version v")


def test_a_fork_is_found_also_in_the_largest_note_that_there_may_be() -> None:
    log = fresh()
    note = log.checkpoint(264, root=hashed(b"another"))
    line = f"\u2014 witness.example/w {base64.b64encode(bytes(4 + 1500)).decode()}\n".encode()
    padded = note + line * min(60, (MAX_NOTE_BYTES - len(note)) // len(line))
    assert 100_000 < len(padded) <= MAX_NOTE_BYTES
    log.bucket.put("log/2026/checkpoint", padded, log.clock, keep=timedelta(days=1))
    put_head(log, 600)
    assert dict(log.verify().findings.counts) == {"checkpoint-fork": 1}


def test_an_older_version_of_checkpoint_that_is_no_note_at_all_is_found() -> None:
    log = fresh()
    log.bucket.put("log/2026/checkpoint", b"x" * (MAX_NOTE_BYTES + 1), log.clock, keep=timedelta(days=1))
    put_head(log, 600)
    assert dict(log.verify().findings.counts) == {"checkpoint-malformed": 1}


@pytest.mark.parametrize("key", ["log/2026/checkpoint", f"log/2026/checkpoints/{600:020d}"])
def test_another_root_at_the_largest_size_is_a_fork(key: str) -> None:
    log = fresh()
    log.bucket.stored[key][0].body = log.checkpoint(600, root=hashed(b"another"))
    report = log.verify()
    assert dict(report.findings.counts) == {"checkpoint-fork": 1}
    assert next(iter(report.findings)).object == key


def test_a_version_of_checkpoint_that_no_trusted_key_signed_is_found() -> None:
    log = fresh()
    log.bucket.put("log/2026/checkpoint", b"hello", log.clock)
    put_head(log, 600)
    assert dict(log.verify().findings.counts) == {"checkpoint-malformed": 1}


def test_a_head_that_was_moved_back_and_on_again_is_found_by_its_versions_alone() -> None:
    log = fresh()
    put_head(log, 564)
    assert dict(log.verify().findings.counts) == {"checkpoint-old": 1}


def test_a_deletion_of_an_older_version_of_checkpoint_is_found() -> None:
    log = fresh()
    log.bucket.marker("log/2026/checkpoint", log.clock)
    put_head(log, 600)
    assert dict(log.verify().findings.counts) == {"delete-marker": 1}


def test_a_head_in_the_middle_of_a_claim_is_said() -> None:
    log = fresh()
    log.bucket.put(f"log/2026/checkpoints/{300:020d}", log.checkpoint(300), log.clock)
    report = log.verify()
    assert (report.exit, dict(report.findings.counts)) == (0, {"head-mid-claim": 1})


# Parts


def receipt(log: Log, index: int, size: int) -> bytes:
    tiles = {path: body for path, body, _ in derived(log.leaves[:size], 0, size)}

    def tile(ref: TileRef) -> bytes:
        return tiles[ref.path()]

    proof = tuple(inclusion_proof(index, size, TileReader(size, tile)))
    return Receipt(index, proof, log.checkpoint(size), log.leaves[index]).encode()


def forked(log: Log) -> Log:
    """The same signers' other log: entry 2 is another one."""
    other = log.copy()
    other.leaves[2] = log.leaf(reason="another")
    return other


def add(folder: Path, name: str, text: bytes) -> None:
    (folder / f"receipts/2026/{name}.tlog-proof").write_bytes(text)


def test_two_heads_of_one_size_in_a_part_are_a_fork(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    add(folder, "another", receipt(forked(desk.log), 200, 310))
    report = desk.report("archive", folder)
    assert report["findings_by_code"] == {"checkpoint-fork": 1}
    assert report["first_bad"] == {"year": 2026, "index": 200}


def test_two_entries_at_one_index_in_a_part_are_a_fork(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    add(folder, "another", receipt(forked(desk.log), 2, 300))
    report = desk.report("archive", folder)
    assert report["findings_by_code"]["checkpoint-fork"] == 1
    assert report["first_bad"] == {"year": 2026, "index": 2}


def test_several_heads_in_a_part_are_not_known_to_be_of_one_log(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    shutil.copy(folder / "versions.jsonl", desk.folder / "list")
    add(folder, "another", receipt(desk.log, 2, 300))
    report = desk.report("archive", folder)
    assert (report["verdict"], report["findings_by_code"]) == ("incomplete", {})
    assert "whether the 2 signed heads of its receipts are of one log" in report["missing"][0]
