"""Try the declared ports of a namespace's services from within the mesh, and fail where they differ."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock.hooks.evidence import EvidenceHook
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.mesh.gate import Gate, Judgement, Probe

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.clients.mesh_probe import Probed


class MeshProbeOperator(BaseOperator):
    """Have a Job in the mesh connect to each declared port, in plaintext and over mTLS; return the findings.

    Fails on findings that are at least as bad as `fail_on` and that `allow` does not list; what could not be
    tried is one. It is tried again where the probe itself could not run. The Job is deleted in any case, also
    when the task is killed.

    :param namespace: the services' namespace; the Job runs there.
    :param image: what the Job runs, Interlock's image.
    :param service_account: the Job's own identity.
    :param limit: how many ports are tried at most.
    :param root_namespace: the mesh's root namespace.
    :param fail_on: the least severity that fails the task: ``Error``, ``Warning`` or ``Info``.
    :param allow: codes of findings that are accepted, as docs/mesh.md lists them.
    :param kubernetes_conn_id: id of the connection to the cluster.
    :param evidence_conn_id: id of the connection to the evidence bucket; None records nothing.
    :param vault_conn_id: id of the connection to Vault, whose transit key signs.
    """

    template_fields: Sequence[str] = (
        *("namespace", "image", "service_account", "root_namespace"),
        *("kubernetes_conn_id", "evidence_conn_id", "vault_conn_id"),
    )

    def __init__(
        self,
        *,
        namespace: str,
        image: str,
        service_account: str = "interlock-probe",
        limit: int = 128,
        root_namespace: str = "istio-system",
        fail_on: str = "Warning",
        allow: Sequence[str] = (),
        kubernetes_conn_id: str = InterlockKubernetesHook.default_conn_name,
        evidence_conn_id: str | None = EvidenceHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # A wrong one is told when the DAG is read.
        Gate(fail_on=fail_on, allow=tuple(allow), probe=Probe(image, service_account, limit))
        self.namespace = namespace
        self.image = image
        self.service_account = service_account
        self.limit = limit
        self.root_namespace = root_namespace
        self.fail_on = fail_on
        self.allow = allow
        self.kubernetes_conn_id = kubernetes_conn_id
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id
        self._ending: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Try, tell all, record, and only then fail."""
        from interlock.clients.kubernetes import KubernetesError
        from interlock.clients.scope import ViewEnded
        from interlock.mesh.observed import observed_findings

        at = datetime.now(UTC)
        try:
            probed = asyncio.run(self._probed(f"{context['ti'].dag_id} {context['run_id']}"))
        except (KubernetesError, ViewEnded) as error:
            raise AirflowException(f"the ports could not be tried: {error}") from error
        except asyncio.CancelledError:
            raise AirflowFailException("the task was killed; its Job is deleted") from None
        found = observed_findings(probed.seen, probed.plan, probed.mesh.settings, datetime.now(UTC))
        gate = Gate(self.root_namespace, self.fail_on, tuple(self.allow))
        judged = Judgement(gate, self.namespace, found)
        for finding in found:
            (self.log.error if finding in judged.blocking else self.log.info)("%s", finding)
        self.log.info("%s; %s ports tried", judged.summary, len(probed.seen))
        self._record(context, judged, probed, at)
        told: list[dict[str, Any]] = judged.evidence()["findings"]  # type: ignore[assignment]
        context["ti"].xcom_push(key="findings", value=told)
        if judged.blocking:
            raise AirflowFailException("\n".join([judged.summary, *map(str, judged.blocking)]))
        return told

    def on_kill(self) -> None:
        """End the wait, which deletes the Job; Airflow calls this in the middle of it."""
        if self._ending is not None:
            loop, task = self._ending
            loop.call_soon_threadsafe(task.cancel)

    async def _probed(self, owner: str) -> Probed:
        from interlock.clients.mesh_probe import Place, probe

        task = asyncio.current_task()
        assert task is not None, "asyncio.run runs a task"
        self._ending = asyncio.get_running_loop(), task
        connect = InterlockKubernetesHook(self.kubernetes_conn_id).get_conn_async
        place = Place(connect, self.kubernetes_conn_id, self.namespace, self.root_namespace)
        settings = Probe(self.image, self.service_account, self.limit)
        try:
            return await probe(
                place, settings, name=f"interlock-mesh-probe-{secrets.token_hex(4)}", owner=owner
            )
        finally:
            self._ending = None

    def _record(self, context: Context, judged: Judgement, probed: Probed, at: datetime) -> None:
        from interlock.operators.evidence import Said, record_check

        counts = {"tried": len(probed.seen), "left_out": len(probed.plan.left_out)}
        ports = [one.to_json() for one in probed.seen]
        record_check(
            context,
            Said("mesh-probe", judged.fields() | counts, judged.evidence() | {"ports": ports}),
            at=at,
            check="mesh probe",
            evidence_conn_id=self.evidence_conn_id,
            vault_conn_id=self.vault_conn_id,
            log=self.log,
        )
