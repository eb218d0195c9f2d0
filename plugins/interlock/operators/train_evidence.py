"""What the tasks of a train say for the record; once something moved, nothing waits for evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from interlock.operators import evidence
from interlock.operators.evidence import Said
from interlock.runs.run import PREFLIGHT_KEY, ROLLOUT_KEY, SOAK_KEY, Run, pulled
from interlock.trains.change import Change, ObjectChange
from interlock.trains.outcome import RunOutcome
from interlock.trains.plan import Plan

if TYPE_CHECKING:
    from interlock.clients.evidence import Recorded
    from interlock.clients.workloads import TakenBack

STATEMENTS_KEY = "statements"
"""The XCom in which a task notes the digests of its statements, for a seal that can't read the log."""


def tell(context: Any, run: Run, *said: Said, log: Any, require: bool = False) -> None:
    """Record what a step says; where the store is away it waits in the spool.

    Without `require` nothing raises: a wrong setting or connection must not break a promotion or a rollback.

    Raises:
        AirflowException: `require` is set and a statement could not be had in the log.
    """
    if not require:
        with evidence.without_evidence("this step is without evidence", log):
            if waits := _record(context, run, said, log):
                log.warning("evidence waits in the spool: %s", waits[0].reason)
        return
    try:
        waits = _record(context, run, said, log)
    except Exception as error:
        raise AirflowException(
            f"no evidence can be kept, so the train does not start: {type(error).__name__}: {error}. "
            f"{evidence.WHAT_TO_DO}"
        ) from error
    if waits:
        raise AirflowException(
            f"environment {run.environment.name} requires evidence to start a train, and the statement "
            f"waits in the spool: {waits[0].reason}"
        )


def _record(context: Any, run: Run, said: Sequence[Said], log: Any) -> list[Recorded]:
    """Record statements, and note their digests for the seal; those that wait in the spool."""
    of_run = {
        "train": run.train.name,
        "environment": run.environment.name,
        "try_number": run.try_number,
        **undo_of(run.plan),
    }
    recorded = evidence.record(
        context,
        [replace(one, fields={**of_run, **one.fields}) for one in said],
        at=datetime.now(UTC),
        evidence_conn_id=run.environment.store,
        vault_conn_id=run.environment.vault,
    )
    for one, kept in zip(said, recorded, strict=True):
        log.info("evidence: %s statement %s in the %s", one.predicate_type, kept.digest, kept.where)
    context["ti"].xcom_push(key=STATEMENTS_KEY, value=[kept.digest for kept in recorded])
    return [kept for kept in recorded if kept.where != "log"]


def tell_plan(context: Any, run: Run, plan: Plan, *, log: Any, dry_run: bool) -> None:
    """The plan; required before a train starts where the environment says so."""
    params = context["params"]
    content = {
        "changes": [
            {
                "service": change.service,
                "ref": str(found.ref),
                "action": found.action,
                "noop": not found.moves,
                "irreversible": change.irreversible,
                "writes": [write.to_json() for write in found.writes],
            }
            for change in plan.changes
            for found in (*change.objects, ObjectChange(change.ref, change.writes))
        ]
    }
    fields = {
        "plan_hash": plan.hash,
        "dry_run": dry_run,
        "change": params.get("change") or "",
        "reason": params.get("reason") or "",
        "services": [change.service for change in plan.changes],
        "rollback": plan.rollback,
        "irreversible": list(plan.irreversible),
        "triggered_by": triggered_by(context),
    }
    details = {"train": plan.train, "environment": plan.environment, "hash": plan.hash, **content}
    required = run.environment.evidence_mode == "require" and not dry_run
    tell(context, run, Said("plan", fields, details), log=log, require=required)


def tell_end(context: Any, run: Run, plan: Plan, verdict: RunOutcome, *, log: Any) -> None:
    """What ended in the triggerer since, and the seal of the run; nothing raises."""
    ti = context["ti"]

    def noted() -> list[str]:
        found = (ti.xcom_pull(task_ids=task, key=STATEMENTS_KEY) for task in run.states(ti))
        return [str(digest) for digests in found for digest in digests or ()]

    with evidence.without_evidence("what ended in the triggerer is without evidence", log):
        states = run.states(ti)
        said = [one for change in plan.changes for one in _ended(ti, change, plan, states, log)]
        if said:
            tell(context, run, *said, log=log)
    with evidence.without_evidence("the run is not sealed", log):
        evidence.seal(
            context,
            triggered_by=triggered_by(context),
            approved_by=approved_by(context),
            outcome=verdict.state,
            at=datetime.now(UTC),
            fields={
                "train": run.train.name,
                "environment": run.environment.name,
                "plan_hash": plan.hash,
                **undo_of(plan),
                "services": [
                    {"service": s.service, "verdict": s.state, "reason": s.reason} for s in verdict.services
                ],
            },
            evidence_conn_id=run.environment.store,
            noted=noted,
            vault_conn_id=run.environment.vault,
        )


def _ended(ti: Any, change: Change, plan: Plan, states: Mapping[str, str | None], log: Any) -> Iterator[Said]:
    """What the triggerer left of a service: no worker task of the service came after it."""
    about = {"service": change.service, "ref": str(change.ref), "plan_hash": plan.hash}

    def left(task: str, key: str) -> dict[str, Any]:
        task_id = f"{change.service}.{task}"
        found = pulled(ti, task_id, key)
        if _of_this_pass(found, states.get(task_id), PROOF[key]):
            return found
        if found:
            log.info(
                "%s is %s; its record is of another try, so no statement is made of it",
                task_id,
                states.get(task_id) or "not run",
            )
        return {}

    rollout, soak = left("promote", ROLLOUT_KEY), left("verify", SOAK_KEY)
    # What preflight found, promote has said, if it came to that.
    if not rollout and (looked := left("preflight", PREFLIGHT_KEY)):
        yield Said("preflight", {**about, **preflight_fields(looked)})
    if rollout:
        failed = str(rollout.get("failed") or "")
        yield Said(
            "promote",
            {
                **about,
                "after_generation": rollout.get("generation"),
                "outcome": "failed" if failed else "complete",
                "reason": failed or str(rollout.get("reason") or ""),
                "ended_at": rollout.get("ready_at") or rollout.get("failed_at"),
            },
        )
    # A soak is of the rollout that it watched.
    if soak and soak.get("ready_at", rollout.get("ready_at")) == rollout.get("ready_at"):
        failed = str(soak.get("failed") or "")
        fields = {"passed": not failed, "soak_seconds": soak.get("held"), "reason": failed}
        yield Said("verify", {**about, **fields, **_try_of(soak)})


PROOF = {PREFLIGHT_KEY: "at", ROLLOUT_KEY: "ready_at", SOAK_KEY: "held"}
"""What a wait that ended well leaves in its record, beside whatever else it found."""


def _of_this_pass(found: Mapping[str, Any], state: str | None, proof: str) -> bool:
    """Whether a record is what the task left when it came to its state.

    Airflow keeps what a trigger pushed when its task is cleared. A task that has not come to its end anew, or
    that somebody marked otherwise than it ended, left nothing.
    """
    if state == "failed":
        return "failed" in found
    return state == "success" and proof in found and "failed" not in found


def _try_of(found: Mapping[str, Any]) -> dict[str, object]:
    """The try that left a record; without one that of the task that tells."""
    return {"try_number": found["try_number"]} if "try_number" in found else {}


def preflight_fields(looked: Mapping[str, Any]) -> dict[str, object]:
    """What a preflight in the triggerer found, as its statement says it."""
    failed = str(looked.get("failed") or "")
    if PROOF[PREFLIGHT_KEY] not in looked and not failed:
        failed = "it left no record: a person or a time limit ended it"
    return {"passed": not failed, "reason": failed, "ended_at": looked.get("at"), **_try_of(looked)}


def writes_of(change: Change) -> list[dict[str, object]]:
    """A change's writes as evidence shows them."""
    return [{"ref": str(step.ref), **write.to_json()} for step in change.steps for write in step.writes]


def written(change: Change) -> dict[str, object]:
    """What a promotion says of its writes: their values, and the state before and after all of them."""
    from interlock.evidence.states import state_hashes

    writes = writes_of(change)
    return {"writes": writes, **state_hashes(writes)}


def taken_back(service: str, done: TakenBack) -> Said:
    """What a rollback has written, and the state of what the run had written, before and after.

    The values are the evidence beside the statement, since there may be many.
    """
    from interlock.evidence.states import state_hashes

    restored = [{"ref": str(ref), **write.to_json()} for ref, write in done.writes]
    fields = {
        "service": service,
        "outcome": "written",
        "restored": [{"path": text} for text in done.restored],
        "conflicts": [{"path": str(conflict)} for conflict in done.conflicts],
        **state_hashes(restored),
    }
    return Said("rollback", fields, {"restored": restored})


def undo_of(plan: Plan | None) -> dict[str, object]:
    """Which run an undo takes back, as its statements say it; nothing for a promotion."""
    return {"undo_of": plan.undo_of} if plan is not None and plan.undo_of else {}


def triggered_by(context: Any) -> str:
    """Who or what started the run, by Airflow's word."""
    run = context["dag_run"]
    return str(getattr(run, "triggering_user_name", None) or getattr(run, "run_type", "unknown"))


def approved_by(context: Any) -> list[str]:
    """Who approved the plan, by Airflow's word; empty if no approval was asked."""
    answer = context["ti"].xcom_pull(task_ids="approve") or {}
    user = answer.get("responded_by_user") if isinstance(answer, dict) else None
    return [str(user.get("name") if isinstance(user, dict) else user)] if user else []
