"""docs/onboarding.md against the code: each item of the checklist is explained, and no other."""

from __future__ import annotations

from project_documents import CHECKOUT, spans

from interlock.onboarding.applying import COMMAND
from interlock.onboarding.items import ITEMS

DOCUMENT = CHECKOUT / "docs" / "onboarding.md"


def test_each_item_is_explained_in_the_checklists_order() -> None:
    rows = [row for row in DOCUMENT.read_text().splitlines() if row.startswith("| `")]
    assert [spans(row)[0] for row in rows] == list(ITEMS)
    assert all(len(row.strip("|").split("|")) == 3 for row in rows)


def test_the_command_is_the_one_that_the_checklist_shows() -> None:
    assert COMMAND in DOCUMENT.read_text()
