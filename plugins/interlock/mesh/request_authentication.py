"""RequestAuthentication: which workloads validate tokens, and of which issuers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.mesh.reading import items, mapping, text
from interlock.mesh.selection import Selection


@dataclass(frozen=True, slots=True)
class RequestAuthentication:
    """One RequestAuthentication. Build it with `of`."""

    namespace: str
    name: str
    selection: Selection
    issuers: tuple[str, ...]

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> RequestAuthentication:
        """The policy of its JSON."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        return cls(
            namespace=text(metadata.get("namespace")) or "default",
            name=text(metadata.get("name")),
            selection=Selection.of(spec),
            issuers=tuple(text(mapping(rule).get("issuer")) for rule in items(spec.get("jwtRules"))),
        )

    @property
    def ref(self) -> str:
        """`RequestAuthentication payments/tokens`."""
        return f"RequestAuthentication {self.namespace}/{self.name}"
