"""The values of fields as people see them in a plan, a log, a refusal: nothing that looks like a secret.

By the rules of evidence (`interlock.evidence.redaction`), and like those a net, not a proof. The journal
keeps the exact values, since a rollback needs them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from interlock.evidence.redaction import names_a_secret, secret_rule
from interlock.trains.fields import ABSENT, FieldPath

NAMES = ("name", "key")
"""What these fields of a list's items hold says what the others are."""


def shown(path: FieldPath, value: object) -> str:
    """The value of a field; of what looks like a secret its length, and the rule that says so."""
    if value is ABSENT:
        return "absent"
    spoken = _spoken(str(path), value)
    return spoken if isinstance(spoken, str) else repr(spoken)


def _spoken(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _spoken(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_item(name, item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    rule = "secret-name" if names_a_secret(name) else secret_rule(text)
    return value if rule is None else f"… ({len(text)} characters, withheld: {rule})"


def _item(name: str, item: object) -> object:
    """An item of a list, as `list[name=…]` would name it."""
    if not isinstance(item, Mapping):
        return _spoken(name, item)
    called = [str(item[key]) for key in NAMES if isinstance(item.get(key), str)]
    inside = f"{name}[{'/'.join(called)}]" if called else name
    return {key: _spoken(name if key in NAMES else f"{inside}.{key}", value) for key, value in item.items()}
