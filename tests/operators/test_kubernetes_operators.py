"""Rolling out and back without a train: what is asked for, what is refused, what is written."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from interlock.clients.kubernetes import Conflict
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest, ObjectRef
from interlock.operators.kubernetes import RollbackOperator, RolloutOperator, checked
from interlock.sensors.kubernetes import RolloutSensor
from interlock.trains.images import ROLLOUT, ImagesError, images_in
from interlock.trains.lock import empty, release, take

WHERE = {"namespace": "payments", "name": "service-a"}
REF = ObjectRef("apps/v1", "Deployment", "payments", "service-a")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD, NEW, OTHER = (f"registry.internal/service-a:{tag}" for tag in ("1.0.0", "1.1.0", "2.0.0"))


def deployment(image: str = OLD, *, metadata: dict[str, Any] | None = None, **spec: Any) -> Manifest:
    containers = [{"name": "app", "image": image}, {"name": "proxy", "image": "registry.internal/proxy:1"}]
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "service-a",
                "namespace": "payments",
                "uid": "u1",
                "resourceVersion": "7",
                "generation": 3,
                **(metadata or {}),
            },
            "spec": {"replicas": 1, "template": {"spec": {"containers": containers}}, **spec},
        }
    )


class Cluster:
    """Stands for the client: gives `reads` in turn, the last one for ever; keeps what is applied."""

    def __init__(
        self, *reads: Manifest | None, conflicts: int = 0, leases: dict[str, Manifest] | None = None
    ) -> None:
        self.leases = leases or {}
        self.reads = list(reads)
        self.conflicts = conflicts
        self.applied: list[dict[str, Any]] = []

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, ref: ObjectRef) -> Manifest | None:
        if ref.kind == "Lease":
            return self.leases.get(ref.name)
        return self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("the object has been modified", 409)
        self.applied.append(manifest.raw)
        return deployment(NEW, metadata={"generation": 4})


class Ti:
    dag_id, run_id, task_id, map_index = "d", "r", "t", -1

    def __init__(self, **pushed: Any) -> None:
        self.pushed = pushed

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        return self.pushed.get(key)


def serve(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Cluster:
    monkeypatch.setattr(InterlockKubernetesHook, "get_conn", lambda self: cluster)
    return cluster


def rollout(**more: Any) -> RolloutOperator:
    return RolloutOperator(**{"task_id": "t", **WHERE, "container": "app", "image": NEW, **more})


@pytest.mark.parametrize("operator", [RolloutOperator, RollbackOperator, RolloutSensor])
def test_every_template_field_is_an_attribute(operator: Any) -> None:
    more = {
        RolloutOperator: {"container": "app", "image": NEW},
        RollbackOperator: {"images": "rollout"},
        RolloutSensor: {},
    }[operator]
    made = operator(task_id="t", **WHERE, **more)
    assert isinstance(operator.template_fields, tuple)
    assert all(hasattr(made, field) for field in operator.template_fields)
    assert set(more) <= set(operator.template_fields)


@pytest.mark.parametrize("operator", [rollout, lambda **m: RolloutSensor(task_id="t", **WHERE, **m)])
def test_a_kind_without_rollouts_is_refused_when_the_dag_is_read(operator: Any) -> None:
    with pytest.raises(ValueError, match="kind 'Job' has no rollout; expected Deployment, StatefulSet"):
        operator(kind="Job")


def test_a_deadline_of_no_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="expected seconds, more than 0"):
        rollout(deadline=0)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("registry.internal/service-a", "expected a tag or a digest"),
        ("registry.internal/service-a@sha256:12", "expected a digest of sha256"),
        ("", "expected an image such as"),
    ],
)
def test_an_image_that_names_no_release_is_refused(image: str, says: str) -> None:
    with pytest.raises(AirflowFailException, match=says):
        checked(image)


@pytest.mark.parametrize(
    ("live", "says"),
    [
        (None, "no Deployment/service-a in namespace payments"),
        (deployment(paused=True), "is paused"),
        (deployment(metadata={"labels": {"app.kubernetes.io/managed-by": "Helm"}}), "is managed by Helm"),
    ],
)
def test_a_workload_that_cannot_roll_out_is_refused(live: Manifest | None, says: str) -> None:
    with pytest.raises(ImagesError, match=says):
        images_in(live, REF, {"app": NEW})


def test_a_container_that_is_not_there_is_named() -> None:
    with pytest.raises(ImagesError, match="has no container 'web', only app, proxy"):
        images_in(deployment(), REF, {"web": NEW})


def test_a_rollout_writes_on_the_read_it_made_and_pushes_what_was_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, ti = serve(monkeypatch, Cluster(deployment())), Ti()
    with pytest.raises(TaskDeferred) as deferred:
        rollout().execute({"ti": ti})  # type: ignore[arg-type]
    (applied,) = cluster.applied
    assert (applied["metadata"]["uid"], applied["metadata"]["resourceVersion"]) == ("u1", "7")
    assert applied["spec"]["template"]["spec"]["containers"] == [{"name": "app", "image": NEW}]
    assert ti.pushed == {"before": {"app": OLD}, "after": {"app": NEW}}
    assert deferred.value.trigger.generation == 4
    assert deferred.value.trigger.heed_stop is False


def test_a_retry_still_knows_what_was_before_its_first_write(monkeypatch: pytest.MonkeyPatch) -> None:
    left = json.dumps({"task": "d/r/t/-1", "before": {"app": OLD}})
    serve(monkeypatch, Cluster(deployment(NEW, metadata={"annotations": {ROLLOUT: left}})))
    ti = Ti()
    with pytest.raises(TaskDeferred):
        rollout().execute({"ti": ti})  # type: ignore[arg-type]
    assert ti.pushed["before"] == {"app": OLD}


def test_another_tasks_mark_says_nothing_about_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    left = json.dumps({"task": "d/earlier/t/-1", "before": {"app": OTHER}})
    serve(monkeypatch, Cluster(deployment(metadata={"annotations": {ROLLOUT: left}})))
    ti = Ti()
    with pytest.raises(TaskDeferred):
        rollout().execute({"ti": ti})  # type: ignore[arg-type]
    assert ti.pushed["before"] == {"app": OLD}


def test_after_a_conflict_it_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = deployment(metadata={"resourceVersion": "8"})
    cluster = serve(monkeypatch, Cluster(deployment(), moved, conflicts=1))
    with pytest.raises(TaskDeferred):
        rollout().execute({"ti": Ti()})  # type: ignore[arg-type]
    assert [a["metadata"]["resourceVersion"] for a in cluster.applied] == ["8"]


def test_an_image_that_somebody_changed_in_between_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = serve(monkeypatch, Cluster(deployment(), deployment(OTHER), conflicts=1))
    with pytest.raises(AirflowFailException, match="somebody changed its images in between"):
        rollout().execute({"ti": Ti()})  # type: ignore[arg-type]
    assert cluster.applied == []


def test_a_rollback_restores_what_the_rollout_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = serve(monkeypatch, Cluster(deployment(NEW)))
    back = RollbackOperator(task_id="back", **WHERE, images="t")
    with pytest.raises(TaskDeferred):
        back.execute({"ti": Ti(before={"app": OLD}, after={"app": NEW})})  # type: ignore[arg-type]
    (applied,) = cluster.applied
    assert applied["spec"]["template"]["spec"]["containers"] == [{"name": "app", "image": OLD}]
    assert "annotations" not in applied["metadata"]


def test_a_rollback_leaves_what_somebody_else_set_since(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = serve(monkeypatch, Cluster(deployment(OTHER)))
    back = RollbackOperator(task_id="back", **WHERE, images="t")
    with pytest.raises(AirflowFailException, match="somebody changed it since; nothing was written"):
        back.execute({"ti": Ti(before={"app": OLD}, after={"app": NEW})})  # type: ignore[arg-type]
    assert cluster.applied == []


def test_a_rollback_of_a_task_that_rolled_nothing_out_says_so() -> None:
    back = RollbackOperator(task_id="back", **WHERE, images="t")
    with pytest.raises(AirflowFailException, match="task 't' pushed no `before`"):
        back.execute({"ti": Ti()})  # type: ignore[arg-type]


def test_an_image_that_only_we_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"proxy"}': {"f:image": {}}}}}}}
    entry = {"manager": "interlock", "operation": "Apply", "fieldsV1": fields}
    cluster = serve(monkeypatch, Cluster(deployment(metadata={"managedFields": [entry]})))
    with pytest.raises(TaskDeferred):
        rollout().execute({"ti": Ti()})  # type: ignore[arg-type]
    names = [c["name"] for c in cluster.applied[0]["spec"]["template"]["spec"]["containers"]]
    assert names == ["app", "proxy"]


def test_a_sensor_fails_on_a_workload_that_is_not_there() -> None:
    with pytest.raises(AirflowFailException, match="no Deployment/service-a in namespace payments"):
        RolloutSensor(task_id="t", **WHERE).judge(None, REF)


def test_a_sensor_waits_for_a_change_that_its_controller_has_not_seen() -> None:
    assert RolloutSensor(task_id="t", **WHERE).judge(deployment(), REF) is False


def test_a_deferrable_sensor_waits_in_the_triggerer() -> None:
    with pytest.raises(TaskDeferred) as deferred:
        RolloutSensor(task_id="t", **WHERE, deferrable=True, timeout=60).execute({})  # type: ignore[arg-type]
    assert type(deferred.value.trigger).__name__ == "RolloutTrigger"


def test_importing_them_loads_no_client_library() -> None:
    code = (
        "import sys, interlock.operators.kubernetes, interlock.sensors.kubernetes;"
        "print(sorted({'kubernetes', 'httpx2', 'lightkube', 'boto3', 'hvac'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "operator", [rollout, lambda: RollbackOperator(task_id="t", **WHERE, images={"app": NEW})]
)
def test_a_train_that_holds_the_service_goes_first(monkeypatch: pytest.MonkeyPatch, operator: Any) -> None:
    held = take(empty("payments", "service-a", "interlock"), "promotion_train__payments/r1", NOW)
    assert isinstance(held, Manifest)
    cluster = serve(monkeypatch, Cluster(deployment(), leases={"payments.service-a": held}))
    with pytest.raises(
        AirflowException, match=r"is held by promotion_train__payments/r1\. Nothing was written"
    ):
        operator().execute({"ti": Ti()})
    assert cluster.applied == []
    freed = release(held, "promotion_train__payments/r1", NOW)
    assert freed is not None
    cluster.leases["payments.service-a"] = freed
    with pytest.raises(TaskDeferred):
        operator().execute({"ti": Ti()})
    assert len(cluster.applied) == 1
