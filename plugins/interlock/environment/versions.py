"""Versions of programs and servers, and how far apart two of them may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_VERSION = re.compile(r"(?<![\w.])v?(\d+)\.(\d+)(?:\.(\d+))?(?=$|[^\d.])")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version; what follows the patch (`-gke.1`, `+ent`, `-distroless`) says nothing of compatibility."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def find(cls, text: str) -> Self | None:
        """The first version in a text, such as "kubectl v1.34.1-rc.0" or "aws-cli/2.31.1 Python/3.13"."""
        found = _VERSION.search(text)
        return cls(*(int(part or 0) for part in found.groups())) if found else None

    def minors_apart(self, other: Version) -> int | None:
        """By how many minor versions they differ; None across major versions, which are not comparable."""
        return abs(self.minor - other.minor) if self.major == other.major else None

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"
