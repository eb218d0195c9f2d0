"""A cluster in memory, for tests that have no real API: only there it stands in for KubernetesClient.

It keeps objects under names, gives each write a new resourceVersion, refuses a stale one with Conflict, and
merges as RFC 7386 says. It knows neither controllers nor field ownership.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from interlock.clients.kubernetes import Conflict, NotFound
from interlock.manifest import Manifest, ObjectRef


class MemoryCluster:
    """The methods of KubernetesClient that journals, locks and workloads use."""

    def __init__(self, *manifests: Manifest, denied: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._objects: dict[ObjectRef, dict[str, Any]] = {}
        self._count = 0
        self._denied = denied
        for manifest in manifests:
            self._keep(manifest.ref, manifest.raw)

    async def __aenter__(self) -> MemoryCluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, ref: ObjectRef, *, metadata: bool = False) -> Manifest | None:
        found = self._objects.get(ref)
        if found is None:
            return None
        shown = {key: found[key] for key in ("apiVersion", "kind", "metadata")} if metadata else found
        return Manifest.of(copy.deepcopy(shown))

    async def get_all(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, Manifest | None]:
        return {ref: await self.get(ref) for ref in refs}

    async def list(
        self, api_version: str, kind: str, namespace: str | None, *, labels: str = "", metadata: bool = False
    ) -> tuple[list[Manifest], str]:
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        items = [
            Manifest.of(copy.deepcopy(raw))
            for ref, raw in self._objects.items()
            if (ref.api_version, ref.kind) == (api_version, kind) and namespace in (None, ref.namespace)
        ]
        return [item for item in items if wanted.items() <= dict(item.labels).items()], str(self._count)

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if manifest.ref in self._objects:
            raise Conflict(f"{manifest.ref} exists already", 409)
        return self._keep(manifest.ref, manifest.raw, dry_run)

    async def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        self._check(manifest.ref, manifest.resource_version)
        return self._keep(manifest.ref, manifest.raw, dry_run)

    async def merge(self, ref: ObjectRef, patch: Mapping[str, Any]) -> Manifest:
        self._check(ref, str(patch.get("metadata", {}).get("resourceVersion") or ""))
        return self._keep(ref, _merged(self._objects[ref], patch))

    async def delete(
        self, ref: ObjectRef, uid: str, resource_version: str = "", *, with_dependents: bool = False
    ) -> None:
        live = self._objects.get(ref)
        if live is None:
            return
        if live["metadata"]["uid"] != uid:
            raise Conflict(f"{ref} is another object by now", 409)
        self._check(ref, resource_version)
        del self._objects[ref]

    async def allowed(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        return (verb, resource) not in self._denied

    def _check(self, ref: ObjectRef, version: str) -> None:
        if ref not in self._objects:
            raise NotFound(f"{ref} is not there", 404)
        if version and version != self._objects[ref]["metadata"]["resourceVersion"]:
            raise Conflict(f"{ref} has moved on", 409)

    def _keep(self, ref: ObjectRef, raw: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        self._count += 1
        before = self._objects.get(ref, {})
        kept = copy.deepcopy(dict(raw))
        metadata = kept["metadata"] = {"uid": f"uid-{self._count}", **kept["metadata"]}
        metadata["resourceVersion"] = str(self._count)
        if before:
            metadata["uid"] = before["metadata"]["uid"]
        if "spec" in kept:
            changed = kept["spec"] != before.get("spec")
            metadata["generation"] = before.get("metadata", {}).get("generation", 0) + changed
        if not dry_run:
            self._objects[ref] = kept
        return Manifest.of(copy.deepcopy(kept))


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
