"""The project's documents as data: tables, code spans, code blocks, links; and its code as trees."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from airflow.sdk import DAG

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")))
REFERENCE = CHECKOUT / "docs" / "reference.md"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of docs/reference.md, as cells, without the table's head."""
    section = REFERENCE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2, f"{REFERENCE}: there is no table under the heading {heading}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def named(heading: str, column: int = 0) -> list[str]:
    """What a column of a table names in code: the first code span of each cell."""
    return [spans(row[column])[0] for row in table(heading)]


def spans(text: str) -> list[str]:
    """The code spans of a text, without those in code blocks."""
    return _SPAN.findall(_FENCE.sub("", text))


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of a document in a language."""
    return [body for found, body in _FENCE.findall(document.read_text()) if found == language]


def links(document: Path) -> list[str]:
    """Where a document links to."""
    return _LINK.findall(_FENCE.sub("", document.read_text()))


@cache
def trees(*folders: str) -> tuple[tuple[Path, ast.Module], ...]:
    """The Python files of folders of the project, parsed."""
    files = [file for folder in folders for file in sorted((CHECKOUT / folder).rglob("*.py"))]
    return tuple((file.relative_to(CHECKOUT), ast.parse(file.read_text())) for file in files)


def calls(tree: ast.Module, *names: str) -> Iterator[ast.Call]:
    """The calls of functions or methods with one of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in names:
                yield node


@cache
def dags() -> dict[str, DAG]:
    """The project's DAGs by id."""
    found = {}
    for file in sorted((CHECKOUT / "dags").glob("*.py")):
        made = [value for value in runpy.run_path(str(file)).values() if isinstance(value, DAG)]
        assert made or file.name == "train_files.py", f"{file} makes no DAG"
        found |= {dag.dag_id: dag for dag in made}
    return found


def documented(dag_id: str) -> str:
    """The name under which documents speak of a DAG."""
    return re.sub(r"^(promotion_train|undo_train)__.*", r"\1__NAME", dag_id)
