from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from interlock.clients.spool import Leader, Opened, Seen, Spool, SpoolError, SpoolFull, SpoolTampered
from interlock.clients.spool_journal import ORIGIN
from interlock.evidence.waiting import Waiting

SPAWN = multiprocessing.get_context("spawn")


def waiting(text: str, *, size: int = 0) -> Waiting:
    return Waiting(
        "0123456789ab", text.encode(), None, "", b"e" * size or None, "2026-11-24T06:00:00.000000Z"
    )


def append(spool: Spool, *texts: str) -> list[str]:
    return [spool.append([waiting(text)])[0] for text in texts]


def texts(spool: Spool) -> list[str]:
    return [one.payload.decode() for one in spool.statements()]


def chained(spool: Spool) -> list[str]:
    """Give what waits its place; what then waits, in the chain's order."""
    with spool.lead() as leader:
        assert leader is not None
        leader.gather()
        leader.save()
        return [one.waiting.payload.decode() for one in leader.waiting()]


def opened(leader: Leader, first: int, last: int, number: int = 0) -> Opened:
    position = Opened("log", 2026, number, "0" * 32, "2026-11-24T06:00:00.000000Z", first, last, False)
    leader.open(position)
    return position


def ship(spool: Spool, count: int) -> None:
    """Take the first that wait out of the spool, as after a claim."""
    with spool.lead() as leader:
        assert leader is not None
        leader.gather()
        first = next(leader.waiting()).entry.sequence
        opened(leader, first, first + count - 1)
        leader.done(Seen("log", 2026, 1, count, "0" * 64), 0)


def test_what_is_appended_waits_in_order_after_a_restart(tmp_path: Path) -> None:
    append(Spool(tmp_path / "spool"), "one", "two", "three")
    spool = Spool(tmp_path / "spool")
    assert texts(spool) == chained(spool) == ["one", "two", "three"]
    assert spool.count() == 3
    since = spool.since()
    assert since is not None
    assert abs(since.timestamp() - tmp_path.stat().st_mtime) < 60


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder)
    with spool.caller() as caller:
        spool.append([waiting("one")], caller.token)
        chained(spool)
    found = [folder, *folder.rglob("*")]
    assert {stat.S_IMODE(one.stat().st_mode) for one in found if one.is_dir()} == {0o700}
    assert {stat.S_IMODE(one.stat().st_mode) for one in found if one.is_file()} == {0o600}


def test_each_place_names_the_hash_of_the_line_before_also_of_a_shipped_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, "one", "two")
    ship(spool, 1)
    append(spool, "three")
    with spool.lead() as leader:
        assert leader is not None
        leader.gather()
        entries = [one.entry for one in leader.waiting()]
    assert [entry.sequence for entry in entries] == [2, 3]
    assert len({ORIGIN, *(entry.previous for entry in entries)}) == 3
    assert texts(Spool(tmp_path)) == ["two", "three"]


def test_a_changed_file_is_noticed_after_those_before_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    names = append(spool, "one", "two", "three")
    chained(spool)
    path = tmp_path / "waiting" / names[1]
    path.write_text(path.read_text().replace("2026", "2020"))
    with Spool(tmp_path).lead() as leader:
        assert leader is not None
        found = leader.waiting()
        assert next(found).waiting.payload == b"one"
        with pytest.raises(SpoolTampered, match=f"{names[1]}: it isn't the file that was written"):
            next(found)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_file_that_is_gone_is_noticed(tmp_path: Path, gone: int) -> None:
    spool = Spool(tmp_path)
    names = append(spool, "one", "two", "three")
    chained(spool)
    (tmp_path / "waiting" / names[gone]).unlink()
    with pytest.raises(SpoolTampered, match=f"{names[gone]} is gone before it was shipped"):
        chained(Spool(tmp_path))
    with pytest.raises(SpoolTampered, match="gone before it was shipped"):
        texts(spool)


def test_a_file_that_is_no_statement_is_noticed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    [name] = append(spool, "one")
    (tmp_path / "waiting" / name).write_text('{"format":2}')
    with pytest.raises(SpoolTampered, match="expected claimed_at, evidence"):
        texts(spool)


# The newest line can be taken away unnoticed: its file then gets its place anew.
@pytest.mark.parametrize(
    ("act", "line"), [*(("change", n) for n in range(4)), *(("remove", n) for n in range(3))]
)
def test_a_changed_line_of_the_journal_is_noticed(tmp_path: Path, act: str, line: int) -> None:
    spool = Spool(tmp_path)
    append(spool, "one", "two", "three")
    chained(spool)
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = [lines[line].replace(b"0", b"1")] if act == "change" else []
    path.write_bytes(b"".join([*lines[:line], *changed, *lines[line + 1 :]]))
    with pytest.raises(SpoolTampered):
        chained(Spool(tmp_path))


def test_waiting_files_without_a_journal_are_not_taken_for_ours(tmp_path: Path) -> None:
    append(Spool(tmp_path), "one")
    (tmp_path / "journal.jsonl").unlink()
    with pytest.raises(SpoolTampered, match=r"journal\.jsonl is gone"):
        texts(Spool(tmp_path))
    with pytest.raises(SpoolTampered, match=r"journal\.jsonl is gone, and statements wait"):
        append(Spool(tmp_path), "two")


def test_a_torn_last_line_is_cut_and_what_it_said_is_said_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, "one", "two")
    chained(spool)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert chained(Spool(tmp_path)) == ["one", "two"]
    append(spool, "three")
    assert chained(spool) == ["one", "two", "three"]
    assert path.read_bytes().count(b"\n") == 4


def test_what_is_done_is_not_taken_again_though_its_files_came_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    append(spool, "one", "two")
    shutil.copytree(tmp_path / "waiting", tmp_path / "before")
    ship(spool, 2)
    assert spool.count() == 0
    shutil.copytree(tmp_path / "before", tmp_path / "waiting", dirs_exist_ok=True)
    assert chained(Spool(tmp_path)) == []
    assert Spool(tmp_path).count() == 0


def test_a_large_journal_begins_anew_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, other = Spool(tmp_path), Spool(tmp_path)
    append(spool, "one", "two")
    assert chained(other) == ["one", "two"]
    monkeypatch.setattr("interlock.clients.spool_journal.COMPACT_BYTES", 100)
    ship(spool, 2)
    assert (tmp_path / "journal.jsonl").read_bytes().count(b"\n") == 1
    append(spool, "three")
    with other.lead() as leader:
        assert leader is not None
        assert leader.seen == Seen("log", 2026, 1, 2, "0" * 64)
        leader.gather()
        assert [one.entry.sequence for one in leader.waiting()] == [3]


def test_it_warns_at_half_of_its_limit_and_refuses_beyond_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, limit_bytes=13_000)
    spool.append([waiting("one", size=3_000)])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        spool.append([waiting("two", size=4_700)])
    assert "ship them before it is full" in caplog.text
    for again in (spool, Spool(tmp_path, limit_bytes=13_000)):
        with pytest.raises(SpoolFull, match="raise the setting spool_mib"):
            again.append([waiting("three", size=3_000)])
    ship(spool, 2)
    spool.append([waiting("four", size=3_000)])
    assert texts(spool) == ["four"]


def test_what_a_killed_writer_left_half_written_is_removed_a_day_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([waiting("one")])
    folder = tmp_path / "waiting"
    (whole,) = folder.iterdir()
    yesterday = time.time() - 90_000
    for name in (f".{whole.name}", ".of somebody else", whole.name):
        (folder / name).touch()
        os.utime(folder / name, (yesterday, yesterday))
    young = folder / f".{int(whole.name[:20]) + 1:020d}-0123abcd.json"
    young.touch()
    spool.sweep()
    assert {path.name for path in folder.iterdir()} == {".of somebody else", whole.name, young.name}


def test_a_folder_that_can_not_be_made_gives_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="can't be used as a spool"):
        append(Spool(tmp_path / "file" / "spool"), "one")


def test_a_spool_of_a_later_format_is_left_alone(tmp_path: Path) -> None:
    append(Spool(tmp_path), "one")
    journal = tmp_path / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"format":2', '"format":3'))
    with pytest.raises(SpoolError, match="format 3, this version reads 2"):
        texts(Spool(tmp_path))


def test_only_one_leads_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path).lead() as first, Spool(tmp_path).lead() as second:
        assert first is not None
        assert second is None
    with Spool(tmp_path).lead() as third:
        assert third is not None


def test_who_waits_hears_where_its_statements_are_and_who_is_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path / ("long" * 30))
    with spool.caller() as first, spool.caller() as second:
        names = spool.append([waiting("one"), waiting("two")], first.token)
        with spool.lead() as leader:
            assert leader is not None
            leader.gather()
            opened(leader, 1, 2)
            leader.done(Seen("log", 2026, 1, 7, "0" * 64), 5)
            spool.append([waiting("three")], second.token)
        assert first.hear(5) == {"year": 2026, "places": {names[0]: 5, names[1]: 6}}
        assert second.hear(5) == {"lead": True}
        assert first.hear(0) == {}


def append_many(folder: Path, name: str, count: int) -> None:
    for n in range(count):
        append(Spool(folder), f"{name}-{n}")


def test_many_writers_at_once_lose_nothing_and_keep_each_ones_order(tmp_path: Path) -> None:
    writers = [SPAWN.Process(target=append_many, args=(tmp_path, f"w{n}", 20)) for n in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        chained(Spool(tmp_path))
    found = chained(Spool(tmp_path))
    assert len(found) == 80
    for n in range(4):
        assert [t for t in found if t.startswith(f"w{n}-")] == [f"w{n}-{i}" for i in range(20)]


def die_at(folder: Path, step: str) -> None:
    def kill(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    spool = Spool(folder, step=kill)
    append(spool, "second")
    ship(spool, 2)


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("appended", ["first", "second"]),
        ("opened", ["first", "second"]),
        ("done", []),
        ("removed", []),
    ],
)
def test_what_a_killed_process_began_is_found_again(tmp_path: Path, step: str, left: Sequence[str]) -> None:
    append(Spool(tmp_path), "first")
    process = SPAWN.Process(target=die_at, args=(tmp_path, step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    spool = Spool(tmp_path)
    with spool.lead() as leader:
        assert leader is not None
        assert (leader.opened is not None) == (step == "opened")
    assert chained(spool) == left
    append(spool, "next")
    assert chained(spool) == texts(spool) == [*left, "next"]
