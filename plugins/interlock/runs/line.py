"""Stopping the line of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any


@contextmanager
def or_later(log: Any) -> Iterator[None]:
    """Where the line can't be stopped now, `rollback.decide` stops it later; whatever was wrong is logged."""
    try:
        yield
    except Exception as error:
        log.warning("the line is not stopped yet: %s", error or type(error).__name__)


async def stop(kubernetes_conn_id: str, namespace: str, head: str, *, by: str, why: str, log: Any) -> None:
    """Raise the stop flag of a run from the triggerer, or leave it for later.

    Args:
        kubernetes_conn_id: the connection of the run's cluster.
        namespace: where the run's journal is.
        head: the name of its head Secret.
        by: who stops it.
        why: why.
        log: where to say that it could not be raised.
    """
    from interlock.clients.journal import JournalStore
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    with or_later(log):
        async with await InterlockKubernetesHook(kubernetes_conn_id).get_conn_async() as client:
            await JournalStore(client, namespace).stop(head, by=by, why=why, now=datetime.now(UTC))
