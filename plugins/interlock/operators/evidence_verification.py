"""Verify the evidence log from a DAG."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator, Variable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from interlock import metrics
from interlock.hooks.evidence_log import EvidenceLogHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.operators.evidence import Said, record_check
from interlock.operators.head_variable import kept_by

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.evidence.verification.report import Report
    from interlock.evidence.verification.source import Source
    from interlock.evidence.verification.trust import Trust

LOG = Asset("interlock_evidence_log")
"""Gets an event with each verification that found nothing wrong: what it told, and the head."""
MODES = ("auto", "full", "incremental")
SUNDAY = 6


class VerifyEvidenceOperator(BaseOperator):
    """Verify the evidence log; fail on any finding. Returns the report in figures.

    The head that was verified last is kept in an Airflow variable, so outside the bucket: the log must
    contain it, and an incremental verification begins there. It must also contain the head that was shipped
    last, as the variable `CONNECTION_head` and the witnesses of the setting `witnesses` kept it. The result
    is recorded as evidence, sent as metrics, and told by an event of the asset `interlock_evidence_log` where
    the task has it as an outlet.

    :param mode: `full`, `incremental`, or `auto`: full on Sundays and where nothing was verified before.
    :param witnesses: files with heads that were kept elsewhere; the log must contain them.
    :param checkpoint_keys: files with verifier keys of checkpoints; Vault's public keys when empty.
    :param statement_keys: files with verifier keys of statements.
    :param log_name: the log's name where the keys come from Vault; `interlock/BUCKET` when empty.
    :param record_result: whether the result is recorded as evidence.
    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault.
    """

    template_fields: Sequence[str] = ("mode", "witnesses", "evidence_conn_id", "vault_conn_id")

    def __init__(
        self,
        *,
        mode: str = "auto",
        witnesses: Sequence[str] = (),
        checkpoint_keys: Sequence[str] = (),
        statement_keys: Sequence[str] = (),
        log_name: str = "",
        record_result: bool = True,
        evidence_conn_id: str = EvidenceLogHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.witnesses = witnesses
        self.checkpoint_keys = checkpoint_keys
        self.statement_keys = statement_keys
        self.log_name = log_name
        self.record_result = record_result
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Verify, tell, and fail on findings."""
        from interlock.evidence.verification.source import SourceError
        from interlock.evidence.verification.trust import KeyFileError
        from interlock.verify_output import lines

        if self.mode not in MODES:
            raise AirflowFailException(f"mode {self.mode!r}: expected one of {', '.join(MODES)}")
        began = datetime.now(UTC)
        hook = EvidenceLogHook(
            self.evidence_conn_id,
            vault_conn_id=self.vault_conn_id,
            checkpoint_keys=self.checkpoint_keys,
            statement_keys=self.statement_keys,
            log_name=self.log_name,
        )
        with closing(hook.get_conn()) as source:
            try:
                trust = hook.trust(source.bucket)
                report, head = self._verified(source, trust, source.bucket, began)
            except (SourceError, KeyFileError) as error:
                raise AirflowFailException(f"the evidence could not be verified: {error}") from error
        for line in lines(report):
            self.log.info("%s", line)
        told = _told(report)
        self._tell(context, report, told, head, (datetime.now(UTC) - began).total_seconds())
        if report.findings.bad:
            shown = [line for line in lines(report) if not line.startswith("  - 2")][:40]
            raise AirflowFailException("\n".join(shown))
        return told

    def _verified(self, source: Source, trust: Trust, bucket: str, now: datetime) -> tuple[Report, str]:
        """The report, and the head that it proves; the head is kept where nothing is wrong."""
        from interlock.clients.witnesses import WitnessAway
        from interlock.evidence.verification.heads import HeadError, read_head
        from interlock.evidence.verification.verify import Options, Witness, verify
        from interlock.evidence.verification.words import WAITING

        variable = f"interlock_log_head__{bucket}"
        known = Variable.get(variable, default="") or ""
        # What was kept is read before the bucket is: the log may only have grown since.
        witnesses = [Witness(name, Path(name).read_bytes()) for name in self.witnesses]
        for kept in kept_by(self.evidence_conn_id, bucket):
            try:
                if note := kept.read():
                    witnesses.append(Witness(kept.place, note))
            except WitnessAway as error:
                self.log.warning("a head that was kept elsewhere was not compared: %s", error)
        since = None
        if known:
            try:
                seen = read_head(known.encode(), trust, f"variable {variable}")
            except HeadError as error:
                raise AirflowFailException(
                    f"variable {variable} holds no head of this log ({error}; expected {error.expected}): "
                    f"was a key replaced, or the variable changed?"
                ) from error
            if self._incremental(now):
                since = seen
            else:
                witnesses.append(Witness(f"variable {variable}", known.encode()))
        elif not witnesses and not any(True for _ in source.versions("log/")):
            raise AirflowSkipException("there is no evidence log yet")
        report = verify(source, trust, Options(since=since, witnesses=witnesses), now=now)
        # What came since has not been verified: a head that is newer now is the next one's.
        head = report.years[-1].checkpoint if report.years else ""
        if not head:
            self.log.warning("the log has no head yet")
        if waiting := report.counts.get(WAITING, 0):
            # Those seals have to be read again.
            self.log.warning("%d statements that seals list are still on their way: the head stays", waiting)
        elif head and not report.findings.bad:
            Variable.set(variable, head, description="The head of the evidence log that was verified last")
        return report, head

    def _incremental(self, now: datetime) -> bool:
        return self.mode == "incremental" or (self.mode == "auto" and now.weekday() != SUNDAY)

    def _tell(
        self, context: Context, report: Report, told: dict[str, Any], head: str, seconds: float
    ) -> None:
        metrics.measure(metrics.EVIDENCE_FINDINGS, report.findings.bad, weight="bad")
        metrics.measure(metrics.EVIDENCE_FINDINGS, report.findings.notices, weight="notice")
        metrics.measure(metrics.EVIDENCE_PROVEN, report.years[-1].proven if report.years else 0)
        metrics.measure(metrics.EVIDENCE_VERIFICATION, seconds * 1000)
        if LOG in self.outlets:
            context["outlet_events"][LOG].extra = {**told, "checkpoint": head}
        if self.record_result:
            record_check(
                context,
                Said("verification", told),
                at=datetime.now(UTC),
                check="verification",
                evidence_conn_id=self.evidence_conn_id,
                vault_conn_id=self.vault_conn_id,
                log=self.log,
            )


def _told(report: Report) -> dict[str, Any]:
    newest = report.years[-1] if report.years else None
    first = report.first_bad
    return {
        "source": report.source,
        "verdict": report.exit.name.lower().replace("_", "-"),
        "since": newest.start if newest else 0,
        "entries": report.counts.get("entries", 0),
        "year": newest.year if newest else None,
        "size": newest.proven if newest else 0,
        "root": newest.root if newest else "",
        "bad": report.findings.bad,
        "notices": report.findings.notices,
        "codes": dict(report.findings.counts),
        "first_bad": {"year": first[0], "index": first[1]} if first else None,
    }
