"""A log that was rewound in a real store is refused by the heads that were kept elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from interlock.clients.evidence import BucketWriter
from interlock.clients.kept_heads import keep, ship
from interlock.clients.log_store import LogConflict, LogRewound, Published
from interlock.clients.object_store import StoreSettings
from interlock.clients.witnesses import BucketWitness, FileWitness, Witness, witnesses
from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.witnesses import examine_witnesses
from interlock.evidence.log.checkpoint import open_checkpoint
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.statement import Run
from interlock.settings import Settings
from interlock.trains.model import Environment
from tests.clients.evidence_parts import NAME, Parts, statement
from tests.clients.log_checks import CheckedLog
from tests.clients.real_parts import ACCESS, DEPLOY, SECRET, empty

SECOND = "second"


@pytest.fixture
def second(s3: Any, s3_server: str) -> StoreSettings:
    """A second bucket with Object Lock."""
    if SECOND not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=SECOND, ObjectLockEnabledForBucket=True)
        lock = json.loads((DEPLOY / "object-lock.json").read_text())
        s3.put_object_lock_configuration(Bucket=SECOND, ObjectLockConfiguration=lock)
    empty(s3, SECOND, "heads/")
    return StoreSettings(SECOND, ACCESS, SECRET, s3_server, timeout=30.0)


def write(writer: BucketWriter, run: Run, count: int, what: str = "service") -> None:
    for n in range(count):
        assert writer.record(statement(run, f"{what}-{n}", blob=False)).where == "log"


def size_of(note: bytes | None, keys: list[VerifierKey]) -> int:
    assert note is not None
    return open_checkpoint(note, keys)[0].size


def test_each_witness_keeps_the_newest_head(
    parts: Parts, run: Run, second: StoreSettings, log_keys: list[VerifierKey], tmp_path: Path
) -> None:
    kept_by: list[Witness] = [FileWitness(tmp_path / "head"), BucketWitness(second, NAME)]
    writer = parts.writer()
    assert ship(writer, kept_by)[1] == []
    assert [one.read() for one in kept_by] == [None, None]  # no log yet, no head
    for size in range(1, 12):
        write(writer, run, 1, f"round-{size}")
        assert ship(writer, kept_by)[1] == []
        assert [size_of(one.read(), log_keys) for one in kept_by] == [size, size]


@pytest.mark.parametrize("place", ["file", "bucket"])
@pytest.mark.parametrize("what", ["a shorter log", "another log", "a longer other log", "no log"])
def test_a_log_that_was_rewound_is_refused_and_what_waits_stays(
    parts: Parts,
    run: Run,
    s3: Any,
    second: StoreSettings,
    checked: CheckedLog,
    tmp_path: Path,
    place: str,
    what: str,
) -> None:
    witness: Witness = FileWitness(tmp_path / "head") if place == "file" else BucketWitness(second, NAME)
    writer = parts.writer()
    write(writer, run, 5)
    ship(writer, [witness])
    kept = witness.read()
    # Another host, whose spool has never seen the log: nothing on its disk can tell.
    empty(s3, "evidence")
    other = parts.elsewhere(tmp_path / "other")
    sizes = {"a shorter log": 3, "another log": 5, "a longer other log": 9, "no log": 0}
    write(other.writer(), Run("promotion_train__payments", "another"), sizes[what])
    claims = len(checked.go_on().claims)
    assert other.writer(store=False).record(statement(run, "waits")).where == "spool"
    shipper = other.writer()
    with pytest.raises(LogRewound) as error:
        ship(shipper, [witness])
    said = str(error.value)
    assert "bucket evidence" in said
    assert (str(tmp_path / "head") if place == "file" else f"bucket {SECOND}, heads/{NAME}/") in said
    assert "with 5 entries" in said
    assert "Nothing is shipped" in said
    assert len(checked.go_on().claims) == claims
    assert witness.read() == kept
    other.close()
    # Without a witness nobody notices.
    shipped, _ = ship(other.writer(), [])
    assert (shipped.count, shipped.left) == (1, 0)
    other.close()


def test_an_entry_that_was_replaced_below_the_head_is_refused(
    parts: Parts, run: Run, s3: Any, tmp_path: Path
) -> None:
    """The log is longer than the head that was kept, and a full tile in the middle is not what it was."""
    witness = FileWitness(tmp_path / "head")
    writer = parts.writer()
    writer.record_all([statement(run, f"service-{n}", blob=False) for n in range(300)])
    ship(writer, [witness])
    empty(s3, "evidence")
    other = parts.elsewhere(tmp_path / "other")
    said = [statement(run, f"service-{n if n != 17 else 'else'}", blob=False) for n in range(700)]
    other.writer().record_all(said)
    with pytest.raises(LogRewound, match="does not go on from it"):
        ship(other.writer(), [witness])
    other.close()


def test_a_witness_that_is_away_is_told_and_nothing_is_lost(
    parts: Parts, run: Run, second: StoreSettings, log_keys: list[VerifierKey], tmp_path: Path
) -> None:
    good = FileWitness(tmp_path / "head")
    gone = StoreSettings("not-there", ACCESS, SECRET, second.endpoint_url, timeout=30.0)

    def read(name: str) -> Connection:
        raise ConnectionMissing(f"there is no connection {name}")

    named = witnesses(Settings(tmp_path, witnesses="connection:audit, relative/head"), read, NAME)
    kept_by = [FileWitness(tmp_path / "no-folder" / "head"), BucketWitness(gone, NAME), *named, good]
    writer = parts.writer()
    write(writer, run, 2)
    assert parts.writer(store=False).record(statement(run, "waits")).where == "spool"
    shipped, away = ship(writer, kept_by)
    assert (shipped.count, shipped.left) == (1, 0)
    assert size_of(good.read(), log_keys) >= 3
    assert len(away) == 4
    for part in (f"{tmp_path}/no-folder", "bucket not-there", "connection audit", "absolute paths"):
        assert any(part in said for said in away), (part, away)


def test_a_store_that_is_away_is_told_and_the_head_stays(parts: Parts, run: Run, tmp_path: Path) -> None:
    witness = FileWitness(tmp_path / "head")
    write(parts.writer(), run, 2)
    ship(parts.writer(), [witness])
    kept = witness.read()
    assert parts.store is not None
    parts.store = StoreSettings("evidence", ACCESS, SECRET, "http://127.0.0.1:9", timeout=1.0)
    shipped, away = ship(parts.writer(), [witness])
    assert shipped.count == 0
    assert any("was not compared" in said for said in away)
    assert witness.read() == kept


def test_a_witness_that_lost_its_head_is_told_and_begins_anew(parts: Parts, run: Run, tmp_path: Path) -> None:
    old, new = FileWitness(tmp_path / "old"), FileWitness(tmp_path / "new")
    write(parts.writer(), run, 2)
    assert ship(parts.writer(), [old, new])[1] == []
    (tmp_path / "new").unlink()
    (said,) = ship(parts.writer(), [old, new])[1]
    assert said.startswith(f"file {tmp_path}/new holds no head, while others do")
    assert new.read() == old.read()
    assert ship(parts.writer(), [old, new])[1] == []


def test_a_witness_that_holds_something_else_stops_the_shipping(
    parts: Parts, run: Run, tmp_path: Path
) -> None:
    write(parts.writer(), run, 1)
    (tmp_path / "head").write_text("not a head\n")
    with pytest.raises(LogConflict, match=rf"{tmp_path}/head holds no signed head of the log {NAME}"):
        ship(parts.writer(), [FileWitness(tmp_path / "head")])
    assert (tmp_path / "head").read_text() == "not a head\n"


def test_a_witness_file_never_goes_back(
    parts: Parts, run: Run, log_keys: list[VerifierKey], tmp_path: Path
) -> None:
    """Another shipper has kept a later head meanwhile."""
    witness = FileWitness(tmp_path / "head")
    writer = parts.writer()
    write(writer, run, 1)
    ship(writer, [witness])
    old = witness.read()
    assert old is not None
    write(writer, run, 1, "more")
    ship(writer, [witness])
    stale = writer.log
    assert stale is not None
    before = Published(open_checkpoint(old, log_keys)[0], old, "")
    keep(stale.log, before, datetime.now(UTC).year, [witness])
    assert size_of(witness.read(), log_keys) == 2


def test_the_doctor_says_of_each_witness_whether_a_head_could_be_kept_there(
    parts: Parts, run: Run, second: StoreSettings, tmp_path: Path
) -> None:
    def read(name: str) -> Connection:
        if name == "missing":
            raise ConnectionMissing("there is no connection missing")
        service = {"s3": {"bucket_name": {"store": "evidence", "second": SECOND}.get(name, "plain")}}
        extra = {"endpoint_url": second.endpoint_url, "service_config": service}
        return Connection(name, login=ACCESS, password=SECRET, extra=extra)

    named = (
        f"{tmp_path}/head, {tmp_path}/no-folder/head, connection:second, connection:plain, connection:missing"
    )
    settings = Settings(tmp_path, log_name=NAME, witnesses=named)
    environment = Environment("sandbox", "kubernetes", "payments", "interlock", "vault", "require", "store")
    write(parts.writer(), run, 1)
    ship(parts.writer(), [FileWitness(tmp_path / "head")])
    said = [str(line) for line in examine_witnesses(environment, settings, read)]
    assert [line.split()[0] for line in said] == ["ok", "failed", "ok", "failed", "failed"]
    assert "a head is kept there" in said[0]
    assert "its folder is not there" in said[1]
    assert "no head is kept there yet" in said[2]
    assert "made without Object Lock" in said[3]
    assert "no connection missing" in said[4]
