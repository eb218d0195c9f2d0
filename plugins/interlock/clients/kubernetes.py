"""The Kubernetes API, as far as Interlock needs it: JSON objects in, JSON objects out.

One asynchronous client serves both sides: a worker calls it within `asyncio.run`, a trigger awaits it.
How it reaches the API server is in `interlock.clients.kubernetes_connection`, its errors are in
`interlock.clients.kubernetes_api`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from lightkube.config.kubeconfig import KubeConfig

from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes_api import (
    Conflict,
    Forbidden,
    Gone,
    KubernetesError,
    NotFound,
    Unreachable,
    path_of,
    resource_path,
)
from interlock.clients.kubernetes_connection import ApiConnection
from interlock.manifest import FIELD_MANAGER, Manifest, ObjectRef

__all__ = [
    "Conflict",
    "Forbidden",
    "Gone",
    "KubernetesClient",
    "KubernetesError",
    "NotFound",
    "Unreachable",
    "WatchEvent",
]

SILENCE_SECONDS = 90.0
"""A watch's bookmark comes each minute at the latest: a connection that is silent for longer is dead."""

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class WatchEvent:
    """One event of a watch: `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Manifest


class KubernetesClient(ApiConnection):
    """An asynchronous client for one API server and one identity.

    Args:
        config: a kubeconfig, as read by lightkube.
        context: the kubeconfig's context; None means its current one.
        patience: seconds for which a request is repeated, as `ApiConnection` says.
        dry_run: let the API server check each create and change, admission included, and keep none.
    """

    def __init__(
        self,
        config: KubeConfig,
        context: str | None = None,
        patience: float = 20.0,
        *,
        dry_run: bool = False,
    ) -> None:
        super().__init__(config, context, patience)
        self._manager = _MANAGER | ({"dryRun": "All"} if dry_run else {})

    @classmethod
    def of(cls, settings: KubernetesSettings, *, dry_run: bool = False) -> Self:
        """A client from plain settings."""
        return cls(settings.kubeconfig(), settings.context, dry_run=dry_run)

    async def get(self, ref: ObjectRef, *, metadata: bool = False) -> Manifest | None:
        """The object, or its metadata alone; None where there is none."""
        headers = {"Accept": _METADATA_ONLY} if metadata else {}
        try:
            found = await self.json("GET", path_of(ref), headers=headers)
        except NotFound:
            return None
        return Manifest.of({**found, "apiVersion": ref.api_version, "kind": ref.kind})

    async def get_all(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, Manifest | None]:
        """Each object, or None where there is none; several of a kind in a namespace by one list."""
        wanted = list(dict.fromkeys(refs))
        found: dict[ObjectRef, Manifest | None] = dict.fromkeys(wanted)
        groups: dict[tuple[str, str, str | None], list[ObjectRef]] = {}
        for ref in wanted:
            groups.setdefault((ref.api_version, ref.kind, ref.namespace), []).append(ref)
        for (api_version, kind, namespace), group in groups.items():
            if len(group) == 1:
                found[group[0]] = await self.get(group[0])
                continue
            items, _ = await self.list(api_version, kind, namespace)
            found.update((item.ref, item) for item in items if item.ref in found)
        return found

    async def list(
        self, api_version: str, kind: str, namespace: str | None, *, labels: str = "", metadata: bool = False
    ) -> tuple[list[Manifest], str]:
        """All objects of a kind in a namespace, and the resourceVersion to watch from.

        Args:
            api_version: such as "apps/v1".
            kind: such as "Deployment".
            namespace: None means all namespaces.
            labels: a label selector.
            metadata: read the objects' metadata alone.
        """
        body = await self.json(
            "GET",
            resource_path(api_version, kind, namespace),
            params={"labelSelector": labels} if labels else {},
            headers={"Accept": _METADATA_LIST} if metadata else {},
        )
        items = [
            Manifest.of({**item, "apiVersion": api_version, "kind": kind}) for item in body.get("items") or []
        ]
        return items, str(body["metadata"]["resourceVersion"])

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """The object as created, or as it would be; Conflict where the name is taken."""
        path = resource_path(manifest.api_version, manifest.kind, manifest.namespace)
        return Manifest.of(await self.json("POST", path, body=manifest.raw, params=self._params(dry_run)))

    async def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """The object as replaced, or as it would be; Conflict if its resourceVersion isn't the live one."""
        path = path_of(manifest.ref)
        return Manifest.of(await self.json("PUT", path, body=manifest.raw, params=self._params(dry_run)))

    def _params(self, dry_run: bool) -> dict[str, str]:
        # Somebody reads this dry run's answer: a field that the API doesn't know is an error, not dropped.
        return {**self._manager, "dryRun": "All", "fieldValidation": "Strict"} if dry_run else self._manager

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        """Server-side apply with our field manager; its uid and resourceVersion are preconditions."""
        return Manifest.of(
            await self.json(
                "PATCH",
                path_of(manifest.ref),
                body=manifest.raw,
                params={**self._manager, "force": "true" if force else "false"},
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
        )

    async def merge(self, ref: ObjectRef, patch: Mapping[str, Any]) -> Manifest:
        """The object after a JSON merge patch (RFC 7386)."""
        return Manifest.of(
            await self.json(
                "PATCH",
                path_of(ref),
                body=patch,
                params=self._manager,
                headers={"Content-Type": "application/merge-patch+json"},
            )
        )

    async def delete(
        self, ref: ObjectRef, uid: str, resource_version: str = "", *, with_dependents: bool = False
    ) -> None:
        """Delete the object if it is still the one with this uid; a missing one is no error.

        With a resourceVersion, only if it is still as it was read then; else Conflict. With dependents, also
        what it owns where the API's default for the kind would leave that, as a Job's pods.
        """
        conditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": conditions}
        if with_dependents:
            body["propagationPolicy"] = "Background"
        try:
            await self.json("DELETE", path_of(ref), body=body)
        except NotFound:
            return

    async def pod_log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False
    ) -> str:
        """The last lines of a container's log."""
        params = {"container": container, "tailLines": str(lines)}
        if previous:
            params["previous"] = "true"
        response = await self.send("GET", resource_path("v1", "Pod", namespace, pod) + "/log", params=params)
        return response.text

    async def allowed(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Whether this identity has a right, by SelfSubjectAccessReview."""
        name, _, sub = resource.partition("/")
        attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name}
        if sub:
            attributes["subresource"] = sub
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self.json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool(answer["status"].get("allowed"))

    async def version(self) -> str:
        """The API server's version, such as "v1.34.4"."""
        return str((await self.json("GET", "/version"))["gitVersion"])

    async def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        resource_version: str,
        *,
        labels: str = "",
        metadata: bool = False,
    ) -> AsyncIterator[WatchEvent]:
        """Events since a resourceVersion, until the server ends the watch; raises Gone on 410."""
        params = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "300",
        }
        if labels:
            params["labelSelector"] = labels
        headers = {"Accept": _METADATA_ONLY} if metadata else {}
        path = resource_path(api_version, kind, namespace)
        async with self.lines(path, params=params, headers=headers, silence=SILENCE_SECONDS) as lines:
            async for line in lines:
                if not line:
                    continue
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    kind_of = Gone if status.get("code") == 410 else KubernetesError
                    raise kind_of(str(status.get("message")), int(status.get("code") or 0))
                found = {**event["object"], "apiVersion": api_version, "kind": kind}
                if event["type"] == "BOOKMARK":
                    # It tells how far the watch has come, and is about no object: it has no name.
                    found["metadata"] = {"name": "", **found["metadata"]}
                yield WatchEvent(event["type"], Manifest.of(found))


_MANAGER = {"fieldManager": FIELD_MANAGER}
