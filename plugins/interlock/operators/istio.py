"""Judge the mesh security of a namespace from its objects, record that, and fail on what is not accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock.hooks.evidence import EvidenceHook
from interlock.hooks.istio import IstioHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.mesh import kiali as kiali_pages
from interlock.mesh.gate import Gate
from interlock.operators.kiali_link import KialiLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.mesh.gate import Judgement
    from interlock.mesh.mesh import Mesh
    from interlock.mesh.verdict import Finding


class MeshCheckOperator(BaseOperator):
    """Look at a namespace's workloads and at the policies that hold for them; return the findings.

    Fails on findings that are at least as bad as `fail_on` and that `allow` does not list. It is tried again
    where something could not be looked at, which never passes; a finding stays one however often it is tried.

    :param namespace: the services' namespace.
    :param root_namespace: the mesh's root namespace.
    :param fail_on: the least severity that fails the task: ``Error``, ``Warning`` or ``Info``.
    :param allow: codes of findings that are accepted, as docs/mesh.md lists them.
    :param kiali: where Kiali answers; the task then links to its graph of the namespace. None for no link.
    :param kubernetes_conn_id: id of the connection to the cluster.
    :param evidence_conn_id: id of the connection to the evidence bucket; None records nothing.
    :param vault_conn_id: id of the connection to Vault, whose transit key signs.
    :param prometheus_conn_id: id of the connection to the Prometheus that scrapes the namespace's sidecars:
        what traffic they counted is compared with the policies, and what it can't tell does not pass. None:
        the objects alone are looked at.
    :param window: for how long, up to now, traffic is looked at; at least 10 seconds.
    """

    template_fields: Sequence[str] = (
        *("namespace", "root_namespace", "kubernetes_conn_id", "evidence_conn_id", "vault_conn_id"),
        "prometheus_conn_id",
    )

    operator_extra_links: ClassVar[tuple[KialiLink, ...]] = (KialiLink(),)

    def __init__(
        self,
        *,
        namespace: str,
        root_namespace: str = "istio-system",
        fail_on: str = "Warning",
        allow: Sequence[str] = (),
        kiali: str | None = None,
        kubernetes_conn_id: str = IstioHook.default_conn_name,
        evidence_conn_id: str | None = EvidenceHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        prometheus_conn_id: str | None = None,
        window: timedelta = timedelta(minutes=5),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        Gate(fail_on=fail_on, allow=tuple(allow))  # A wrong one is told when the DAG is read.
        self.namespace = namespace
        self.root_namespace = root_namespace
        self.fail_on = fail_on
        self.allow = allow
        self.kiali = kiali
        self.kubernetes_conn_id = kubernetes_conn_id
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id
        self.prometheus_conn_id = prometheus_conn_id
        self.window = window

    @property
    def kiali_page(self) -> str:
        """The namespace's graph in Kiali; empty where no Kiali is configured."""
        return kiali_pages.graph(self.kiali, self.namespace) if self.kiali else ""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Look, tell all, record, and only then fail."""
        from interlock.clients.kubernetes import KubernetesError
        from interlock.clients.prometheus import PrometheusError

        at = datetime.now(UTC)
        try:
            judged = asyncio.run(self._judged())
        except KubernetesError as error:
            raise AirflowException(f"the mesh could not be looked at: {error}") from error
        except PrometheusError as error:
            raise AirflowException(f"the mesh's traffic could not be looked at: {error}") from error
        for finding in judged.findings:
            (self.log.error if finding in judged.blocking else self.log.info)("%s", finding)
        self.log.info("%s", judged.summary)
        self._record(context, judged, at)
        found: list[dict[str, Any]] = judged.evidence()["findings"]  # type: ignore[assignment]
        context["ti"].xcom_push(key="findings", value=found)
        if judged.blocking:
            raise AirflowFailException("\n".join([judged.summary, *map(str, judged.blocking)]))
        return found

    async def _judged(self) -> Judgement:
        from interlock.clients.istio import read_mesh

        gate = Gate(self.root_namespace, self.fail_on, tuple(self.allow))
        async with IstioHook(self.kubernetes_conn_id).get_conn() as client:
            mesh, _ = await read_mesh(client, self.namespace, self.root_namespace)
        return gate.judge(mesh, self.namespace, self._observed(mesh))

    def _observed(self, mesh: Mesh) -> Sequence[Finding]:
        """Where the traffic that Prometheus saw differs from what the policies say."""
        if self.prometheus_conn_id is None:
            return ()
        from interlock.clients.istio_traffic import observe
        from interlock.hooks.prometheus import PrometheusHook
        from interlock.mesh.traffic import traffic_findings

        with PrometheusHook(self.prometheus_conn_id).get_conn() as client:
            seen = observe(client, self.namespace, self.window.total_seconds(), time.time())
        return traffic_findings(mesh, seen)

    def _record(self, context: Context, judged: Judgement, at: datetime) -> None:
        from interlock.operators.evidence import Said, record_check

        record_check(
            context,
            Said("mesh-check", judged.fields(), judged.evidence()),
            at=at,
            check="mesh check",
            evidence_conn_id=self.evidence_conn_id,
            vault_conn_id=self.vault_conn_id,
            log=self.log,
        )
