"""Stopping the line of a run from the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


async def stop(kubernetes_conn_id: str, namespace: str, head: str, *, by: str, why: str, log: Any) -> None:
    """Raise the stop flag of a run; where the API server is away, `rollback.decide` does it later.

    Args:
        kubernetes_conn_id: the connection of the run's cluster.
        namespace: where the run's journal is.
        head: the name of its head Secret.
        by: who stops it.
        why: why.
        log: where to say that it could not be raised.
    """
    from interlock.clients.journal import JournalStore
    from interlock.clients.kubernetes import KubernetesError
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    try:
        async with await InterlockKubernetesHook(kubernetes_conn_id).get_conn_async() as client:
            await JournalStore(client, namespace).stop(head, by=by, why=why, now=datetime.now(UTC))
    except KubernetesError as error:
        log.warning("the line is not stopped yet: %s", error)
