"""Label selectors of Kubernetes (apimachinery's `LabelSelectorAsSelector`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.mesh.reading import items, labels, mapping, text, texts


@dataclass(frozen=True, slots=True)
class Requirement:
    """One entry of `matchExpressions`."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, found: Mapping[str, str]) -> bool:
        """Whether labels fulfil it; an operator that there isn't, or `In` without values, none do."""
        if self.operator in ("Exists", "DoesNotExist"):
            return not self.values and (self.key in found) == (self.operator == "Exists")
        if self.operator not in ("In", "NotIn") or not self.values:
            return False
        return (found.get(self.key) in self.values) == (self.operator == "In")


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A selector: each of its requirements has to be fulfilled. Build it with `of`."""

    requirements: tuple[Requirement, ...]

    @classmethod
    def of(cls, raw: object) -> LabelSelector:
        """The selector of its JSON; an absent one has no requirement."""
        given = mapping(raw)
        exact = labels(given.get("matchLabels")).items()
        return cls(
            (
                *(Requirement(key, "In", (value,)) for key, value in exact),
                *(
                    Requirement(
                        text(entry.get("key")), text(entry.get("operator")), texts(entry.get("values"))
                    )
                    for entry in map(mapping, items(given.get("matchExpressions")))
                ),
            )
        )

    def matches(self, found: Mapping[str, str]) -> bool:
        """Whether labels fulfil all requirements; without any, all labels do."""
        return all(requirement.matches(found) for requirement in self.requirements)
