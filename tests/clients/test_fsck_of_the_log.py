"""Tessera's fsck reads the bucket that the real writer wrote, unchanged, at each size that was published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from interlock.clients.object_store import ObjectStore
from interlock.evidence.log.layout import prefix
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import Parts, statement
from tests.clients.log_checks import CheckedLog
from tests.tessera_fsck import accepts, rejects, run_fsck

pytestmark = pytest.mark.sandbox
SIZES = (1, 2, 3, 7, 200, 255, 256, 257, 300, 511, 512, 513, 700)
"""At and beside the edges of full tiles; over 256 the tree has a second level of tiles."""


def copied(store: ObjectStore, year: int, folder: Path) -> Path:
    """The log of a year as files."""
    for key in store.keys(prefix(year)):
        file = folder / key.removeprefix(prefix(year))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(store.get(key))
    return folder


def test_it_accepts_what_the_writer_wrote_at_every_size_and_no_changed_bundle(
    parts: Parts,
    run: Run,
    checked: CheckedLog,
    store: ObjectStore,
    log_keys: list[VerifierKey],
    tmp_path: Path,
) -> None:
    writers = [parts.writer(), parts.elsewhere(tmp_path / "other").writer()]
    [key], size = log_keys, 0
    for number, wanted in enumerate(SIZES):
        said = [statement(run, f"service-{n}", blob=False) for n in range(size, wanted)]
        assert {one.where for one in writers[number % 2].record_all(said)} == {"log"}
        size = checked.go_on().head().size
        assert size == wanted
        files = copied(store, checked.year, tmp_path / f"at-{size}")
        answer = run_fsck(files, key, checked.year, tmp_path)
        assert accepts(answer), f"at size {size}: {answer}"
    bundle = files / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b'"payload":"e', b'"payload":"f', 1))
    assert rejects(run_fsck(files, key, checked.year, tmp_path, seconds=5))
    writers[1].close()


def test_it_accepts_entries_that_waited_and_were_signed_late(
    parts: Parts,
    run: Run,
    checked: CheckedLog,
    store: ObjectStore,
    log_keys: list[VerifierKey],
    tmp_path: Path,
) -> None:
    unsigned = replace(parts, vault=None, open=[])
    unsigned.writer().record_all([statement(run, f"unsigned-{n}") for n in range(290)])
    unsigned.close()
    parts.writer(store=False).record_all([statement(run, f"signed-{n}") for n in range(10)])
    assert parts.writer().ship().left == 0
    assert checked.go_on().kinds["late"] == 290
    files = copied(store, checked.year, tmp_path / "files")
    answer = run_fsck(files, log_keys[0], checked.year, tmp_path)
    assert accepts(answer), answer
