"""A LabelSelector as a list takes it: the text selects what the object does."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.clients.kubernetes_api import selector_of


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({}, ""),
        ({"matchLabels": {"app": "a", "tier": "web"}}, "app=a,tier=web"),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, "app in (a,b)"),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, "app notin (a)"),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "app"),
        (
            {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]},
            "app=a,!old",
        ),
    ],
)
def test_a_selector_says_the_same_as_text(selector: dict[str, Any], said: str) -> None:
    assert selector_of(selector) == said
