"""The command line: what it shows and what it refuses, on a cluster in memory where it needs one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from moved_train import HOLDER, NOW, RUN, SANDBOX, moved, planned

from interlock import cli
from interlock.clients.journal import JournalStore
from interlock.connections import variable
from interlock.trains.plan import Plan


async def test_status_shows_the_open_run_its_services_and_its_locks() -> None:
    cluster = await moved()
    lines = await cli.status(cluster, SANDBOX)
    assert lines[:2] == ["environment sandbox", "open journals (runs that hold their locks): 1"]
    assert HOLDER in lines[2]
    assert "2026-03-01T12:00:00+00:00" in lines[2]
    assert lines[3:5] == [
        f"    {service}: promoted at 2026-03-01T12:00:00+00:00; whether it is verified says its task "
        f"{service}.verify"
        for service in "ab"
    ]
    assert "held locks: 2" in lines
    assert f"  payments.a, held by {HOLDER} since 2026-03-01T12:00:00.000000Z" in lines


async def test_status_says_of_a_service_what_its_journal_knows_and_of_which_run_an_undo_is() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    a, b = planned().changes
    plan = Plan.of("payments", "sandbox", [a, replace(b, writes=())], undo_of="manual__0")
    written = await store.service(head.run, "a")
    intents = tuple(replace(mutation, state="intent") for mutation in written.journal.mutations)
    await store.write(head.run, replace(written, journal=replace(written.journal, mutations=intents)))
    other = replace(head, run_id="manual__2", plan=plan.to_json())
    await store.open(other)
    lines = await cli.status(cluster, SANDBOX)
    assert "    a: is being written since 2026-03-01T12:00:00+00:00" in lines
    at = next(at for at, line in enumerate(lines) if "manual__2" in line)
    assert lines[at + 1 : at + 4] == [
        "    it is the undo of manual__0",
        "    a: not moved yet",
        "    b: was live already, nothing to do",
    ]


@pytest.mark.parametrize(
    ("failed", "warned", "said"),
    [
        (0, 0, "all 9 checks passed"),
        (0, 1, "all 9 checks passed, 1 to look at"),
        (2, 0, "2 of 9 checks failed: mend what begins with `failed`, then try again"),
    ],
)
def test_the_doctor_ends_with_what_is_to_do(failed: int, warned: int, said: str) -> None:
    assert cli.summary(9, failed, warned) == said


async def test_status_names_what_a_run_left_not_whole_until_a_later_run_has_moved_it() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    await store.leave(head.run, await store.service(head.run, "b"), "somebody changed it")
    await store.close(head, NOW, "not-whole")
    lines = await cli.status(cluster, SANDBOX)
    at = lines.index("runs that ended not whole: 1")
    assert HOLDER in lines[at + 1]
    assert "    b: NOT WHOLE: somebody changed it" in lines[at + 2 :]

    later = replace(head, run_id="manual__2", opened_at=NOW + timedelta(hours=1))
    await store.open(later)
    assert "runs that ended not whole: 1" in await cli.status(cluster, SANDBOX)
    # One that went back leaves the service as it was.
    await store.close(later, NOW, "all-old")
    assert "runs that ended not whole: 1" in await cli.status(cluster, SANDBOX)
    last = replace(head, run_id="manual__3", opened_at=NOW + timedelta(hours=2))
    await store.open(last)
    await store.close(last, NOW, "all-new")
    assert "runs that ended not whole: 0" in await cli.status(cluster, SANDBOX)


async def test_stop_raises_the_flag_by_run_id_or_full_name_and_status_names_it() -> None:
    cluster = await moved()
    assert "stopped" in await cli.stop(cluster, SANDBOX, RUN, "Ada", "pages fail", NOW)
    again = await cli.stop(cluster, SANDBOX, HOLDER, "Bob", "too", NOW)
    assert "already, by Ada: pages fail" in again
    assert any("STOPPED by Ada" in line for line in await cli.status(cluster, SANDBOX))


async def test_stop_of_an_unknown_run_names_the_open_ones() -> None:
    cluster = await moved()
    with pytest.raises(cli.Refusal, match=HOLDER):
        await cli.stop(cluster, SANDBOX, "nope", "Ada", "why", NOW)


async def test_unlock_refuses_while_the_journal_is_open_unless_forced() -> None:
    cluster = await moved()
    with pytest.raises(cli.Refusal, match="journal is open"):
        await cli.unlock(cluster, SANDBOX, "a", "Ada", "why", NOW, force=False)
    said = await cli.unlock(cluster, SANDBOX, "a", "Ada", "why", NOW, force=True)
    assert said.startswith(f"released payments.a, which {HOLDER} held, and stopped that run")
    (head,) = await JournalStore(cluster, "interlock").open_heads()
    assert head.stop is not None
    assert (head.stop.by, head.stop.why) == ("Ada", "payments.a was taken from it by force: why")
    assert (
        await cli.unlock(cluster, SANDBOX, "a", "Ada", "why", NOW, force=False) == "nobody holds payments.a"
    )


async def test_unlock_frees_a_lock_whose_journal_is_closed() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    await store.close(head, NOW, "all-new")
    assert "released" in await cli.unlock(cluster, SANDBOX, "b", "Ada", "why", NOW, force=False)


def test_the_spool_is_counted_only_where_there_is_one(tmp_path: Path) -> None:
    assert cli.spool_lines(tmp_path / "none") == []
    assert cli.spool_lines(tmp_path) == ["statements waiting: 0"]
    (tmp_path / "waiting").mkdir()
    for moment in (1_000_000, 2_000_000):
        (tmp_path / "waiting" / f"{moment * 10**9:020d}-0123abcd.json").write_text("{}")
    assert cli.spool_lines(tmp_path) == ["statements waiting: 2, the oldest since 1970-01-12T13:46:40+00:00"]


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("status", "stop", "unlock", "doctor"))


def test_unlock_needs_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    for reason in ([], ["--reason", " "]):
        with pytest.raises(SystemExit) as left:
            cli.main(["unlock", "a", "--by", "Ada", *reason])
        assert left.value.code == 2
    assert "--reason" in capsys.readouterr().err


def test_a_missing_connection_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(variable("interlock_kubernetes"), raising=False)
    assert cli.main(["status"]) == 1
    assert "AIRFLOW_CONN_INTERLOCK_KUBERNETES is not set" in capsys.readouterr().err


def test_an_unknown_environment_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--environment", "moon"]) == 1
    assert "it has sandbox" in capsys.readouterr().err
