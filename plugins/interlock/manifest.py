"""Kubernetes objects as the rest of Interlock sees them: JSON behind one small type.

An object stays the JSON that the API server sent, so that nothing is lost between reading and restoring it;
`Manifest` adds typed views of the metadata that every decision needs. `ObjectRef` names an object without
holding it.

The JSON is kept, not copied: whoever holds a manifest treats `raw` as read-only and makes changed copies with
`interlock.trains.fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

PREFIX = "interlock.internal/"
"""What each annotation, label and Secret type of Interlock begins with."""

FIELD_MANAGER = "interlock"
"""The field manager that Interlock writes under."""


class ManifestError(ValueError):
    """Something is not a Kubernetes object; the message says what it lacks."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """The name of one object: `str(ref)` is `Deployment/service-a`.

    Attributes:
        api_version: Group and version, `apps/v1`; `v1` for the core group.
        kind: For example `Deployment`.
        namespace: Empty for an object of the whole cluster.
        name: The object's name.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def to_json(self) -> dict[str, str]:
        """The reference as JSON; `from_json` reads it."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> ObjectRef:
        """Read what `to_json` wrote.

        Raises:
            ManifestError: A part is missing or is not text.
        """
        parts = [data.get(key) for key in ("apiVersion", "kind", "namespace", "name")]
        if not all(isinstance(part, str) for part in parts):
            raise ManifestError(
                "an object reference needs apiVersion, kind, namespace and name as text; "
                f"it has {', '.join(sorted(map(str, data))) or 'nothing'}"
            )
        api_version, kind, namespace, name = cast("list[str]", parts)
        return cls(api_version, kind, namespace, name)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One Kubernetes object. Build it with `of`, which checks the shape; two are equal if their JSON is.

    Attributes:
        raw: The object's JSON, unchanged.
    """

    raw: dict[str, Any]

    @classmethod
    def of(cls, raw: Mapping[str, object], *, api_version: str = "", kind: str = "") -> Manifest:
        """The manifest of a JSON object.

        Args:
            raw: The object. It must have a name; Interlock handles no object before it has one.
            api_version: Filled in if the object has none: the items of a list response carry neither
                `apiVersion` nor `kind`.
            kind: As `api_version`.

        Raises:
            ManifestError: It is not an object, or has no apiVersion, kind or name.
        """
        if not isinstance(raw, Mapping):
            raise ManifestError(f"a Kubernetes object is a JSON object, not {type(raw).__name__}")
        data = dict(raw)
        for key, default in (("kind", kind), ("apiVersion", api_version)):
            if not data.get(key) and default:
                data = {key: default, **{k: v for k, v in data.items() if k != key}}
            if not isinstance(data.get(key), str) or not data[key]:
                raise ManifestError(f"a Kubernetes object needs {key}; found {data.get(key)!r}")
        metadata = data.get("metadata")
        if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
            raise ManifestError(f"{data['kind']}: a Kubernetes object needs metadata.name")
        return cls(data)

    @property
    def api_version(self) -> str:
        """Group and version, `apps/v1`."""
        return cast(str, self.raw["apiVersion"])

    @property
    def kind(self) -> str:
        """For example `Deployment`."""
        return cast(str, self.raw["kind"])

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The object's metadata."""
        return cast("Mapping[str, Any]", self.raw["metadata"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """The object's spec; empty if it has none."""
        return self._mapping(self.raw.get("spec"))

    @property
    def status(self) -> Mapping[str, Any]:
        """The object's status; empty if it has none."""
        return self._mapping(self.raw.get("status"))

    @property
    def name(self) -> str:
        """The object's name."""
        return cast(str, self.metadata["name"])

    @property
    def namespace(self) -> str:
        """The namespace; empty for an object of the whole cluster."""
        return self._text("namespace")

    @property
    def uid(self) -> str:
        """The uid; empty for an object that was not read from a server."""
        return self._text("uid")

    @property
    def resource_version(self) -> str:
        """The resourceVersion; empty for an object that was not read from a server."""
        return self._text("resourceVersion")

    @property
    def generation(self) -> int:
        """The generation of the spec; 0 for a kind that does not count it."""
        found = self.metadata.get("generation")
        return found if isinstance(found, int) else 0

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations; empty if there are none."""
        return self._mapping(self.metadata.get("annotations"))

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels; empty if there are none."""
        return self._mapping(self.metadata.get("labels"))

    @property
    def ref(self) -> ObjectRef:
        """The object's name without the object."""
        return ObjectRef(self.api_version, self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        return str(self.ref)

    def _text(self, key: str) -> str:
        found = self.metadata.get(key)
        return found if isinstance(found, str) else ""

    @staticmethod
    def _mapping(found: object) -> Mapping[str, Any]:
        return found if isinstance(found, Mapping) else {}
