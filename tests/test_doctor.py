"""The doctor's lines about the cluster and the spool, on a cluster in memory and in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from memory_cluster import MemoryCluster
from moved_train import SANDBOX, deployment

from interlock import doctor
from interlock.clients.kubernetes import Forbidden
from interlock.connections import Connection, ConnectionAbsent
from interlock.doctor.kubernetes import needed, rights_lines, write_lines
from interlock.doctor.line import Line
from interlock.doctor.prometheus import examine_prometheus
from interlock.doctor.spool import examine_spool
from interlock.manifest import Manifest, ObjectRef
from interlock.operators.doctor import DoctorOperator
from interlock.project import include
from interlock.settings import Settings
from tests.clients.prometheus_answers import answering


async def test_the_verbs_that_are_missing_are_named() -> None:
    needs = needed((include() / "deploy" / "kubernetes" / "rbac.yaml").read_text(), SANDBOX)
    assert {namespace for namespace, *_ in needs} == {"payments", "interlock"}
    cluster = MemoryCluster(denied=frozenset({("patch", "deployments")}))
    lines = await rights_lines(cluster, needs)
    (missing,) = [line for line in lines if not line.ok]
    assert missing.what == "right on deployments.apps in payments"
    assert missing.said == "may not patch"
    assert missing.given_by.endswith("rbac.yaml")


class ReadOnly(MemoryCluster):
    """Every write is refused."""

    async def create(self, manifest: Manifest) -> Manifest:
        raise Forbidden(f"create {manifest.kind}: no right", 403)

    async def merge(self, ref: ObjectRef, patch: Mapping[str, Any]) -> Manifest:
        raise Forbidden(f"patch {ref}: no right", 403)


async def test_writes_are_tried_and_nothing_is_left_behind() -> None:
    cluster, rehearsal = MemoryCluster(deployment("a")), MemoryCluster(deployment("a"))
    lines = [line async for line in write_lines(cluster, rehearsal, SANDBOX)]
    assert all(line.ok for line in lines)
    assert [line.said for line in lines] == [
        "made and removed",
        "made in a dry run",
        "a patched in a dry run",
        "none is there to try it on",
        "none is there to try it on",
    ]
    assert (await cluster.list("v1", "Secret", None))[0] == []
    assert (await cluster.list("coordination.k8s.io/v1", "Lease", None))[0] == []
    (live,) = (await cluster.list("apps/v1", "Deployment", None))[0]
    assert live.resource_version == "1"


async def test_writes_that_are_refused_are_missing_each_with_the_reason() -> None:
    cluster = ReadOnly(deployment("a"))
    lines = [line async for line in write_lines(cluster, cluster, SANDBOX)]
    assert [line.said for line in lines if not line.ok] == [
        "create Secret: no right",
        "create Lease: no right",
        "patch Deployment/a: no right",
    ]


def _spool(folder: Path, executor: str = "LocalExecutor") -> dict[str, Line]:
    return {line.what: line for line in examine_spool(Settings(folder), executor)}


def test_a_good_spool_is_made_private_and_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "spool"
    lines = _spool(folder)
    assert [str(line) for line in lines.values() if not line.ok or line.warning] == []
    assert "0 statements wait" in lines["spool"].said
    assert lines["spool's mode"].said == "0700, private to its owner"
    assert sorted(file.name for file in folder.iterdir()) == [
        "callers",
        "journal.jsonl",
        "leader.lock",
        "waiting",
    ]
    assert not any((folder / "waiting").iterdir())


@pytest.mark.parametrize(
    ("mode", "ok", "warning"), [(0o700, True, False), (0o770, True, True), (0o705, False, False)]
)
def test_the_spools_mode_is_judged(tmp_path: Path, mode: int, ok: bool, warning: bool) -> None:
    tmp_path.chmod(mode)
    line = _spool(tmp_path)["spool's mode"]
    assert (line.ok, line.warning) == (ok, warning)


def test_a_spool_that_can_not_be_made_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (line,) = _spool(tmp_path / "file" / "spool").values()
    assert not line.ok
    assert line.given_by == "setting [interlock] spool"


def test_a_full_disk_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=10 * 1024 * 1024)
    monkeypatch.setattr("interlock.doctor.spool.shutil.disk_usage", lambda folder: usage)
    line = _spool(tmp_path)["spool's room"]
    assert (line.ok, line.said) == (False, "10 MiB free; up to 256 MiB more may come to wait")


@pytest.mark.parametrize(
    ("executor", "warning"),
    [
        ("LocalExecutor", False),
        ("airflow.executors.local_executor.LocalExecutor", False),
        ("CeleryExecutor", True),
        ("airflow.providers.celery.executors.celery_executor.CeleryExecutor", True),
    ],
)
def test_several_workers_need_a_volume_that_all_of_them_mount(
    tmp_path: Path, executor: str, warning: bool
) -> None:
    line = _spool(tmp_path, executor)["spool's workers"]
    assert (line.ok, line.warning) == (True, warning)


def test_a_spool_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.clients.spool_folder.fcntl.flock", lambda descriptor, how: None)
    (line,) = _spool(tmp_path).values()
    assert "doesn't hold a lock" in line.said


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (Line("a", True, "b", "file"), "ok      a: b [file]"),
        (Line("a", True, "b", warning=True), "warning a: b"),
        (Line("a", False, "b", "file"), "failed  a: b [file]"),
    ],
)
def test_a_line_is_shown_with_its_word(line: Line, shown: str) -> None:
    assert str(line) == shown


def _lines(monkeypatch: pytest.MonkeyPatch, *lines: Line) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *arguments, **named: iter(lines))


def test_the_task_returns_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    _lines(monkeypatch, Line("a", True, "b"), Line("c", True, "d", warning=True))
    found = DoctorOperator(task_id="sandbox", environment="sandbox").execute({})
    assert [line["what"] for line in found] == ["a", "c", "notifiers"]


def test_the_task_fails_with_all_that_is_missing_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _lines(monkeypatch, Line("a", False, "b", "file"), Line("c", True, "d"), Line("e", False, "f"))
    with pytest.raises(AirflowFailException) as failed:
        DoctorOperator(task_id="sandbox", environment="sandbox").execute({})
    assert str(failed.value).splitlines() == ["2 checks failed:", "failed  a: b [file]", "failed  e: f"]


def test_an_environment_that_is_not_there_is_named() -> None:
    with pytest.raises(AirflowFailException, match="'moon' is not in"):
        DoctorOperator(task_id="moon", environment="moon").execute({})


def test_connections_that_airflow_has_not_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in list(os.environ):
        if name.startswith("AIRFLOW_CONN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path))
    with pytest.raises(AirflowFailException) as failed:
        DoctorOperator(task_id="sandbox", environment="sandbox").execute({})
    for name in ("interlock_kubernetes", "interlock_vault", "interlock_evidence"):
        assert f"connection {name}: Airflow has none of this name" in str(failed.value)


@pytest.mark.parametrize(
    ("executor", "said", "warns"),
    [
        (
            "LocalExecutor",
            "LocalExecutor runs all tasks on one machine, so all of them see the folder",
            False,
        ),
        ("CeleryExecutor", "CeleryExecutor may have several workers: the folder has to be a volume", True),
    ],
)
def test_a_shared_folder_is_asked_for_where_there_may_be_several_workers(
    tmp_path: Path, executor: str, said: str, warns: bool
) -> None:
    line = _spool(tmp_path / "spool", executor)["spool's workers"]
    assert line.said.startswith(said)
    assert line.warning is warns


def _prometheus_lines(found: Connection | None) -> list[Line]:
    def read(name: str) -> Connection:
        if found is None:
            raise ConnectionAbsent(f"no {name}")
        return found

    return list(examine_prometheus("payments", read))


@pytest.mark.parametrize(
    ("status", "body", "oks", "said"),
    [
        (500, "", [False], "500: Prometheus fails"),
        (200, {"resultType": "vector", "result": []}, [True, True], "0 of 0 were scraped"),
        (
            200,
            {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": [0, "1"]}]},
            [True, True],
            "1 of 1 were scraped",
        ),
    ],
)
def test_prometheus_is_asked_where_it_is_set(status: int, body: object, oks: list[bool], said: str) -> None:
    with answering(status, {"status": "success", "data": body} if body else "") as server:
        lines = _prometheus_lines(Connection("interlock_prometheus", host=server.address))
    assert [line.ok for line in lines] == oks
    assert said in lines[-1].said
    assert [line.warning for line in lines[1:]] == (["0 of 0" in said] if len(oks) > 1 else [])


def test_without_a_connection_to_prometheus_nothing_is_said_and_a_wrong_one_is_named() -> None:
    assert _prometheus_lines(None) == []
    [line] = _prometheus_lines(Connection("interlock_prometheus"))
    assert (line.ok, line.given_by) == (False, "Airflow's connections")
