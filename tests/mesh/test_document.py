from __future__ import annotations

from pathlib import Path

from tests.docs.project_documents import blocks

DOCUMENT = Path(__file__).parents[2] / "docs" / "mesh.md"


def test_the_example_of_the_document_runs() -> None:
    (example,) = blocks(DOCUMENT, "python")
    exec(compile(example, str(DOCUMENT), "exec"), {})
