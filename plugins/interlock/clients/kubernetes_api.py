"""How the Kubernetes API names things, and what it answers when it refuses.

Errors:

    KubernetesError            the API server refused; `.status` and `.reason` are its own words
    ├── NotFound               404
    ├── Conflict               409: the object moved on since it was read, or exists already
    ├── Gone                   410: a watch's resourceVersion is too old
    ├── Forbidden              401, 403: a right is missing; the message names it
    └── Unreachable            no answer within the time given, after repeats
"""

from __future__ import annotations

import httpx2

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.view import maps, text


class KubernetesError(Exception):
    """The API server refused a request.

    Attributes:
        status: the HTTP status.
        reason: the API's machine-readable reason, such as "AlreadyExists".
    """

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def passing(self) -> bool:
        """Whether it says nothing of what was asked for: the API server is away, or has too much to do."""
        return self.status == 429 or self.status >= 500


class NotFound(KubernetesError):
    """There is no such object."""


class Conflict(KubernetesError):
    """The object has moved on since it was read, or exists already."""


class Forbidden(KubernetesError):
    """The identity lacks a right."""


class Unreachable(KubernetesError):
    """The API server did not answer in time."""

    @property
    def passing(self) -> bool:
        """It always is."""
        return True


class Gone(KubernetesError):
    """A watch's resourceVersion is too old (410): list again."""


def plural(kind: str) -> str:
    """The resource name of a kind, by the API's naming rule (Deployment → deployments)."""
    lower = kind.lower()
    if lower.endswith("y") and lower[-2] not in "aeiou":
        return lower[:-1] + "ies"
    if lower.endswith(("s", "x", "ch")):
        return lower + "es"
    return lower + "s"


def resource_path(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    """The path of a collection, or of one object in it."""
    path = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    if namespace:
        path += f"/namespaces/{namespace}"
    path += f"/{plural(kind)}"
    return f"{path}/{name}" if name else path


def path_of(ref: ObjectRef) -> str:
    """The path of an object."""
    return resource_path(ref.api_version, ref.kind, ref.namespace, ref.name)


def workload_of(pod: Manifest) -> str:
    """The name of the workload whose pod it is, by its controller; its own name if it has none.

    A Deployment names its ReplicaSets <its name>-<the pods' pod-template-hash>.
    """
    for owner in maps(pod.raw, "metadata", "ownerReferences"):
        if owner.get("controller") is True:
            name = text(owner, "name")
            hashed = pod.labels.get("pod-template-hash")
            return name.removesuffix(f"-{hashed}") if hashed and owner.get("kind") == "ReplicaSet" else name
    return pod.name


def group_of(item: Manifest) -> str:
    """What an object is found under: a pod's workload, or its own name."""
    return workload_of(item) if item.kind == "Pod" else item.name


def error_of(method: str, path: str, response: httpx2.Response) -> KubernetesError:
    """What a refusal means; the message has the API server's own words."""
    try:
        status = response.json()
        message, reason = str(status.get("message")), str(status.get("reason") or "")
    except (ValueError, AttributeError):
        message, reason = response.text[:300], ""
    kinds: dict[int, type[KubernetesError]] = {
        401: Forbidden,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Gone,
    }
    kind = kinds.get(response.status_code, KubernetesError)
    return kind(f"{method} {path}: {response.status_code} {message}", response.status_code, reason)
