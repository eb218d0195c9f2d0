"""How a run turns round and how it ends in the cluster, whoever sees to it: its tasks or the watchdog.

It ends by its services' journals, then its own, then its locks. In this order: whoever takes the locks next
finds the run ended, and its journals say what it left. Whoever does it may be killed between any two of these
requests. Until the run's own journal is closed, the next try looks at the world anew and writes all of it
again; from then on its journals say how it ended, and the locks alone are left to be released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from interlock.clients import locks
from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import KubernetesClient
from interlock.trains.entries import Head, head_name
from interlock.trains.lock import holder_of
from interlock.trains.outcome import RunOutcome
from interlock.trains.rollback import Decision


async def turn_back(
    store: JournalStore,
    head: Head,
    services: Iterable[str],
    judge: Callable[[Mapping[str, Written]], Decision],
    *,
    by: str,
    why: str,
    now: datetime,
) -> Decision:
    """Stop a run's line, let nothing begin any more, and note what stays; the rest is to be taken back.

    Args:
        store: the environment's journals.
        head: the run.
        services: those on board.
        judge: says from the services' journals what goes back.
        by: who stops the line.
        why: why it is stopped.
        now: the present.

    Raises:
        Conflict: a journal changed again and again meanwhile; this can be repeated.
    """
    await store.stop(head_name(head.run), by=by, why=why, now=now)
    names = list(services)
    # First nothing may begin any more. What began meanwhile goes back as well.
    for written in (await store.services(head.run, names)).values():
        await store.seal(head.run, written, why)
    journals = await store.services(head.run, names)
    decision = judge(journals)
    for service, reason in decision.kept:
        await store.keep(head.run, journals[service], reason)
    return decision


async def end(
    client: KubernetesClient,
    namespace: str,
    head: Head,
    journals: Mapping[str, Written],
    verdict: RunOutcome,
    now: datetime,
) -> list[str]:
    """Note which services are not whole, close the run's journal, release its locks; this can be repeated.

    Args:
        client: an opened client.
        namespace: Interlock's own namespace in the environment.
        head: the run's head.
        journals: the journals of all services that the verdict names.
        verdict: how the run left them.
        now: the present.

    Returns:
        The names of the leases that were released.

    Raises:
        Reopened: the run was started over since its head was read; nothing is released.
    """
    store = JournalStore(client, namespace)
    # What is held by now; a lock that a run that starts over takes from now on stays its own.
    held = await locks.held_by(client, namespace, holder_of(head.dag_id, head.run_id))
    state = verdict.state
    for found in verdict.services:
        written = journals[found.service]
        if found.state == "not-whole":
            await store.leave(head.run, written, found.reason)
        elif found.state == "old" or verdict.succeeded:
            await store.whole(head.run, written, back=found.state == "old")
        elif written.journal.outcome == "not-whole":
            # It could not go back, and is as planned by other hands: that is not this run's doing.
            state = "not-whole"
    await store.close(head, now, state)
    return await locks.give_back(client, held, now)
