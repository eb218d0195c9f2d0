"""One thing that people are told: what happened, to which run, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from airflow.sdk.configuration import conf

from interlock.runs.run import VERDICT_KEY

What = Literal["failed", "approval", "lock"]
_TRAINS = ("promotion_train__", "undo_train__")


@dataclass(frozen=True)
class Notice:
    """A notice.

    Attributes:
        what: `failed`: a run ended failed; `approval`: a plan waits for a person; `lock`: a train has waited
            for its lock for too long.
        when: when it was noticed, RFC 3339 in UTC.
        train: the train's name; empty for a run that is no train's.
        dag_id: the run's DAG.
        run_id: the run.
        text: a sentence for people.
        link: the page in Airflow's UI; empty where Airflow doesn't know its own address.
    """

    what: What
    when: str
    train: str
    dag_id: str
    run_id: str
    text: str
    link: str

    @classmethod
    def of(cls, what: What, dag_id: str, run_id: str, text: str, *, page: str = "") -> Notice:
        """The notice about a run, made now.

        Args:
            what: see the attribute.
            dag_id: the run's DAG.
            run_id: the run.
            text: a sentence for people.
            page: the page of the run to open, such as `tasks/approve/required_actions`.
        """
        base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
        link = f"{base}/dags/{dag_id}/runs/{quote(run_id, safe='')}" + (f"/{page}" if page else "")
        return cls(
            what,
            datetime.now(UTC).isoformat(timespec="seconds"),
            train_of(dag_id),
            dag_id,
            run_id,
            text,
            link if base else "",
        )

    @classmethod
    def of_context(cls, what: What, context: Mapping[str, Any]) -> Notice:
        """The notice that a callback's context asks for.

        A DAG's callback runs in the DAG processor, where the context has the DAG, the run's id, a reason, and
        only perhaps a task instance; a notifier of an approval runs in its task.
        """
        ti = context.get("ti")
        dag_id = context["dag"].dag_id
        run_id = context.get("run_id") or ti.run_id  # type: ignore[union-attr]
        if what == "approval":
            task = context["task"]
            return cls.of(what, dag_id, run_id, task.subject, page=f"tasks/{task.task_id}/required_actions")
        return cls.of(what, dag_id, run_id, f"{dag_id} failed: {_reason(context)}")

    def to_json(self) -> dict[str, str]:
        """The attributes."""
        return asdict(self)


def train_of(dag_id: str) -> str:
    """The train that a DAG moves; empty if it moves none."""
    for prefix in _TRAINS:
        if dag_id.startswith(prefix):
            return dag_id.removeprefix(prefix)
    return ""


def _reason(context: Mapping[str, Any]) -> str:
    """Why a run failed: the verdict of the task that ends it, an exception, or what the scheduler says."""
    verdict = verdict_of(context)
    return verdict or str(context.get("exception") or context.get("reason") or "see its tasks")


def verdict_of(context: Mapping[str, Any], run_id: str | None = None) -> str:
    """What the task that ends a run left as its verdict; empty if it left none.

    Args:
        context: a callback's context.
        run_id: another run of the same DAG; None: the context's own.
    """
    ti = context.get("ti")
    if ti is None:
        return ""
    task = "close" if train_of(context["dag"].dag_id) else ti.task_id
    other = {} if run_id is None else {"run_id": run_id}
    return str(ti.xcom_pull(task_ids=task, key=VERDICT_KEY, **other) or "")
