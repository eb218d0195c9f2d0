"""Record statements from a DAG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock import metrics
from interlock.hooks.evidence import EvidenceHook
from interlock.hooks.vault import InterlockVaultHook

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.clients.evidence import Recorded
    from interlock.evidence.statement import Run, Subject


class EvidenceOperator(BaseOperator):
    """Record one statement about this DAG run; return its `digest`, `where`, `index`, `year` and `reason`.

    :param predicate_type: the statement's type, such as `verify`.
    :param fields: what it says; fields off the type's list are dropped and counted.
    :param evidence: what goes beside it as a blob, cut down to the type's own list.
    :param subjects: what it is about: names, each with its digests by algorithm; the run itself when empty.
    :param require: fail when the statement has to wait in the spool.
    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault, whose transit key signs.
    """

    template_fields: Sequence[str] = (
        "fields",
        "evidence",
        "subjects",
        "evidence_conn_id",
        "vault_conn_id",
    )

    def __init__(
        self,
        *,
        predicate_type: str,
        fields: Mapping[str, Any],
        evidence: Mapping[str, Any] | None = None,
        subjects: Mapping[str, Mapping[str, str]] | None = None,
        require: bool = False,
        evidence_conn_id: str = EvidenceHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.predicate_type = predicate_type
        self.fields = fields
        self.evidence = evidence
        self.subjects = subjects
        self.require = require
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the statement and record it."""
        from interlock.evidence.statement import Subject

        subjects = [Subject(name, digest) for name, digest in (self.subjects or {}).items()]
        [recorded] = record(
            context,
            [Said(self.predicate_type, self.fields, self.evidence, subjects)],
            at=datetime.now(UTC),
            evidence_conn_id=self.evidence_conn_id,
            vault_conn_id=self.vault_conn_id,
        )
        if self.require and recorded.where != "log":
            raise AirflowException(
                f"evidence is required, and statement {recorded.digest} waits in the spool: {recorded.reason}"
            )
        return asdict(recorded)


class ShipEvidenceOperator(BaseOperator):
    """Carry what waits in the spool to the log; return `count`, `left` and `reason`.

    Before anything is sent, the log is compared with its last head as it was kept outside the bucket: in the
    variable `CONNECTION_head`, after the connection to the bucket, and by the witnesses of the setting
    `witnesses`. A log that does not contain it fails the task, and nothing is shipped. Afterwards they take
    note of the new head. A witness that is away is a warning.

    :param fail_when_left: fail when statements still wait, so that somebody looks.
    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault, whose transit key signs what was not signed yet.
    """

    template_fields: Sequence[str] = ("evidence_conn_id", "vault_conn_id")

    def __init__(
        self,
        *,
        fail_when_left: bool = True,
        evidence_conn_id: str = EvidenceHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fail_when_left = fail_when_left
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Ship."""
        from interlock.clients.kept_heads import ship
        from interlock.clients.log_store import LogConflict
        from interlock.operators.head_variable import kept_by

        with closing(EvidenceHook(self.evidence_conn_id, vault_conn_id=self.vault_conn_id).writer) as writer:
            heads = kept_by(self.evidence_conn_id, writer.log.log.store.bucket) if writer.log else ()
            try:
                shipped, away = ship(writer, heads)
            except LogConflict as error:
                raise AirflowFailException(str(error)) from error
        for said in away:
            self.log.warning("a head of the log was not compared, or not kept: %s", said)
        metrics.measure(metrics.SPOOL_WAITING, shipped.left)
        if shipped.left and self.fail_when_left:
            from interlock.runs.run import VERDICT_KEY

            context["ti"].xcom_push(key=VERDICT_KEY, value=f"evidence waits: {shipped.reason}")
            raise AirflowException(
                f"{shipped.count} statements shipped, {shipped.left} still wait: {shipped.reason}"
            )
        return asdict(shipped)


def _begun(context: Context) -> datetime:
    """When the run that a task's context belongs to was there at the latest, before any of its statements."""
    run: Any = context["dag_run"]
    times = [getattr(run, name, None) for name in ("queued_at", "start_date", "run_after")]
    known = [time for time in times if time is not None]
    # A run that was set to begin later, or whose times were cleared, is looked for from its first trace on.
    return min(known) if known else datetime.now(UTC) - timedelta(days=1)


def run_of(context: Context) -> Run:
    """Return the DAG run that a task's context belongs to."""
    from interlock.evidence.statement import Run

    return Run(context["dag_run"].dag_id, context["dag_run"].run_id)


WHAT_TO_DO = "`interlock doctor`, or the DAG `doctor`, says what to mend"


@contextmanager
def without_evidence(said: str, log: Any) -> Iterator[None]:
    """What goes wrong with evidence in this block is logged and goes no further: nothing waits for evidence.

    :param said: what is left without evidence, as text.
    :param log: the task's log.
    """
    from interlock.clients.spool import SpoolError

    try:
        yield
    except SpoolError as error:
        log.error("%s: %s", said, error)
    except Exception as error:
        log.exception("%s: %s: %s. It goes on without. %s", said, type(error).__name__, error, WHAT_TO_DO)


@dataclass(frozen=True)
class Said:
    """What one statement says: its type, its fields, and what goes beside it as a blob."""

    predicate_type: str
    fields: Mapping[str, object]
    evidence: Mapping[str, object] | None = None
    subjects: Sequence[Subject] = ()


def record(
    context: Context,
    said: Sequence[Said],
    *,
    at: datetime,
    run: Run | None = None,
    evidence_conn_id: str = EvidenceHook.default_conn_name,
    vault_conn_id: str = InterlockVaultHook.default_conn_name,
) -> list[Recorded]:
    """Record statements; for operators that act and then say so.

    They are about the run that `context` belongs to, unless `run` names another one.
    """
    from interlock.evidence.statement import make_statement

    about = run or run_of(context)
    statements = [
        make_statement(
            one.predicate_type,
            run=about,
            fields=one.fields,
            at=at,
            evidence=one.evidence,
            subjects=one.subjects,
        )
        for one in said
    ]
    with closing(EvidenceHook(evidence_conn_id, vault_conn_id=vault_conn_id).writer) as writer:
        return writer.record_all(statements)


def record_check(
    context: Context,
    said: Said,
    *,
    at: datetime,
    check: str,
    evidence_conn_id: str | None,
    vault_conn_id: str,
    log: Any,
) -> None:
    """Record what a check found; its outcome doesn't wait for evidence.

    :param said: the check's statement.
    :param check: what it is, as text: "mesh check".
    :param evidence_conn_id: id of the connection to the evidence bucket; None records nothing.
    :param log: the task's log.
    """
    if evidence_conn_id is None:
        return
    with without_evidence(f"this {check} is without evidence", log):
        record(context, [said], at=at, evidence_conn_id=evidence_conn_id, vault_conn_id=vault_conn_id)


def seal(
    context: Context,
    *,
    triggered_by: str,
    approved_by: Sequence[str],
    outcome: str,
    at: datetime,
    fields: Mapping[str, object] | None = None,
    noted: Callable[[], Iterable[str]] = tuple,
    evidence_conn_id: str = EvidenceHook.default_conn_name,
    vault_conn_id: str = InterlockVaultHook.default_conn_name,
) -> Recorded:
    """Record the seal of the run that `context` belongs to: the list of its statements, wherever they are.

    Where the log can't be read, the digests that `noted` knows are listed with those of the spool.
    """
    from interlock.evidence.seal import make_seal

    run = run_of(context)
    began = _begun(context)
    # Without it, its other times may be those of its last clearing.
    sure = getattr(context["dag_run"], "run_after", None) is not None
    with closing(EvidenceHook(evidence_conn_id, vault_conn_id=vault_conn_id).writer) as writer:
        found = writer.of_run(run, began)
        return writer.record(
            make_seal(
                run=run,
                statements=[*found.digests, *(noted() if found.incomplete_because else ())],
                triggered_by=triggered_by,
                approved_by=approved_by,
                outcome=outcome,
                at=at,
                incomplete_because=found.incomplete_because,
                fields={**(fields or {}), **({"began_at": began} if sure else {})},
            )
        )
