from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.project_documents import blocks

DOCUMENT = Path(__file__).parents[2] / "docs" / "mesh.md"


@pytest.mark.parametrize("example", blocks(DOCUMENT, "python"))
def test_the_examples_of_the_document_run(example: str) -> None:
    exec(compile(example, str(DOCUMENT), "exec"), {})
