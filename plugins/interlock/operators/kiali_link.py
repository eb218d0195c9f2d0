"""The link from a task to what Kiali shows of its mesh.

The worker works it out and keeps it as an XCom, where the API server finds it: that has no operators. So a
task has one once it was in a worker, also if it then waits and ends in the triggerer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class KialiLink(BaseOperatorLink):
    """Shows `kiali_page` of its operator; no link where that is empty."""

    name = "Kiali"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's URL, or nothing."""
        return str(getattr(operator, "kiali_page", ""))
