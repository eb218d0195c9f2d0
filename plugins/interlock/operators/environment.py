"""Look at an environment before a sprint or a train: GitHub, Vault, the tools, the evidence store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock.hooks.environment import EnvironmentHook
from interlock.hooks.evidence import EvidenceHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.trains.model import TrainFileError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.environment.check import Area, Check
    from interlock.environment.result import Result

CHECKS_KEY = "checks"
PAGE_KEY = "page"


def environment_asset(environment: str) -> Asset:
    """The asset that gets an event with each check that an environment passed."""
    return Asset(f"interlock_environment__{environment}")


class AreaCheckOperator(BaseOperator):
    """Look at one area; return its checks, and fail if one of them keeps the environment from passing.

    The XCom `checks` has them also where the task fails. It is tried again where something could not be
    looked at; where something is wrong, that would change nothing.

    :param environment: its name in include/environments.yaml.
    :param pull_requests: such as `owner/name#12`, separated by commas, instead of those that the file names.
    :param only: an environment; where it names another one, the task is skipped; empty: it never is.
    """

    area: ClassVar[Area]
    template_fields: Sequence[str] = ("environment", "pull_requests", "only")

    def __init__(
        self, *, environment: str, pull_requests: str | None = "", only: str | None = "", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.pull_requests = pull_requests
        self.only = only

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Look, and tell all before failing."""
        from interlock.environment.check import blocking

        _skip_unless(self.only, self.environment)
        try:
            hook = EnvironmentHook(self.environment, pull_requests=self.pull_requests or "")
            checks = hook.check(self.area)
        except TrainFileError as error:
            raise AirflowFailException(str(error)) from None
        for check in checks:
            log = self.log.error if check.blocks else self.log.warning if _to_see(check) else self.log.info
            log("%s", check)
        told = [check.as_json() for check in checks]
        context["ti"].xcom_push(key=CHECKS_KEY, value=told)
        if wrong := blocking(checks):
            text = "\n".join(map(str, wrong))
            if any(check.status == "not-checked" for check in wrong):
                raise AirflowException(text)
            raise AirflowFailException(text)
        return told


class GithubCheckOperator(AreaCheckOperator):
    """Look at GitHub: the account, its rights on repositories, a sprint's pull requests."""

    area = "github"


class VaultCheckOperator(AreaCheckOperator):
    """Look at Vault: its state, the token, each right, secrets, the signing key, audit devices."""

    area = "vault"


class ToolsCheckOperator(AreaCheckOperator):
    """Look at the command-line tools of the worker, and how far they are from their servers."""

    area = "tools"


class StoreCheckOperator(AreaCheckOperator):
    """Look at the evidence store: whose credentials, the bucket, and how evidence is collected."""

    area = "store"


class EnvironmentReportOperator(BaseOperator):
    """Put the checks of all areas on a page, record them as evidence, and fail unless all of it passes.

    The page is in the log, and as the XCom `page`. An area whose task told nothing was not looked at.

    :param environment: its name.
    :param checked_by: the tasks that looked, one for each area.
    :param only: as the tasks have it.
    :param evidence_conn_id: id of the connection to the evidence bucket; None records nothing.
    :param vault_conn_id: id of the connection to Vault, whose transit key signs.
    """

    template_fields: Sequence[str] = ("environment", "only", "evidence_conn_id", "vault_conn_id")

    def __init__(
        self,
        *,
        environment: str,
        checked_by: Sequence[str],
        only: str | None = "",
        evidence_conn_id: str | None = EvidenceHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.checked_by = checked_by
        self.only = only
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Show, record, tell by the asset, and fail unless it passes."""
        from interlock.environment.check import Check
        from interlock.environment.result import Result

        _skip_unless(self.only, self.environment)
        ti, at = context["ti"], datetime.now(UTC)
        told = [ti.xcom_pull(task_ids=task, key=CHECKS_KEY) or [] for task in self.checked_by]
        result = Result.of(self.environment, at, [Check.of_json(one) for checks in told for one in checks])
        page = result.page()
        self.log.info("%s", page)
        ti.xcom_push(key=PAGE_KEY, value=page)
        self._record(context, result)
        if result.verdict != "passed":
            raise AirflowFailException(result.summary)
        fields = {**result.fields(), "at": at.isoformat()}
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = fields
        return fields

    def _record(self, context: Context, result: Result) -> None:
        from interlock.operators.evidence import Said, record_check

        record_check(
            context,
            Said("environment-check", result.fields(), result.evidence()),
            at=result.at,
            check="environment check",
            evidence_conn_id=self.evidence_conn_id,
            vault_conn_id=self.vault_conn_id,
            log=self.log,
        )


class EnvironmentPassedOperator(BaseOperator):
    """A gate: go on only if an environment passed its check not long ago; it looks at nothing itself.

    :param environment: its name in include/environments.yaml.
    :param within: for how long a check counts.
    """

    def __init__(self, *, environment: str, within: timedelta = timedelta(hours=24), **kwargs: Any) -> None:
        super().__init__(inlets=[environment_asset(environment)], **kwargs)
        self.environment = environment
        self.within = within

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what the last check that passed told."""
        return last_passed(context, self.environment, self.within)


def last_passed(context: Context, environment: str, within: timedelta) -> dict[str, Any]:
    """What the last check that an environment passed told; its asset has to be an inlet of the task.

    Raises:
        AirflowFailException: there is none, or it is older than `within`.
    """
    try:
        told: dict[str, Any] = dict(context["inlet_events"][environment_asset(environment)][-1].extra)
    except (IndexError, KeyError):
        raise AirflowFailException(f"environment {environment} has not passed a check yet. {_RUN}") from None
    age = datetime.now(UTC) - datetime.fromisoformat(told["at"])
    if age > within:
        hour = timedelta(hours=1)
        raise AirflowFailException(
            f"environment {environment} passed its last check {age / hour:.1f} hours ago, and at most "
            f"{within / hour:g} are allowed. {_RUN}"
        )
    return told


_RUN = "Run the DAG environment_check; the page of its task `report` says what keeps it from passing"


def _skip_unless(only: str | None, environment: str) -> None:
    if only and only != environment:
        raise AirflowSkipException(f"the form names {only}")


def _to_see(check: Check) -> bool:
    return check.status != "ok" and check.severity == "warning"
