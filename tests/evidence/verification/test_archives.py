"""Exports, archives and receipts: verified when whole, found when tampered with."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from auditors_desk import Desk, desk
from made_logs import NOW, Log, Signer

from interlock.clients import archive_selected, archive_whole
from interlock.clients.archive import Archive, open_archive
from interlock.clients.archive_folder import Folder
from interlock.clients.archive_list import encode_entries, encode_header, encode_version, read_list
from interlock.clients.archive_part import PART, is_part
from interlock.evidence.log.receipt import Receipt
from interlock.evidence.verification.source import ObjectMissing, Retention, Version

__all__ = ["desk"]


def packed(folder: Path, name: str) -> Path:
    target = folder.parent / name
    with tarfile.open(target, "w:gz" if name.endswith("gz") else "w") as tar:
        tar.add(folder, arcname=".")
    return target


def test_a_bucket_and_its_exports_are_verified_in_each_form(desk: Desk) -> None:
    folder = desk.export()
    for command, where in [
        ("bucket", "tests"),
        ("archive", folder),
        ("archive", packed(folder, "archive.tar")),
        ("archive", packed(folder, "archive.tar.gz")),
    ]:
        status, out, err = desk.run(command, where)
        assert (status, err) == (0, ""), out
        assert out.startswith("VERIFIED")
        assert "310 of 310 entries proven" in out
        assert "a rewind by its operators is not excluded" in out


def test_a_bare_copy_proves_all_but_versions_and_locks(desk: Desk) -> None:
    folder = desk.export()
    shutil.move(folder / "objects", desk.folder / "copy")
    status, out, _ = desk.run("archive", desk.folder / "copy")
    assert status == 4
    assert out.startswith("INCOMPLETE: nothing wrong was found")
    assert desk.run("archive", desk.folder / "copy", "--skip", "retention")[0] == 0


def test_without_the_statements_key_the_verdict_is_incomplete(desk: Desk) -> None:
    status, out, _ = desk.run("bucket", "tests", "--key", desk.folder / "log.vkey", keys=False)
    assert status == 4
    assert "bring their keys with --statement-key" in out


def test_the_export_of_a_train_has_its_statements_alone_with_receipts_evidence_and_a_page(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    receipts = sorted(path.name for path in folder.glob("receipts/2026/*"))
    assert [int(name[:20]) for name in receipts] == [0, 1, 2, 3, 8]
    page = (folder / "index.html").read_text()
    assert "promotion_train__payments/manual__1" in page
    assert "promotion_train__search" not in page
    status, out, _ = desk.run("archive", folder)
    assert status == 0
    assert "1 runs have a seal, and all that their seals list is there" in out
    assert "1 evidence blobs have the digest that is signed" in out
    assert "5 of 310 entries proven" in out
    # A file browser has been in it.
    for name in (".DS_Store", "._00000000000000000003.tlog-proof"):
        (folder / "receipts/2026" / name).write_bytes(b"\0")
    assert desk.run("archive", folder)[0] == 0


@pytest.mark.parametrize(
    ("asked", "entries"),
    [
        (["--day", "2026-03-01"], 310),
        (["--period", "2026-02-01", "2026-03-02"], 310),
        (["--run", "promotion_train__search/manual__2"], 5),
    ],
)
def test_a_day_a_period_and_a_run_can_be_exported(desk: Desk, asked: list[str], entries: int) -> None:
    folder = desk.export(*asked)
    assert desk.report("archive", folder)["counts"]["entries"] == entries
    assert desk.run("archive", packed(folder, "part.tar.gz"))[0] == 0


def test_a_receipt_is_verified_on_its_own_and_with_the_entry_beside_it(desk: Desk) -> None:
    receipt = desk.export("--train", "payments") / "receipts/2026/00000000000000000003.tlog-proof"
    status, out, _ = desk.run("receipt", receipt)
    assert status == 0
    assert "entry 3 of 2026 is in the tree of 310 entries" in out
    assert "1 of 310 entries proven" in out
    entry = desk.folder / "entry"
    entry.write_bytes(desk.log.leaves[3])
    assert desk.run("receipt", receipt, "--entry", entry)[0] == 0
    entry.write_bytes(desk.log.leaves[4])
    assert desk.report("receipt", receipt, "--entry", entry)["first_bad"] == {"year": 2026, "index": 3}
    assert receipt.stat().st_size < 25_000


def edit(folder: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    file = folder / path
    file.write_bytes(change(file.read_bytes()))


def forget(folder: Path, word: str) -> None:
    edit(
        folder,
        "versions.jsonl",
        lambda text: b"".join(one for one in text.splitlines(True) if word.encode() not in one),
    )


def rereceipt(folder: Path, number: int, **change: Any) -> None:
    def changed(text: bytes) -> bytes:
        old = Receipt.decode(text)
        return Receipt(
            **{
                "index": old.index,
                "proof": old.proof,
                "checkpoint": old.checkpoint,
                "extra": old.extra,
                **change,
            }
        ).encode()

    edit(folder, f"receipts/2026/{number:020d}.tlog-proof", changed)


def blob_of(folder: Path) -> str:
    return next(folder.glob("objects/evidence/sha256/*")).relative_to(folder).as_posix()


R = "receipts/2026/00000000000000000002.tlog-proof"
STRANGER = Signer("interlock/tests")


@pytest.mark.parametrize(
    ("does", "tamper", "code", "first"),
    [
        ("a receipt is taken out", lambda f, log: (f / R).unlink(), "entry-missing", 2),
        ("receipt and its mention are taken out", lambda f, log: ((f / R).unlink(), edit(f, "versions.jsonl", lambda t: t.replace(b"[0,1,2,3]", b"[0,1,3]"))), "seal-gap", 8),
        ("a receipt's entry is another", lambda f, log: rereceipt(f, 2, extra=log.leaves[4]), "receipt-mismatch", 2),
        ("a receipt's index is another", lambda f, log: rereceipt(f, 2, index=3), "receipt-mismatch", 2),
        ("a hash of a receipt is another", lambda f, log: rereceipt(f, 2, proof=tuple(bytes(32) for _ in range(9))), "receipt-mismatch", 2),
        ("a receipt has no entry", lambda f, log: rereceipt(f, 2, extra=None), "receipt-mismatch", 2),
        ("a receipt's head is signed by another key", lambda f, log: rereceipt(f, 2, checkpoint=log.checkpoint(310, signer=STRANGER)), "checkpoint-signature", 2),
        ("a receipt's head is of another log", lambda f, log: rereceipt(f, 2, checkpoint=log.checkpoint(310, origin="a/b/2026")), "checkpoint-origin", 2),
        ("a receipt's head is of another size", lambda f, log: rereceipt(f, 2, checkpoint=log.checkpoint(100)), "receipt-mismatch", 2),
        ("a receipt is cut off", lambda f, log: edit(f, R, lambda t: t[:100]), "receipt-malformed", 2),
        ("a receipt has carriage returns", lambda f, log: edit(f, R, lambda t: t.replace(b"\n", b"\r\n")), "receipt-malformed", 2),
        ("a blob is altered", lambda f, log: edit(f, blob_of(f), lambda t: t[:-1] + b"]"), "blob-altered", 2),
        ("a blob is taken out", lambda f, log: (f / blob_of(f)).unlink(), "blob-missing", 2),
        ("a blob's lock is not told", lambda f, log: edit(f, "versions.jsonl", lambda t: t.replace(b'"retention":{"mode":"GOVERNANCE"', b'"retention":null,"was":{"mode":"GOVERNANCE"')), "retention-missing", 2),
    ],
)  # fmt: skip
def test_tampering_with_the_archive_of_a_train_is_found(
    desk: Desk, does: str, tamper: Callable[[Path, Log], object], code: str, first: int
) -> None:
    folder = desk.export("--train", "payments")
    tamper(folder, desk.log)
    report = desk.report("archive", folder)
    assert code in report["findings_by_code"], report["findings_by_code"]
    assert report["verdict"] == "not-verified"
    assert report["first_bad"] == {"year": 2026, "index": first}


@pytest.mark.parametrize(
    ("does", "tamper", "code", "first"),
    [
        ("a claim is altered", lambda f: edit(f, "objects/log/2026/seq/00000000000000000001", lambda t: t.replace(b'"payload":"e', b'"payload":"f', 1)), "entry-altered", 4),
        ("a claim is taken out", lambda f: (f / "objects/log/2026/seq/00000000000000000001").unlink(), "claim-missing", 4),
        ("a claim and its mention are taken out", lambda f: ((f / "objects/log/2026/seq/00000000000000000001").unlink(), forget(f, "seq/00000000000000000001")), "claim-missing", 4),
        ("a claim is put in", lambda f: (f / "objects/log/2026/seq/00000000000000000009").write_bytes(b"x"), "claim-missing", 310),
        ("a bundle is altered", lambda f: edit(f, "objects/log/2026/tile/entries/000", lambda t: t.replace(b'"payload":"e', b'"payload":"f', 1)), "bundle-altered", 0),
        ("a tile is taken out", lambda f: (f / "objects/log/2026/tile/0/000").unlink(), "tile-missing", 0),
        ("the list says less of a lock", lambda f: edit(f, "versions.jsonl", lambda t: t.replace(b'"until":"2029', b'"until":"2026')), "retention-short", 0),
    ],
)  # fmt: skip
def test_tampering_with_a_whole_archive_is_found(
    desk: Desk, does: str, tamper: Callable[[Path], object], code: str, first: int
) -> None:
    folder = desk.export()
    tamper(folder)
    report = desk.report("archive", folder)
    assert code in report["findings_by_code"], report["findings_by_code"]
    assert report["first_bad"] == {"year": 2026, "index": first}


def test_a_part_of_five_thousand_entries_is_opened_again(tmp_path: Path) -> None:
    log = Log()
    folder = Folder(tmp_path, log.bucket, log.trust, lambda step, done: None)
    with folder.versions() as stream:
        stream.write(folder.header(PART, "all"))
        stream.writelines(encode_entries(2026, 7, range(10**15, 10**15 + 5_000)))
    folder.put("objects/x", b"")
    lines = (tmp_path / "versions.jsonl").read_bytes().splitlines()
    assert max(map(len, lines)) <= 16 * 1024
    archive = open_archive(tmp_path)
    assert is_part(archive)
    assert archive.entries == {2026: dict.fromkeys(range(10**15, 10**15 + 5_000), 7)}


def test_a_part_in_the_older_format_is_read(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    header, *rest = (folder / "versions.jsonl").read_text().splitlines(True)
    old = {**json.loads(header), "format": 1, "entries": {"2026": [0, 1, 2, 3, 8]}}
    rest = [line for line in rest if "entries" not in json.loads(line)]
    (folder / "versions.jsonl").write_text("".join([json.dumps(old) + "\n", *rest]))
    report = desk.report("archive", folder)
    assert (report["verdict"], report["findings"]) == ("incomplete", [])
    assert report["missing"] == ["the locks of the claims of 5 entries: it doesn't say which they are"]
    (folder / R).unlink()
    assert desk.report("archive", folder)["findings_by_code"]["entry-missing"] == 1


def test_a_folder_of_many_versions_is_listed_in_time_that_grows_with_what_is_asked() -> None:
    count = 20_000
    archive = Archive(MadeFiles({f"objects/log/2026/seq/{n:020d}": 1 for n in range(count)}), "made")
    began = time.process_time()
    for number in range(0, count, 4):
        (found,) = archive.versions(f"log/2026/seq/{number:020d}")
        assert found.key.endswith(f"{number:020d}")
    assert time.process_time() - began < 2
    assert len(list(archive.versions("log/", f"log/2026/seq/{count - 3:020d}"))) == 2
    assert len(list(archive.versions("", ""))) == count


def test_a_list_of_versions_fills_no_memory() -> None:
    def peak(count: int) -> int:
        locked = Retention("GOVERNANCE", NOW)
        lines = (
            encode_version(Version(f"log/2026/seq/{n:020d}", f"v{n}", modified=NOW), locked, None)
            for n in range(count)
        )
        stream = io.BytesIO(b"".join([encode_header({"kind": "whole"}), *lines]))
        tracemalloc.start()
        listed = read_list(stream, "made")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [key for key, _ in listed.lines.below("", "")] == [
            f"log/2026/seq/{n:020d}" for n in range(count)
        ]
        listed.lines.close()
        return found

    assert peak(2_000) - peak(500) < 10 * 1_500


class MadeFiles:
    """Files that are named and never opened."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes

    def open(self, path: str) -> Any:
        raise AssertionError(path)

    def close(self) -> None:
        """Nothing is held open."""


def test_an_export_keeps_what_tampering_left_in_the_bucket(desk: Desk) -> None:
    bucket = desk.log.bucket
    bucket.put("log/2026/seq/00000000000000000001", b"another", desk.log.clock)
    bucket.marker("log/2026/tile/0/000", desk.log.clock)
    bucket.put("log/2026/../../../escape", b"x", desk.log.clock)
    folder = desk.export()
    report = desk.report("archive", folder)
    assert report["findings_by_code"] == {"second-version": 1, "delete-marker": 1, "unknown-object": 1}
    assert report["first_bad"] == {"year": 2026, "index": 0}
    assert not list(desk.folder.parent.rglob("escape"))


def test_an_object_that_can_not_be_copied_is_left_out_and_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, read = desk.log.bucket, desk.log.bucket.read
    monkeypatch.setattr(archive_whole, "MAX_BUNDLE", 1_000_000)
    bucket.put("other/large", bytes(1_000_001), desk.log.clock)
    for number in range(25):
        bucket.put(f"other/\ufffd{number:02d}", b"x", desk.log.clock)

    def partly(key: str, limit: int, version_id: str | None = None) -> bytes:
        if "\ufffd" in key:
            raise ObjectMissing(f"{key} is not there")
        return read(key, limit, version_id)

    monkeypatch.setattr(bucket, "read", partly)
    status, out, _ = desk.run("export", "tests", "--to", desk.folder / "archive")
    assert status == 0
    assert "left out other/large: other/large has 1000001 bytes; at most 1000000 belong there" in out
    assert "left out other/\ufffd00: other/\ufffd00 is not there" in out
    assert "left out 6 more (--json names them)" in out
    assert (desk.run("archive", desk.folder / "archive")[0], len(out.splitlines())) == (0, 23)
    _, out, _ = desk.run("export", "tests", "--to", desk.folder / "again", "--json")
    assert len(json.loads(out)["left_out"]) == 26


def test_evidence_larger_than_any_is_left_out_of_a_part_and_named(desk: Desk, monkeypatch: Any) -> None:
    monkeypatch.setattr(archive_selected, "MAX_BLOB", 10)
    status, out, _ = desk.run("export", "tests", "--to", desk.folder / "part", "--train", "payments")
    assert status == 0
    assert "left out evidence/sha256/" in out
    assert desk.report("archive", desk.folder / "part")["findings_by_code"] == {"blob-missing": 1}


def test_evidence_is_not_read_beyond_its_signed_size(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, read, limits = desk.log.bucket, desk.log.bucket.read, []

    def noted(key: str, limit: int, version_id: str | None = None) -> bytes:
        body = read(key, limit, version_id)
        if key.startswith("evidence/"):
            limits.append(limit - len(body))
        return body

    monkeypatch.setattr(bucket, "read", noted)
    assert (desk.run("bucket", "tests")[0], limits) == (0, [0, 0])


def test_too_little_memory_is_no_traceback(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(desk.log.bucket, "read", none)
    status, out, err = desk.run("bucket", "tests")
    assert (status, out) == (3, "")
    assert err == "interlock-verify: out of memory; nothing is said about the evidence\n"
