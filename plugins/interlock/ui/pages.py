"""The page of a DAG run: the checklists and reports that its tasks left as XComs.

Only who may see the run's XComs sees it. The page loads nothing from elsewhere, and what tasks and other
systems said is text in it, never markup.
"""

from __future__ import annotations

import secrets
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Final

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_access_view
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import select

from interlock.ui import CHECKLIST_KEY, REPORT_KEY

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FIELDS: Final = {"service", "environment", "at", "ready", "counts", "items", "manifests", "command"}
"""What a checklist's page needs."""

app: Final = FastAPI(
    title="Interlock",
    dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@app.get(
    "/run", dependencies=[Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM))]
)
def run(
    session: SessionDep,
    dag_id: Annotated[str, Query(min_length=1)],
    run_id: Annotated[str, Query(min_length=1)],
    task_id: str = "",
) -> HTMLResponse:
    """What the tasks of a run left, or one of them."""
    known = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if known is None:
        raise HTTPException(404, "There is no such run")
    asked = select(XComModel.task_id, XComModel.key, XComModel.value).where(
        XComModel.dag_run_id == known, XComModel.key.in_((CHECKLIST_KEY, REPORT_KEY))
    )
    if task_id:
        asked = asked.where(XComModel.task_id == task_id)
    rows = session.execute(asked.order_by(XComModel.task_id)).all()
    return page(dag_id, run_id, [(task, key, value) for task, key, value in rows])


def page(dag_id: str, run_id: str, left: list[tuple[str, str, Any]]) -> HTMLResponse:
    """The page.

    Args:
        dag_id: The DAG's id.
        run_id: The run's id.
        left: By task the XComs: its id, the key, and the value as the database has it.
    """
    nonce = secrets.token_urlsafe(16)
    found = [(task, key, _plain(value)) for task, key, value in left]
    text = _TEMPLATES.get_template("run.html").render(
        dag_id=dag_id,
        run_id=run_id,
        nonce=nonce,
        # Tasks of other DAGs may use the same keys for what they like.
        checklists=[
            _grouped(value)
            for _, key, value in found
            if key == CHECKLIST_KEY and isinstance(value, dict) and value.keys() >= _FIELDS
        ],
        reports=[(task, value) for task, key, value in found if key == REPORT_KEY and isinstance(value, str)],
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, headers=headers)


def _grouped(checklist: dict[str, Any]) -> dict[str, Any]:
    """A checklist with its items by group, in its own order."""
    groups = [(name, list(items)) for name, items in groupby(checklist["items"], key=itemgetter("group"))]
    return {**checklist, "groups": groups}


def _plain(value: Any) -> Any:
    """The value that a task pushed: the database has it as JSON text."""
    return XComModel.deserialize_value(_Row(value))


class _Row:
    """What `deserialize_value` takes."""

    def __init__(self, value: Any) -> None:
        self.value = value
