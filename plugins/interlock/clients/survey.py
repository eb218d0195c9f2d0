"""What the plan of a run needs to see: what is live, and what the API server would make of the manifests."""

from __future__ import annotations

from interlock.clients.kubernetes import KubernetesClient, KubernetesError
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.config import RunConfig
from interlock.trains.fields import FieldError
from interlock.trains.model import Train
from interlock.trains.plan import Plan, PlanError, make_plan
from interlock.trains.release import drafts, refs


async def survey(client: KubernetesClient, train: Train, config: RunConfig) -> Plan:
    """Read what is live and plan; writes nothing.

    A manifest that differs from what is live is sent as a dry run. So the plan has the values as they will
    be found later, defaults included, and a manifest that the API server would refuse never starts a train.

    Raises:
        PlanError: A service can't be promoted; all reasons at once.
        KubernetesError: The API server is away, or a right to read is missing.
    """
    live = await client.get_all(refs(train, config))
    stored: dict[ObjectRef, Manifest] = {}
    problems: list[str] = []
    try:
        asked = drafts(train, config, live)
    except FieldError as error:
        raise PlanError([f"a manifest doesn't fit what is in the cluster: {error}"]) from None
    for service, draft in asked:
        try:
            if live[draft.ref] is None:
                stored[draft.ref] = await client.create(draft, dry_run=True)
            else:
                stored[draft.ref] = await client.replace(draft, dry_run=True)
        except KubernetesError as error:
            if error.status < 400 or error.status >= 500:
                raise
            problems.append(f"{service}: the API server refuses {draft}: {error}")
    try:
        plan = make_plan(train, config, live, stored)
    except PlanError as error:
        raise PlanError([*error.problems, *problems]) from None
    if problems:
        raise PlanError(problems)
    return plan
