"""Releases of several objects on a real API server, with the rights that an installer gives.

Only it knows what it makes of a manifest (defaults, quantities) and whom a field belongs to.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from moved_train import NOW

from interlock.clients.journal import JournalStore
from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes import KubernetesClient
from interlock.clients.survey import survey
from interlock.clients.workloads import Refused, promote, take_back
from interlock.manifest import FIELD_MANAGER, Manifest, ObjectRef
from interlock.trains.change import as_written
from interlock.trains.config import RunConfig, parse_run_config
from interlock.trains.kinds import KINDS
from interlock.trains.model import Environment, Train, load_train
from interlock.trains.plan import Plan, PlanError
from interlock.trains.undo import make_undo
from tests.clients.api_server import running_api_server

pytestmark = pytest.mark.sandbox

SANDBOX = Environment("sandbox", "kubernetes", "payments", "interlock", "vault", "require", "store")
RUN, UNDO = "0" * 12, "1" * 12
OURS = ("interlock.internal/fence",)

# What a person writes: quantities and lists that the API server stores in another form.
MANIFESTS = {
    "account": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: shop}\n",
    "settings": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {DAY: '9'}\n",
    "limits": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: limits}\ndata: {MAX: '2'}\n",
    "service": """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports:
    - {name: http, port: 80, targetPort: 8080}
    - {name: dns-tcp, port: 53}
    - {name: dns-udp, port: 53, protocol: UDP}
""",
    "subsets": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}
""",
    "route": """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop, subset: v1}}]}]}
""",
    "mtls": """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: shop}
spec: {selector: {matchLabels: {app: shop}}, mtls: {mode: STRICT}}
""",
    "callers": """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: shop}
spec: {action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]}
""",
    "network": """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shop}
spec: {podSelector: {matchLabels: {app: shop}}, ingress: [{ports: [{port: 8080}]}]}
""",
    "budget": """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: shop}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: shop}}}
""",
    "scaling": """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
""",
    "workload": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    metadata: {annotations: {release: two}}
    spec:
      containers:
        - name: app
          env: [{name: LOG, value: debug}]
          resources: {requests: {cpu: 1000m, memory: 1024Mi}}
""",
}


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="il-", dir="/tmp"))
    try:
        with running_api_server(root) as found:
            yield found
    finally:
        shutil.rmtree(root)


@pytest_asyncio.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubernetesClient]:
    """A client whose namespaces have a Deployment and a ConfigMap as somebody else made them."""
    admin = KubernetesSettings(config_path=str(kubeconfig.parent / "admin.yaml"))
    async with KubernetesClient.of(admin) as owner:
        for kind, api in {**KINDS, "Deployment": "apps/v1"}.items():
            for found in (await owner.list(api, kind, "payments"))[0]:
                if found.name not in ("default", "kube-root-ca.crt", "istio-ca-root-cert"):
                    await owner.delete(found.ref, found.uid)
        for secret in (await owner.list("v1", "Secret", "interlock"))[0]:
            if secret.name.startswith("journal-"):
                await owner.delete(secret.ref, secret.uid)
        await owner.apply(deployment(), force=True)
        await owner.apply(limits(), force=True)
    async with KubernetesClient.of(KubernetesSettings(config_path=str(kubeconfig))) as client:
        yield client


def deployment() -> Manifest:
    labels = {"app": "shop"}
    container = {"name": "app", "image": "registry.internal/shop:1", "env": [{"name": "KEPT", "value": "1"}]}
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop", "namespace": "payments"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
    )


def limits() -> Manifest:
    metadata = {"name": "limits", "namespace": "payments"}
    data = {"MAX": "1", "OTHER": "7"}
    return Manifest.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def train_of(folder: Path, **more: str) -> Train:
    (folder / "t.yaml").write_text("services: {shop: {image: registry.internal/shop}}\n")
    manifests = folder / "t" / "shop"
    manifests.mkdir(parents=True, exist_ok=True)
    for name, text in {**MANIFESTS, **more}.items():
        (manifests / f"{name}.yaml").write_text(text)
    return load_train(folder / "t.yaml", {"sandbox": SANDBOX})


def config(train: Train, tag: str = "2") -> RunConfig:
    return parse_run_config(train, {"sandbox": SANDBOX}, {"shop": tag, "environment": "sandbox"})


async def move(client: KubernetesClient, plan: Plan, run: str = RUN, transitions: int = 1) -> int:
    store = JournalStore(client, "interlock")
    (change,) = plan.changes
    return await promote(client, store, run, change, transitions=transitions, try_number=1, now=lambda: NOW)


async def back(client: KubernetesClient, run: str = RUN, transitions: int = 1) -> None:
    store = JournalStore(client, "interlock")
    done = await take_back(client, store, run, await store.service(run, "shop"), transitions=transitions)
    assert done.conflicts == ()


async def world(client: KubernetesClient) -> dict[ObjectRef, dict[str, Any]]:
    """All that a release may touch, without what the API server counts and what we stamp."""
    found: dict[ObjectRef, dict[str, Any]] = {}
    for kind, api in {**KINDS, "Deployment": "apps/v1"}.items():
        for live in (await client.list(api, kind, "payments"))[0]:
            metadata = {
                key: value
                for key, value in live.metadata.items()
                if key not in ("resourceVersion", "generation", "managedFields", "annotations", "uid")
                and key != "creationTimestamp"
            }
            annotations = {key: value for key, value in live.annotations.items() if key not in OURS}
            found[live.ref] = {**live.raw, "metadata": {**metadata, "annotations": annotations}}
    return found


async def test_a_release_of_every_kind_arrives_converges_and_goes_back_exactly(
    client: KubernetesClient, tmp_path: Path
) -> None:
    train = train_of(tmp_path)
    before = await world(client)
    plan = await survey(client, train, config(train))
    assert await world(client) == before  # a dry run keeps nothing
    (change,) = plan.changes
    assert [(str(step.ref), step.action) for step in change.steps] == [
        ("ServiceAccount/shop", "create"),
        ("ConfigMap/limits", "change"),
        ("ConfigMap/shop", "create"),
        ("Service/shop", "create"),
        ("DestinationRule/shop", "create"),
        ("VirtualService/shop", "create"),
        ("PeerAuthentication/shop", "create"),
        ("AuthorizationPolicy/shop", "create"),
        ("NetworkPolicy/shop", "create"),
        ("PodDisruptionBudget/shop", "create"),
        ("HorizontalPodAutoscaler/shop", "create"),
        ("Deployment/shop", "change"),
    ]
    assert await move(client, plan) == 2
    assert as_written(change, await client.get_all(change.refs))
    live = await client.get(change.ref)
    assert live is not None
    (container,) = live.spec["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "KEPT", "value": "1"}, {"name": "LOG", "value": "debug"}]
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}}

    again = await survey(client, train, config(train))
    assert [str(step.ref) for step in again.changes[0].steps] == []
    await back(client)
    assert await world(client) == before


async def test_a_manifest_that_the_api_server_refuses_fails_the_plan(
    client: KubernetesClient, tmp_path: Path
) -> None:
    wrong = MANIFESTS["scaling"].replace("minReplicas: 2", "minReplicas: 9")
    unknown = MANIFESTS["budget"].replace("maxUnavailable", "maxUnavailabel")
    train = train_of(tmp_path, scaling=wrong, budget=unknown)
    before = await world(client)
    with pytest.raises(PlanError) as error:
        await survey(client, train, config(train))
    one, other = sorted(error.value.problems)
    assert "shop: the API server refuses HorizontalPodAutoscaler/shop" in one
    assert "maxReplicas" in one
    assert "shop: the API server refuses PodDisruptionBudget/shop" in other
    assert 'unknown field "spec.maxUnavailabel"' in other
    assert await world(client) == before


async def test_an_undo_deletes_what_was_created_and_a_failing_undo_creates_it_again(
    client: KubernetesClient, tmp_path: Path
) -> None:
    train = train_of(tmp_path)
    before = await world(client)
    await move(client, await survey(client, train, config(train)))
    moved = await world(client)
    store = JournalStore(client, "interlock")

    async def undo() -> Plan:
        journal = (await store.service(RUN, "shop")).journal
        live = await client.get_all({mutation.ref for mutation in journal.mutations})
        return make_undo(train.reversed(), "sandbox", {"shop": journal}, live)

    await move(client, await undo(), UNDO, transitions=2)
    assert await world(client) == before
    await back(client, UNDO, transitions=2)
    found = await world(client)
    service = ObjectRef("v1", "Service", "payments", "shop")
    assert found.pop(service)["spec"]["ports"] == moved.pop(service)["spec"]["ports"]
    assert _without_status(found) == _without_status(moved)


async def test_a_field_is_taken_only_from_whom_the_plan_names(
    client: KubernetesClient, kubeconfig: Path, tmp_path: Path
) -> None:
    train = train_of(tmp_path)
    plan = await survey(client, train, config(train))
    (step,) = [step for step in plan.changes[0].steps if step.ref == limits().ref]
    assert [(str(write.path), write.owner) for write in step.writes] == [("data.MAX", FIELD_MANAGER)]
    admin = KubernetesSettings(config_path=str(kubeconfig.parent / "admin.yaml"))
    async with KubernetesClient.of(admin) as owner:
        owner._manager = {"fieldManager": "pipeline"}  # as somebody else would write
        await owner.apply(limits(), force=True)
    with pytest.raises(Refused, match=r"ConfigMap/limits data.MAX is owned by pipeline"):
        await move(client, plan)


def _without_status(objects: dict[ObjectRef, dict[str, Any]]) -> dict[ObjectRef, dict[str, Any]]:
    return {ref: {k: v for k, v in raw.items() if k != "status"} for ref, raw in objects.items()}
