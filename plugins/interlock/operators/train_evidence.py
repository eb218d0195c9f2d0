"""What the tasks of a train say for the record; once something moved, nothing waits for evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowException

from interlock.operators import evidence
from interlock.operators.run import Run, pulled
from interlock.trains.outcome import RunOutcome
from interlock.trains.plan import Change, ObjectChange, Plan

STATEMENT_KEY = "statement"
"""The XCom in which a task notes the digest of its last statement, for a seal that can't list the store."""


def tell(
    context: Any,
    run: Run,
    predicate_type: str,
    fields: Mapping[str, object],
    *,
    log: Any,
    require: bool = False,
    details: Mapping[str, object] | None = None,
) -> None:
    """Record a statement; where the store is away it waits in the spool.

    Raises:
        AirflowException: `require` is set and the statement could not be locked in the store.
    """
    from interlock.clients.spool import SpoolError

    said = {
        "train": run.train.name,
        "environment": run.environment.name,
        "try_number": run.try_number,
        **fields,
    }
    try:
        recorded = evidence.record(
            context,
            predicate_type,
            fields=said,
            at=datetime.now(UTC),
            evidence=details,
            evidence_conn_id=run.environment.store,
            vault_conn_id=run.environment.vault,
        )
    except SpoolError as error:
        if require:
            raise AirflowException(f"no evidence can be kept, so the train does not start: {error}") from None
        log.error("this step is without evidence: %s", error)
        return
    if recorded.where != "bucket":
        if require:
            raise AirflowException(
                f"environment {run.environment.name} requires evidence to start a train, and the statement "
                f"waits in the spool: {recorded.reason}"
            )
        log.warning("evidence waits in the spool: %s", recorded.reason)
    context["ti"].xcom_push(key=STATEMENT_KEY, value=recorded.digest)
    log.info("evidence: %s statement %s in the %s", predicate_type, recorded.digest, recorded.where)


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
    tell(
        context,
        run,
        "plan",
        {
            "plan_hash": plan.hash,
            "dry_run": dry_run,
            "change": params.get("change") or "",
            "reason": params.get("reason") or "",
            "services": [change.service for change in plan.changes],
            "rollback": plan.rollback,
            "irreversible": list(plan.irreversible),
            "triggered_by": triggered_by(context),
        },
        log=log,
        require=run.environment.evidence_mode == "require" and not dry_run,
        details={"train": plan.train, "environment": plan.environment, "hash": plan.hash, **content},
    )


def tell_end(context: Any, run: Run, plan: Plan, verdict: RunOutcome, *, log: Any) -> None:
    """What ended in the triggerer since, and the seal of the run."""
    from interlock.clients.spool import SpoolError

    ti = context["ti"]

    def noted() -> list[str]:
        found = (ti.xcom_pull(task_ids=task, key=STATEMENT_KEY) for task in run.states(ti))
        return [str(digest) for digest in found if digest]

    for change in plan.changes:
        soak = pulled(ti, f"{change.service}.verify", "soak")
        if soak:
            failed = str(soak.get("failed") or "")
            fields = {
                "service": change.service,
                "ref": str(change.ref),
                "plan_hash": plan.hash,
                "passed": not failed,
                "soak_seconds": soak.get("held"),
                "reason": failed,
            }
            tell(context, run, "verify", fields, log=log)
    try:
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
                "services": [
                    {"service": s.service, "verdict": s.state, "reason": s.reason} for s in verdict.services
                ],
            },
            evidence_conn_id=run.environment.store,
            noted=noted,
            vault_conn_id=run.environment.vault,
        )
    except SpoolError as error:
        log.error("the run is not sealed: %s", error)


def writes_of(change: Change) -> list[dict[str, object]]:
    """A change's writes as evidence shows them."""
    return [{"ref": str(step.ref), **write.to_json()} for step in change.steps for write in step.writes]


def triggered_by(context: Any) -> str:
    """Who or what started the run, by Airflow's word."""
    run = context["dag_run"]
    return str(getattr(run, "triggering_user_name", None) or getattr(run, "run_type", "unknown"))


def approved_by(context: Any) -> list[str]:
    """Who approved the plan, by Airflow's word; empty if no approval was asked."""
    answer = context["ti"].xcom_pull(task_ids="approve") or {}
    user = answer.get("responded_by_user") if isinstance(answer, dict) else None
    return [str(user.get("name") if isinstance(user, dict) else user)] if user else []
