"""RFC 6962, section 2.1, as written there: recursive, over a list of leaves; shares nothing with the core."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


class NaiveTree:
    """MTH, PATH and PROOF over D[first:end], each subtree hashed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self.known: dict[tuple[int, int], bytes] = {}

    def mth(self, first: int, end: int) -> bytes:
        if first == end:
            return sha256(b"")
        if (first, end) not in self.known:
            if end - first == 1:
                value = sha256(b"\x00" + self.leaves[first])
            else:
                k = split(end - first)
                value = sha256(b"\x01" + self.mth(first, first + k) + self.mth(first + k, end))
            self.known[first, end] = value
        return self.known[first, end]

    def path(self, m: int, first: int, end: int) -> list[bytes]:
        if end - first == 1:
            return []
        k = split(end - first)
        if m < k:
            return [*self.path(m, first, first + k), self.mth(first + k, end)]
        return [*self.path(m - k, first + k, end), self.mth(first, first + k)]

    def proof(self, m: int, end: int) -> list[bytes]:
        return self.subproof(m, 0, end, True)

    def subproof(self, m: int, first: int, end: int, whole: bool) -> list[bytes]:
        if m == end - first:
            return [] if whole else [self.mth(first, end)]
        k = split(end - first)
        if m <= k:
            return [*self.subproof(m, first, first + k, whole), self.mth(first + k, end)]
        return [*self.subproof(m - k, first + k, end, False), self.mth(first, first + k)]

    def read(self, level: int, index: int) -> bytes:
        return self.mth(index << level, (index + 1) << level)
