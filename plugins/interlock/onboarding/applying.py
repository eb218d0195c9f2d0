"""What server-side apply would make of partial objects, and what one manager has applied before.

Two applies by one field manager are no sum: what the first set and the second leaves out is taken away. So
a manifest of ours goes out together with what the same manager already set in the live object.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from interlock.manifest import Manifest, ObjectRef

MANAGER: Final = "interlock-onboarding"
"""The field manager that the checklist's manifests are applied with."""
COMMAND: Final = f"kubectl apply --server-side --force-conflicts --field-manager={MANAGER} -f -"

_KEYS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
}
"""Lists that are merged by keys (`x-kubernetes-list-map-keys` of the API's OpenAPI); others are replaced."""


def merged(base: Any, patch: Any, name: str = "") -> Any:
    """An object with the fields of a partial one set.

    Args:
        base: What is there.
        patch: What is applied.
        name: The field that both are the value of.
    """
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        keys = dict.fromkeys((*base, *patch))
        return {
            key: merged(base[key], patch[key], key)
            if key in base and key in patch
            else copy.deepcopy(patch[key] if key in patch else base[key])
            for key in keys
        }
    if isinstance(base, list) and isinstance(patch, list) and name in _KEYS:
        found = copy.deepcopy(base)
        for entry in patch:
            at = next((n for n, other in enumerate(found) if _same(other, entry, name)), None)
            if at is None:
                found.append(copy.deepcopy(entry))
            else:
                found[at] = merged(found[at], entry)
        return found
    return copy.deepcopy(patch)


def applied(objects: Iterable[Manifest], patches: Iterable[Manifest], created: str) -> list[Manifest]:
    """The objects after some manifests were applied; a new one is created at `created` (RFC 3339)."""
    found = {one.ref: one for one in objects}
    for patch in patches:
        live = found.get(patch.ref)
        if live is None:
            raw = merged(patch.raw, {"metadata": {"creationTimestamp": created}})
        else:
            raw = merged(live.raw, patch.raw)
        found[patch.ref] = Manifest.of(raw)
    return list(found.values())


def together(
    manifests: Iterable[Manifest], live: Mapping[ObjectRef, Manifest] | None = None
) -> tuple[Manifest, ...]:
    """One manifest for each object, with what our field manager has set in the live one before."""
    found: dict[ObjectRef, Any] = {}
    for one in manifests:
        found[one.ref] = merged(found[one.ref], one.raw) if one.ref in found else copy.deepcopy(one.raw)
    before = live or {}
    heads = ("apiVersion", "kind", "metadata")
    whole = {
        ref: merged(set_before(before[ref]), raw) if ref in before else raw for ref, raw in found.items()
    }
    return tuple(
        Manifest.of({key: raw[key] for key in (*heads, *(key for key in raw if key not in heads))})
        for raw in whole.values()
    )


def set_before(live: Manifest, manager: str = MANAGER) -> dict[str, Any]:
    """The fields of a live object that a manager has applied, as a partial object (`fieldsV1`)."""
    for entry in live.metadata.get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            found = _owned(entry.get("fieldsV1") or {}, live.raw)
            return found if isinstance(found, dict) else {}
    return {}


def as_yaml(manifests: Iterable[Manifest]) -> str:
    """Manifests as YAML documents."""
    return yaml.safe_dump_all([one.raw for one in manifests], sort_keys=False, width=1000)


def _owned(fields: Mapping[str, Any], value: Any) -> Any:
    below = {key: inner for key, inner in fields.items() if key != "."}
    if not below:
        return copy.deepcopy(value)
    if isinstance(value, Mapping):
        return {
            key[2:]: _owned(inner, value[key[2:]])
            for key, inner in below.items()
            if key.startswith("f:") and key[2:] in value
        }
    if isinstance(value, list):
        kept = []
        for key, inner in below.items():
            kind, _, text = key.partition(":")
            told: Any = json.loads(text) if kind in ("k", "v") else None
            for entry in value:
                if kind == "v" and entry == told:
                    kept.append(entry)
                elif kind == "k" and isinstance(entry, Mapping) and told.items() <= entry.items():
                    kept.append({**told, **_owned(inner, entry)})
        return kept
    return copy.deepcopy(value)


def _same(one: Any, other: Any, name: str) -> bool:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    for keys in _KEYS[name]:
        if keys[0] in one and keys[0] in other:
            # TCP is what both kinds of ports speak unless they say otherwise.
            return all(
                one.get(key, "TCP" if key == "protocol" else None)
                == other.get(key, "TCP" if key == "protocol" else None)
                for key in keys
            )
    return False
