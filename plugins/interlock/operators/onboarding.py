"""Make the checklist of a service, record it, show it, and fail unless the service is ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock.hooks.evidence import EvidenceHook
from interlock.hooks.onboarding import OnboardingHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.trains.model import TrainFileError
from interlock.ui import CHECKLIST_KEY, PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from interlock.onboarding.checklist import Checklist


class ChecklistLink(BaseOperatorLink):
    """Leads from the task to its checklist's page."""

    name = "Checklist"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page of this task alone."""
        base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
        asked = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id, "task_id": ti_key.task_id}
        return f"{base}{PREFIX}/run?{urlencode(asked)}"


class OnboardingOperator(BaseOperator):
    """Look at a service, and fail unless each item of its checklist is done or excepted.

    The page is made of the XCom `checklist`, which is there also where the task fails. It is tried again
    where something could not be looked at; where something is missing, that would change nothing.

    :param service: the service's name.
    :param environment: its name in include/environments.yaml; empty: as the service's file says, else the
        first.
    :param only: a service; where it names another one, the task is skipped; empty: it never is.
    :param evidence_conn_id: id of the connection to the evidence bucket; None records nothing.
    :param vault_conn_id: id of the connection to Vault, whose transit key signs.
    """

    template_fields: Sequence[str] = ("service", "environment", "only", "evidence_conn_id", "vault_conn_id")
    operator_extra_links = (ChecklistLink(),)

    def __init__(
        self,
        *,
        service: str,
        environment: str | None = "",
        only: str | None = "",
        evidence_conn_id: str | None = EvidenceHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.environment = environment
        self.only = only
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Look, show, record, and only then fail."""
        if self.only and self.only != self.service:
            raise AirflowSkipException(f"the form names {self.only}")
        try:
            checklist = OnboardingHook(self.service, environment=self.environment or "").checklist()
        except TrainFileError as error:
            raise AirflowFailException(str(error)) from None
        self.log.info("%s", checklist.text())
        context["ti"].xcom_push(key=CHECKLIST_KEY, value=checklist.page())
        self._record(context, checklist)
        if not checklist.ready:
            text = "\n".join(
                [checklist.summary, *(f"{i.id}: {i.said}" for i in checklist.items if not i.complete)]
            )
            if checklist.counts["not-checked"]:
                raise AirflowException(text)
            raise AirflowFailException(text)
        return checklist.fields()

    def _record(self, context: Context, checklist: Checklist) -> None:
        from interlock.operators.evidence import Said, record_check

        record_check(
            context,
            Said("onboarding", checklist.fields(), checklist.evidence()),
            at=checklist.at,
            check="onboarding check",
            evidence_conn_id=self.evidence_conn_id,
            vault_conn_id=self.vault_conn_id,
            log=self.log,
        )
