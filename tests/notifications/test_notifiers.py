"""Notices: what they say, whom they reach, and that nothing depends on their arrival."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk import DAG, BaseNotifier

from interlock.notifications.configured import NotifiersError, parse
from interlock.notifications.file import FileNotifier
from interlock.notifications.notice import Notice, train_of
from interlock.notifications.notifier import InterlockNotifier, tell
from interlock.notifications.waits import LongWait, patience
from interlock.operators.doctor import _notifier_lines
from interlock.operators.train import ApproveOperator

TRAIN, RUN = "promotion_train__payments", "manual__2026-03-01T12:00:00+00:00"
FILE = "interlock.notifications.file.FileNotifier"
HERE = __name__
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
log = logging.getLogger(__name__)


class Recording(BaseNotifier):
    """Keeps what it was given; `text` is a template."""

    template_fields = ("text",)
    given: ClassVar[list[str]] = []

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        self.given.append(self.text)


class Broken(BaseNotifier):
    """Always away."""

    def notify(self, context: Any) -> None:
        raise ConnectionError("away")


class TaskInstance:
    """What a notifier asks a task instance for."""

    run_id = RUN

    def __init__(
        self,
        verdict: str | None = None,
        before: str | None = None,
        said: str | None = None,
        task_id: str = "close",
    ) -> None:
        self.task_id = task_id
        self._before = before
        self._verdicts = {RUN: verdict, "before": said}

    def xcom_pull(self, *, task_ids: str, key: str, run_id: str = RUN) -> str | None:
        return self._verdicts[run_id] if (task_ids, key) == (self.task_id, "verdict") else None

    def get_previous_dagrun(self) -> Any:
        return SimpleNamespace(state=self._before, run_id="before") if self._before else None


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow/")
    path = tmp_path / "new" / "notices.jsonl"
    _set(monkeypatch, {"classpath": FILE, "kwargs": {"path": str(path)}})
    return path


def _set(monkeypatch: pytest.MonkeyPatch, *notifiers: Mapping[str, Any]) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__NOTIFIERS", json.dumps(notifiers))


def _context(dag_id: str = TRAIN, **more: Any) -> dict[str, Any]:
    return {"dag": DAG(dag_id, schedule=None), "run_id": RUN, "reason": "task_failure", **more}


def _lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_failed_train_is_told_with_its_verdict_and_link(file: Path) -> None:
    InterlockNotifier("failed")(_context(ti=TaskInstance("c failed, all went back")))
    (line,) = _lines(file)
    when = datetime.fromisoformat(line.pop("when"))
    assert timedelta(0) <= datetime.now(UTC) - when < timedelta(minutes=1)
    assert line == {
        "what": "failed",
        "train": "payments",
        "dag_id": TRAIN,
        "run_id": RUN,
        "text": f"{TRAIN} failed: c failed, all went back",
        "link": f"http://airflow/dags/{TRAIN}/runs/manual__2026-03-01T12%3A00%3A00%2B00%3A00",
    }
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_a_task_instance_or_verdict_the_schedulers_reason_is_told(file: Path) -> None:
    InterlockNotifier("failed")(_context())
    InterlockNotifier("failed")(_context("train_watchdog", ti=TaskInstance(task_id="watch")))
    assert [line["text"] for line in _lines(file)] == [
        f"{TRAIN} failed: task_failure",
        "train_watchdog failed: task_failure",
    ]


def test_a_waiting_approval_is_told_with_its_page(file: Path) -> None:
    task = ApproveOperator(task_id="approve", train="payments")
    task.subject = "Train payments: approve plan 0123"
    (notifier,) = task.notifiers
    notifier(_context(task=task, ti=TaskInstance()))
    (line,) = _lines(file)
    assert (line["what"], line["text"]) == ("approval", "Train payments: approve plan 0123")
    assert line["link"].endswith("/tasks/approve/required_actions")


def test_arguments_are_templates_that_see_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    Recording.given.clear()
    _set(
        monkeypatch,
        {"classpath": f"{HERE}.Recording", "kwargs": {"text": "{{ notice.train }}, {{ run_id }}"}},
    )
    for _ in range(2):
        InterlockNotifier("failed")(_context())
    assert Recording.given == [f"payments, {RUN}"] * 2


def test_one_that_is_away_does_not_keep_the_others_from_being_told(
    monkeypatch: pytest.MonkeyPatch, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"classpath": FILE, "kwargs": {"path": str(file)}}
    _set(monkeypatch, {"classpath": f"{HERE}.Broken"}, {"classpath": "no.such.Class"}, good)
    assert tell(Notice.of("failed", TRAIN, RUN, "it failed"), {}, log) == 1
    assert len(_lines(file)) == 1
    assert f"{HERE}.Broken was not told of: it failed" in caplog.text
    assert "no.such.Class was not told of: it failed" in caplog.text


def test_a_setting_that_is_wrong_is_logged_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__NOTIFIERS", "slack")
    InterlockNotifier("failed")(_context())
    assert tell(Notice.of("failed", TRAIN, RUN, "it failed"), {}, log) == 0
    assert "nobody is told of it failed: [interlock] notifiers: expected [{" in caplog.text


@pytest.mark.parametrize(
    ("before", "said", "now", "told"),
    [
        ("failed", None, None, 0),
        ("success", None, None, 1),
        (None, None, None, 1),
        ("failed", "run 1 is paused", "run 1 is paused", 0),
        ("failed", "run 1 is paused", "run 1 is paused\nrun 2 is not whole", 1),
        ("failed", "run 1 is paused\nrun 2 is not whole", "run 2 is not whole", 0),
        ("failed", "run 1 is paused", None, 1),
        ("failed", None, "run 2 is not whole", 1),
        ("success", "run 1 is paused", "run 1 is paused", 1),
    ],
)
def test_of_a_scheduled_dag_what_the_failure_before_has_said_is_not_told_again(
    file: Path, before: str | None, said: str | None, now: str | None, told: int
) -> None:
    ti = TaskInstance(now, before, said, task_id="watch")
    InterlockNotifier("failed", first=True)(_context("train_watchdog", ti=ti))
    lines = _lines(file)
    assert len(lines) == told
    assert all(line["text"] == f"train_watchdog failed: {now or 'task_failure'}" for line in lines)


def test_the_file_notifier_serves_any_dag_without_the_setting(tmp_path: Path) -> None:
    FileNotifier(path=str(tmp_path / "{{ dag.dag_id }}.jsonl"))(_context("other"))
    (line,) = _lines(tmp_path / "other.jsonl")
    assert (line["train"], line["text"]) == ("", "other failed: task_failure")


async def test_a_long_wait_is_told_once_and_only_when_it_is_long(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__LOCK_NOTICE_MINUTES", "10")
    wait = LongWait(TRAIN, RUN, NOW)
    await wait.look("lock a is held by b", NOW + timedelta(minutes=9), log)
    assert _lines(file) == []
    for minutes in (11, 12):
        await wait.look("lock a is held by b", NOW + timedelta(minutes=minutes), log)
    (line,) = _lines(file)
    assert line["what"] == "lock"
    assert line["text"] == f"{TRAIN} has waited for 11 minutes: lock a is held by b"
    assert line["link"].endswith("/tasks/lock")


@pytest.mark.parametrize("setting", ["0", "soon"])
async def test_a_wait_is_never_told_where_the_setting_says_so_or_is_wrong(
    monkeypatch: pytest.MonkeyPatch, file: Path, setting: str
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__LOCK_NOTICE_MINUTES", setting)
    await LongWait(TRAIN, RUN, NOW).look("held", NOW + timedelta(days=9), log)
    assert _lines(file) == []


def test_the_wait_is_half_an_hour_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__INTERLOCK__LOCK_NOTICE_MINUTES", raising=False)
    assert patience() == timedelta(minutes=30)
    monkeypatch.setenv("AIRFLOW__INTERLOCK__LOCK_NOTICE_MINUTES", "soon")
    with pytest.raises(NotifiersError, match="a number of minutes, found 'soon'"):
        patience()


@pytest.mark.parametrize(
    "text",
    [
        "slack",
        "{}",
        "[1]",
        '[{"kwargs": {}}]',
        '[{"classpath": "a.B", "arguments": {}}]',
        '[{"classpath": "a", "kwargs": 1}]',
    ],
)
def test_a_setting_that_is_no_list_of_classes_is_refused(text: str) -> None:
    with pytest.raises(NotifiersError, match="expected"):
        parse(text)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"classpath": "no.such.Class"}, "no.such.Class: No module named 'no'"),
        ({"classpath": FILE, "kwargs": {"folder": "x"}}, "its kwargs: .*folder"),
        ({"classpath": "pathlib.Path"}, "is no BaseNotifier"),
    ],
)
def test_the_doctor_names_a_notifier_that_can_not_be_made(
    monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], said: str
) -> None:
    _set(monkeypatch, entry)
    (line,) = _notifier_lines()
    assert not line.ok
    with pytest.raises(NotifiersError, match=said):
        parse(json.dumps([entry]))[0].make()


def test_the_doctor_warns_where_nobody_is_told(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    (line,) = _notifier_lines()
    assert (line.ok, line.warning) == (True, False)
    monkeypatch.delenv("AIRFLOW__INTERLOCK__NOTIFIERS")
    (line,) = _notifier_lines()
    assert (line.ok, line.warning) == (True, True)


def test_a_train_is_known_by_its_dag() -> None:
    assert [train_of(dag) for dag in (TRAIN, "undo_train__search", "doctor")] == ["payments", "search", ""]
