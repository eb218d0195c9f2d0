"""The journals of train runs, kept as Secrets in the Kubernetes API.

Each write carries the resourceVersion of what was read, so that of two writers one fails instead of
overwriting the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.clients.kubernetes import Conflict, KubernetesClient
from interlock.manifest import Manifest, ObjectRef
from interlock.trains import journal
from interlock.trains.entries import Head, ServiceJournal, Stop, head_name, service_name
from interlock.trains.outcome import RunState, moved_since
from interlock.trains.plan import Plan

ATTEMPTS = 5
HEADS = f"{journal.KIND_LABEL}=run"
"""Label selector of all head Secrets."""


class Reopened(Exception):
    """A run that was to be closed was started over by a person."""


@dataclass(frozen=True)
class Written:
    """A service's journal as it is in the cluster.

    Attributes:
        journal: what it says; empty if there is none yet.
        version: resourceVersion of its first Secret; empty if there is none yet.
    """

    journal: ServiceJournal
    version: str


@dataclass(frozen=True)
class Line:
    """Whether a run's line is clear.

    Attributes:
        closed: whether the run has ended.
        stop: the stop flag.
    """

    closed: bool
    stop: Stop | None


class JournalStore:
    """Reads and writes journals.

    Args:
        client: an opened client.
        namespace: Interlock's own namespace in the environment.
    """

    def __init__(self, client: KubernetesClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def open(self, head: Head) -> None:
        """Open a run's journal, or open it again after the run was cleared: not closed, not stopped."""
        secret = journal.encode_head(head, self._namespace)
        try:
            await self._client.create(secret)
        except Conflict:
            present = await self._client.get(secret.ref)
            version = present.resource_version if present else ""
            await self._client.replace(journal.encode_head(head, self._namespace, version))

    async def head(self, run: str) -> Head | None:
        """A run's head; None if its journal was never opened."""
        secret = await self._client.get(self._ref(head_name(run)))
        return journal.decode_head(secret) if secret else None

    async def line(self, run: str) -> Line | None:
        """Whether a run may still move; None if its journal was never opened. Reads no plan."""
        head = await self._client.get(self._ref(head_name(run)), metadata=True)
        if head is None:
            return None
        return Line(head.labels.get(journal.STATE_LABEL) == "closed", journal.stop_in(head))

    async def open_heads(self) -> list[Head]:
        """The heads of all runs whose journal is open, but for those that can't be read."""
        return (await self.open_runs())[0]

    async def open_runs(self) -> tuple[list[Head], list[str]]:
        """The heads of all runs whose journal is open, and of those that can't be read, why."""
        heads, unreadable = [], []
        for secret in await self._secrets(f"{HEADS},{journal.STATE_LABEL}=open"):
            try:
                heads.append(journal.decode_head(secret))
            except journal.JournalError as error:
                unreadable.append(str(error))
        return heads, unreadable

    async def headless(self) -> dict[str, list[str]]:
        """By run hash, the services whose journals are there although their run's head is gone."""
        # The parts first: a head is written before its parts, and removed before them.
        parts = await self._secrets(f"{journal.KIND_LABEL}=service", metadata=True)
        if not parts:
            return {}
        heads = {head.labels.get(journal.RUN_LABEL) for head in await self._secrets(HEADS, metadata=True)}
        found: dict[str, set[str]] = {}
        for part in parts:
            if (run := part.labels.get(journal.RUN_LABEL, "")) not in heads:
                found.setdefault(run, set()).add(part.labels.get(journal.SERVICE_LABEL, ""))
        return {run: sorted(services) for run, services in sorted(found.items())}

    async def stop(self, name: str, *, by: str, why: str, now: datetime) -> None:
        """Raise the stop flag on a head Secret; the first one to do so is the one that is named."""
        ref = self._ref(name)
        present = await self._client.get(ref, metadata=True)
        if present is None or journal.stop_in(present) is not None:
            return
        value = journal.encode_stop(Stop(by=by, why=why, at=now.isoformat(timespec="seconds")))
        try:
            await self._client.merge(
                ref,
                {
                    "metadata": {
                        "resourceVersion": present.resource_version,
                        "annotations": {journal.STOP_ANNOTATION: value},
                    }
                },
            )
        except Conflict:
            await self.stop(name, by=by, why=why, now=now)

    async def gone_back(self, since: datetime) -> list[Head]:
        """The heads of runs that were opened later than this and ended otherwise than all new."""
        ended = [*await self._ended("all-old"), *await self._ended("not-whole")]
        return [head for head in ended if head.opened_at > since]

    async def left(self, environment: str) -> list[Head]:
        """The heads of runs that ended not whole, until later runs have moved those services."""
        whole = await self._ended("all-new")
        found = []
        for head in sorted(await self._ended("not-whole"), key=lambda head: head.opened_at):
            board = [change.service for change in Plan.from_json(head.plan).changes]
            journals = [written.journal for written in (await self.services(head.run, board)).values()]
            services = {one.service for one in journals if one.outcome in ("not-whole", "kept")}
            if head.environment == environment and not (services and services <= moved_since(head, whole)):
                found.append(head)
        return found

    async def _ended(self, verdict: RunState) -> list[Head]:
        secrets = await self._secrets(
            f"{HEADS},{journal.STATE_LABEL}=closed,{journal.VERDICT_LABEL}={verdict}"
        )
        return [journal.decode_head(secret) for secret in secrets]

    async def close(self, head: Head, now: datetime, verdict: RunState) -> None:
        """Mark a run's journal as closed at this time, and how the run left its services.

        Args:
            head: the run's head as it was read.
            now: the present.
            verdict: where the run left its services.

        Raises:
            Reopened: the run was started over since the head was read.
        """
        for _ in range(ATTEMPTS):
            present = await self._client.get(self._ref(head_name(head.run)))
            if present is None or journal.decode_head(present).opened_at != head.opened_at:
                raise Reopened(f"{head.run_id} was started over meanwhile, so its journal stays open")
            closed: dict[str, object] = {
                "resourceVersion": present.resource_version,
                "labels": {journal.STATE_LABEL: "closed", journal.VERDICT_LABEL: verdict},
                "annotations": {
                    journal.CLOSED_ANNOTATION: now.isoformat(timespec="seconds"),
                    journal.PAUSED_ANNOTATION: None,
                },
            }
            try:
                await self._client.merge(present.ref, {"metadata": closed})
            except Conflict:
                continue
            return
        raise Conflict(f"the head of {head.run_id} changed {ATTEMPTS} times")

    async def pause(self, run: str, since: datetime | None) -> None:
        """Note on an open run's head since when its DAG is paused; None: it is not."""
        value = since.isoformat(timespec="seconds") if since else None
        annotations = {journal.PAUSED_ANNOTATION: value}
        await self._client.merge(self._ref(head_name(run)), {"metadata": {"annotations": annotations}})

    async def service(self, run: str, service: str) -> Written:
        """A service's journal."""
        selector = f"{journal.RUN_LABEL}={run},{journal.SERVICE_LABEL}={service}"
        return self._written(await self._secrets(selector), run, service)

    async def services(self, run: str, names: Sequence[str]) -> dict[str, Written]:
        """The journals of several services, by one request."""
        secrets = await self._secrets(f"{journal.RUN_LABEL}={run},{journal.KIND_LABEL}=service")
        return {name: self._written(secrets, run, name) for name in names}

    async def seal(self, run: str, written: Written, why: str) -> None:
        """Let nothing of a service begin any more: a promotion that still lives finds its journal ended.

        A service that has moved, or has ended, is left as it is.

        Args:
            run: the run's hash.
            written: the service's journal as it was read.
            why: why the service doesn't move.

        Raises:
            Conflict: its journal changed again and again meanwhile.
        """
        await self._end(
            run,
            written,
            lambda found: (
                None if found.moved or found.outcome else found.ended("failed", f"it did not move: {why}")
            ),
        )

    async def keep(self, run: str, written: Written, why: str) -> None:
        """Note that a service stays as it moved, although its run failed.

        Args:
            run: the run's hash.
            written: the service's journal as it was read.
            why: why it stays.

        Raises:
            Conflict: its journal changed again and again meanwhile.
        """
        await self._end(
            run,
            written,
            lambda found: found.ended("kept", why) if found.moved and not found.outcome else None,
        )

    async def leave(self, run: str, written: Written, why: str) -> None:
        """Note that a run ends with a service not whole, whatever its journal said before.

        Args:
            run: the run's hash.
            written: the service's journal as it was read.
            why: what is not as it should be.

        Raises:
            Conflict: its journal changed again and again meanwhile.
        """
        await self._end(
            run,
            written,
            lambda found: None if found.outcome in ("not-whole", "kept") else found.ended("not-whole", why),
        )

    async def whole(self, run: str, written: Written, *, back: bool) -> None:
        """Take back what `leave` noted: who noted it was killed before the run ended, and it is whole by now.

        Args:
            run: the run's hash.
            written: the service's journal as it was read.
            back: whether it is as before the run; else as planned.

        Raises:
            Conflict: its journal changed again and again meanwhile.
        """
        await self._end(
            run,
            written,
            lambda found: found.found_whole(back=back) if found.outcome == "not-whole" else None,
        )

    async def _end(
        self, run: str, written: Written, how: Callable[[ServiceJournal], ServiceJournal | None]
    ) -> None:
        for _ in range(ATTEMPTS):
            ended = how(written.journal)
            if ended is None:
                return
            try:
                await self.write(run, Written(ended, written.version))
            except Conflict:
                written = await self.service(run, written.journal.service)
                continue
            return
        raise Conflict(
            f"the journal of {written.journal.service} changed {ATTEMPTS} times while it was being ended"
        )

    async def write(self, run: str, written: Written) -> Written:
        """Write a service's journal over the one that was read; Conflict if that is no longer there."""
        secrets = journal.encode_service(run, written.journal, self._namespace, written.version)
        for further in secrets[:-1]:
            try:
                await self._client.create(further)
            except Conflict:
                continue
        first = secrets[-1]
        stored = await (self._client.replace(first) if written.version else self._client.create(first))
        return Written(written.journal, stored.resource_version)

    async def _secrets(self, selector: str, *, metadata: bool = False) -> list[Manifest]:
        found = await self._client.list("v1", "Secret", self._namespace, labels=selector, metadata=metadata)
        return found[0]

    def _written(self, secrets: Sequence[Manifest], run: str, service: str) -> Written:
        found = journal.decode_service(secrets, run, service)
        if found is None:
            return Written(ServiceJournal(service), "")
        name = service_name(run, service)
        return Written(found, next(s.resource_version for s in secrets if s.name == name))

    def _ref(self, name: str) -> ObjectRef:
        return ObjectRef("v1", "Secret", self._namespace, name)
