"""Journals of runs that closed long ago are removed; an open one never is.

A journal is kept for some time after its run, because a run can be undone, and looked into, as long as it is
there. The head goes first, and only as it was read: a run that was cleared meanwhile has opened it anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from interlock.clients.journal import HEADS
from interlock.clients.kubernetes import Conflict, KubernetesClient
from interlock.manifest import Manifest
from interlock.trains import journal
from interlock.trains.view import text


async def remove_old(client: KubernetesClient, namespace: str, now: datetime, keep: timedelta) -> list[str]:
    """Remove the journals of runs that were closed longer ago than `keep`.

    A journal that says nothing of its closing counts as closed now.

    Returns:
        The names of the heads that were removed.
    """
    # The services' journals first: those whose head isn't in the later list have lost it.
    parts = await _secrets(client, namespace, f"{journal.KIND_LABEL}=service")
    removed, heads, ended = [], set(), set()
    for head in await _secrets(client, namespace, HEADS):
        if head.labels.get(journal.STATE_LABEL) == "closed" and await _gone(client, head, now, keep):
            removed.append(head.name)
            ended.add(head.labels.get(journal.RUN_LABEL))
        else:
            heads.add(head.labels.get(journal.RUN_LABEL))
    for part in parts:
        run = part.labels.get(journal.RUN_LABEL)
        # Where a person deleted the head, its run may still need what is left.
        if run in ended or (run not in heads and _old(part, now, keep)):
            await client.delete(part.ref, part.uid)
    return removed


def _old(part: Manifest, now: datetime, keep: timedelta) -> bool:
    made = text(part.raw, "metadata", "creationTimestamp")
    return bool(made) and now - datetime.fromisoformat(made) > keep


async def _gone(client: KubernetesClient, head: Manifest, now: datetime, keep: timedelta) -> bool:
    try:
        closed_at = datetime.fromisoformat(head.annotations.get(journal.CLOSED_ANNOTATION, ""))
        if now - closed_at > keep:
            await client.delete(head.ref, head.uid, head.resource_version)
            return True
    except ValueError:
        said = {journal.CLOSED_ANNOTATION: now.isoformat(timespec="seconds")}
        await client.merge(
            head.ref, {"metadata": {"resourceVersion": head.resource_version, "annotations": said}}
        )
    except Conflict:
        return False
    return False


async def _secrets(client: KubernetesClient, namespace: str, labels: str) -> list[Manifest]:
    return (await client.list("v1", "Secret", namespace, labels=labels, metadata=True))[0]
