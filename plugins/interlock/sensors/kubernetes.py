"""Wait for a rollout that somebody else began."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.rollout import Done, Failed, assess

if TYPE_CHECKING:
    from airflow.sdk import Context

KINDS = ("Deployment", "StatefulSet", "DaemonSet")


class RolloutSensor(BaseSensorOperator):
    """Wait until a workload's rollout is complete, by the rules of `kubectl rollout status`.

    It fails at once when the rollout can't complete by itself. With `deferrable` it waits in the triggerer,
    ends there, and fails as well when a container of the new revision can't start; `timeout` counts from
    each start then, and `soft_fail` has no effect.

    :param namespace: of the workload.
    :param name: of the workload.
    :param kind: Deployment, StatefulSet or DaemonSet.
    :param deferrable: wait in the triggerer instead of a worker.
    :param kubernetes_conn_id: id of the connection to the cluster.
    """

    template_fields: Sequence[str] = ("kubernetes_conn_id", "namespace", "name")

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        kind: str = "Deployment",
        deferrable: bool = False,
        kubernetes_conn_id: str = InterlockKubernetesHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} has no rollout; expected {', '.join(KINDS)}")
        self.namespace = namespace
        self.name = name
        self.kind = kind
        self.deferrable = deferrable
        self.kubernetes_conn_id = kubernetes_conn_id

    def execute(self, context: Context) -> Any:
        """Poke in this worker, or defer; then the wait ends the task."""
        if not self.deferrable:
            return super().execute(context)
        from interlock.triggers.kubernetes import RolloutTrigger

        self.defer(
            trigger=RolloutTrigger(
                kubernetes_conn_id=self.kubernetes_conn_id,
                namespace=self.namespace,
                kind=self.kind,
                name=self.name,
                generation=0,
                deadline=(datetime.now(UTC) + timedelta(seconds=float(self.timeout))).isoformat(),
                heed_stop=False,
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Never reached: the wait ends the task in the triggerer."""
        raise AirflowFailException("a wait for a rollout resumed in a worker, which it never should")

    def poke(self, context: Context) -> bool:
        """Return whether the rollout is complete; log what it waits for."""
        ref = ObjectRef("apps/v1", self.kind, self.namespace, self.name)
        return self.judge(asyncio.run(self._read(ref)), ref)

    def judge(self, live: Manifest | None, ref: ObjectRef) -> bool:
        """Return whether this workload's rollout is complete.

        Raises:
            AirflowFailException: it is not there, or its rollout failed.
        """
        if live is None:
            raise AirflowFailException(f"no {ref} in namespace {ref.namespace}")
        state = assess(live)
        if isinstance(state, Failed):
            raise AirflowFailException(state.reason)
        self.log.info("%s", state.reason)
        return isinstance(state, Done)

    async def _read(self, ref: ObjectRef) -> Manifest | None:
        async with InterlockKubernetesHook(self.kubernetes_conn_id).get_conn() as client:
            return await client.get(ref)
