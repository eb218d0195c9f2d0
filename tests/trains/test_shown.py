"""Values as people see them: what a person has to judge, and no canary of a secret anywhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from memory_cluster import MemoryCluster
from moved_train import NOW, deployment, ref

from interlock.clients.journal import JournalStore
from interlock.clients.workloads import Refused, promote, take_back
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite, ObjectChange, differs
from interlock.trains.entries import Head, ServiceJournal
from interlock.trains.fields import ABSENT, FieldPath, get, put
from interlock.trains.model import Service, Train
from interlock.trains.outcome import judge
from interlock.trains.plan import Plan, PlanError, render
from interlock.trains.shown import shown
from interlock.trains.undo import make_undo

PLAIN = "spec.template.spec.containers[name=app]"
TOKEN = "glpat-" + "a1B2" * 6
SHOWN: list[tuple[str, object, str]] = [
    (f"{PLAIN}.image", "registry.internal/a:1.1.0", "registry.internal/a:1.1.0"),
    ("spec.template.spec.containers[name=token-issuer].image", "r/token-issuer:1", "r/token-issuer:1"),
    (f"{PLAIN}.env[name=LEVEL].value", "debug", "debug"),
    ("spec.replicas", 3, "3"),
    ("spec.replicas", ABSENT, "absent"),
    ("spec.template.spec.automountServiceAccountToken", False, "False"),
    ("spec.template.spec.volumes[name=tls].secret.secretName", "a-tls", "a-tls"),
    (f"{PLAIN}.env[name=PASSWORD].valueFrom.secretKeyRef.key", "password", "password"),
    (f"{PLAIN}.env[name=PASSWORD].value", "hunter22", "… (8 characters, withheld: secret-name)"),
    (f"{PLAIN}.env[name=PASSWORD].value", ABSENT, "absent"),
    (f"{PLAIN}.env[name=LEVEL].value", TOKEN, "… (30 characters, withheld: gitlab-token)"),
    ('data["db.password"]', "hunter22", "… (8 characters, withheld: secret-name)"),
    ('data["app.conf"]', "password = hunter22", "… (19 characters, withheld: assignment)"),
    ("metadata.annotations.token", 12345678, "… (8 characters, withheld: secret-name)"),
    (
        f"{PLAIN}.env",
        [{"name": "LEVEL", "value": "debug"}, {"name": "DB_PASSWORD", "value": "hunter22"}],
        "[{'name': 'LEVEL', 'value': 'debug'}, "
        "{'name': 'DB_PASSWORD', 'value': '… (8 characters, withheld: secret-name)'}]",
    ),
    (
        f"{PLAIN}.env",
        [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
        "[{'name': 'PASSWORD', 'valueFrom': {'secretKeyRef': {'name': 'db', 'key': 'password'}}}]",
    ),
    (
        f"{PLAIN}.args",
        ["--level=debug", f"--x={TOKEN}"],
        "['--level=debug', '… (34 characters, withheld: gitlab-token)']",
    ),
    (
        "data",
        {"a": None, "api_key": "hunter22"},
        "{'a': None, 'api_key': '… (8 characters, withheld: secret-name)'}",
    ),
]


@pytest.mark.parametrize(("path", "value", "text"), SHOWN)
def test_a_value_is_shown_unless_it_looks_like_a_secret(path: str, value: object, text: str) -> None:
    assert shown(FieldPath.parse(path), value) == text


MINUTE = timedelta(minutes=1)
SERVICE = Service("a", "registry.internal/a", "Deployment", "a", "app", (), MINUTE, MINUTE)
TRAIN = Train("payments", "", False, ("sandbox",), (SERVICE,))
CANARY = "canary-0f5b"
CANARIES = {stage: f"{CANARY}-{stage}" for stage in ("before", "after", "foreign")}
VALUE = FieldPath.parse(f"{PLAIN}.env[name=DB_PASSWORD].value")
CONFIG = ObjectRef("v1", "ConfigMap", "payments", "a")
DATA = FieldPath.parse("data.password")


def _service() -> Change:
    """A service whose variable and ConfigMap hold a value that they should not."""
    values = CANARIES["before"], CANARIES["after"]
    further = ObjectChange(CONFIG, (FieldWrite(DATA, *values),))
    return Change("a", ref("a"), (FieldWrite(VALUE, *values),), objects=(further,))


def _cluster(stage: str) -> MemoryCluster:
    value = CANARIES[stage]
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "payments", "uid": "c", "annotations": {}},
        "data": {"password": value},
    }
    return MemoryCluster(Manifest.of(put(deployment("a").raw, VALUE, value)), Manifest.of(config))


async def _edited(cluster: MemoryCluster) -> dict[ObjectRef, Manifest | None]:
    """The objects as they are, with the variable as somebody else set it meanwhile."""
    found = await cluster.get_all(_service().refs)
    live = found[ref("a")]
    assert live is not None
    return {**found, ref("a"): Manifest.of(put(live.raw, VALUE, CANARIES["foreign"]))}


async def test_a_canary_in_a_field_gets_into_no_text_and_is_restored_exactly() -> None:
    change, cluster = _service(), _cluster("before")
    plan = Plan.of("payments", "sandbox", [change])
    store = JournalStore(cluster, "interlock")
    head = Head("d", "r", "payments", "sandbox", plan.to_json(), NOW)
    await store.open(head)
    said = [render(plan)]
    again: dict[str, Any] = {"transitions": 1, "try_number": 1, "now": lambda: NOW}

    strange = _cluster("foreign")
    live = await strange.get_all(change.refs)
    said += differs(change, live)
    with pytest.raises(Refused) as refused:
        await promote(strange, JournalStore(strange, "interlock"), "r", change, **again)
    said.append(str(refused.value))

    await promote(cluster, store, head.run, change, **again)
    written = await store.service(head.run, "a")
    said.append(str(judge(change, written.journal, live)))
    with pytest.raises(PlanError) as superseded:
        make_undo(TRAIN, "sandbox", {"a": written.journal}, await _edited(cluster))
    said.append(str(superseded.value))

    edited = (await _edited(cluster))[change.ref]
    assert edited is not None
    await cluster.replace(edited)
    done = await take_back(cluster, store, head.run, written, transitions=1)
    said += [*done.restored, *map(str, done.conflicts)]
    ended: ServiceJournal = (await store.service(head.run, "a")).journal
    said.append(ended.reason)

    assert not [text for text in said if CANARY in text]
    assert len(done.conflicts) == 1
    assert all("withheld: secret-name" in said[at] for at in (0, 1, 2, 3, 4))
    # What a rollback needs is exact.
    assert [w.before for m in ended.mutations for w in m.writes] == [CANARIES["before"]] * 2
    config = await cluster.get(CONFIG)
    assert config is not None
    assert get(config.raw, DATA) == CANARIES["before"]
