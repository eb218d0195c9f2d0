"""Files of trains and environments in a real Airflow: what is wrong is named, and what can go on goes on."""

from __future__ import annotations

import pytest
from running_sandbox import RunningSandbox

pytestmark = pytest.mark.sandbox


def test_a_wrong_train_file_is_named_and_deactivates_no_other_train(sandbox: RunningSandbox) -> None:
    wrong = sandbox.root / "include" / "trains" / "wrong.yaml"

    def errors() -> str:
        found = sandbox.send("GET", "/api/v2/importErrors")["import_errors"]
        return "\n".join(error["stack_trace"] for error in found)

    wrong.write_text("services:\n  a:\n    image: registry.internal/a\n    aftr: [b]\n")
    try:
        sandbox.until(lambda: "wrong.yaml:4" in errors(), 120, "Airflow to name the file")
        for dag_id in ("promotion_train__payments", "undo_train__payments"):
            dag = sandbox.send("GET", f"/api/v2/dags/{dag_id}")
            assert (dag["is_stale"], dag["has_import_errors"]) == (False, False)
    finally:
        wrong.unlink()
    sandbox.until(lambda: not errors(), 120, "the error to go")
