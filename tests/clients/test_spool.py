from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from interlock.clients.spool import Spool, SpoolError, SpoolFull, SpoolTampered
from interlock.evidence.waiting import ORIGIN, Waiting

SPAWN = multiprocessing.get_context("spawn")


def waiting(text: str, *, size: int = 0) -> Waiting:
    return Waiting(
        "0123456789ab", text.encode(), None, "", b"e" * size or None, "2026-11-24T06:00:00.000000Z"
    )


def said(spool: Spool) -> list[str]:
    return [w.payload.decode() for _, w in spool.waiting()]


def test_what_is_appended_waits_in_order_after_a_restart(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        Spool(tmp_path / "spool").append(waiting(text))
    assert said(Spool(tmp_path / "spool")) == ["one", "two", "three"]
    assert Spool(tmp_path / "spool").count() == 3


def test_files_and_folder_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    Spool(folder).append(waiting("one"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o600}


def test_each_file_names_the_hash_of_the_one_before_also_of_a_shipped_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first = spool.append(waiting("one"))
    spool.remove(first)
    second = spool.append(waiting("two"))
    assert first.previous == ORIGIN
    assert second.previous == first.hash
    assert said(spool) == ["two"]


def test_a_changed_file_is_noticed_after_those_before_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    places = [spool.append(waiting(text)) for text in ("one", "two", "three")]
    path = tmp_path / places[1].name
    path.write_text(path.read_text().replace("2026", "2020"))
    found = spool.waiting()
    assert next(found)[1].payload == b"one"
    next(found)
    with pytest.raises(SpoolTampered, match="doesn't follow"):
        next(found)


def test_a_change_of_the_newest_file_is_noticed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    path = tmp_path / spool.append(waiting("one")).name
    path.write_text(path.read_text().replace("2026", "2020"))
    with pytest.raises(SpoolTampered, match="isn't the file that was written"):
        said(spool)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_file_that_is_gone_is_noticed(tmp_path: Path, gone: int) -> None:
    spool = Spool(tmp_path)
    places = [spool.append(waiting(text)) for text in ("one", "two", "three")]
    (tmp_path / places[gone].name).unlink()
    with pytest.raises(SpoolTampered, match="gone before it was shipped"):
        said(spool)


def test_a_file_that_nobody_appended_is_noticed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    place = spool.append(waiting("one"))
    content = json.loads((tmp_path / place.name).read_text())
    (tmp_path / f"{2:020d}.json").write_text(json.dumps(content | {"sequence": 2}))
    with pytest.raises(SpoolTampered, match="doesn't follow"):
        said(spool)


def test_only_the_oldest_can_be_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = spool.append(waiting("one")), spool.append(waiting("two"))
    with pytest.raises(SpoolError, match="not the oldest"):
        spool.remove(second)
    spool.remove(first)
    spool.remove(first)
    assert said(spool) == ["two"]


def test_it_warns_at_80_percent_and_refuses_at_its_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, limit_bytes=10_000)
    spool.append(waiting("one", size=3_000))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        spool.append(waiting("two", size=3_000))
    assert "ship them before it is full" in caplog.text
    with pytest.raises(SpoolFull, match="raise the limit"):
        spool.append(waiting("three", size=3_000))
    assert said(spool) == ["one", "two"]


def test_there_is_room_again_after_shipping(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=8_000)
    place = spool.append(waiting("one", size=5_000))
    spool.remove(place)
    spool.append(waiting("two", size=5_000))
    assert said(spool) == ["two"]


def test_a_folder_that_can_not_be_made_gives_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="can't be used as a spool"):
        Spool(tmp_path / "file" / "spool").append(waiting("one"))


def test_a_spool_of_a_later_format_is_left_alone(tmp_path: Path) -> None:
    Spool(tmp_path).append(waiting("one"))
    state = tmp_path / "state.json"
    state.write_text(state.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(SpoolError, match="format 2, this version reads 1"):
        said(Spool(tmp_path))


def append_many(folder: Path, name: str, count: int) -> None:
    for n in range(count):
        Spool(folder).append(waiting(f"{name}-{n}"))


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    writers = [SPAWN.Process(target=append_many, args=(tmp_path, f"w{n}", 20)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    texts = said(Spool(tmp_path))
    assert len(texts) == 80
    for n in range(4):
        assert [t for t in texts if t.startswith(f"w{n}-")] == [f"w{n}-{i}" for i in range(20)]


def die_at(folder: Path, step: str, act: str) -> None:
    def kill(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    spool = Spool(folder, step=kill)
    if act == "append":
        spool.append(waiting("second"))
    else:
        spool.remove(next(spool.waiting())[0])


@pytest.mark.parametrize(
    ("step", "act", "left"),
    [("appended", "append", ["first", "second"]), ("removal recorded", "remove", [])],
)
def test_what_a_killed_process_began_is_finished(
    tmp_path: Path, step: str, act: str, left: list[str]
) -> None:
    Spool(tmp_path).append(waiting("first"))
    process = SPAWN.Process(target=die_at, args=(tmp_path, step, act))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert said(Spool(tmp_path)) == left
    Spool(tmp_path).append(waiting("next"))
    assert said(Spool(tmp_path)) == [*left, "next"]
    assert len([f for f in tmp_path.iterdir() if f.name[0].isdigit()]) == len(left) + 1


def test_a_file_that_was_shipped_right_after_a_writer_was_killed_stays_in_the_chain(tmp_path: Path) -> None:
    process = SPAWN.Process(target=die_at, args=(tmp_path, "appended", "append"))
    process.start()
    process.join()
    spool = Spool(tmp_path)
    place = next(spool.waiting())[0]
    spool.remove(place)
    assert spool.append(waiting("next")).previous == place.hash


def test_only_one_process_ships_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path).shipping() as first, Spool(tmp_path).shipping() as second:
        assert (first, second) == (True, False)
    with Spool(tmp_path).shipping() as third:
        assert third
