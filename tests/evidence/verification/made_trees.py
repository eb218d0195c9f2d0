"""The derived objects of a log by RFC 6962's definition, from all leaves at once: no code of the package."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator


def hashed(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def tree_hash(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not hashes:
        return hashed()
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashed(b"\1", tree_hash(hashes[:k]), tree_hash(hashes[k:]))


def tile_path(number: int) -> str:
    text = f"{number % 1000:03d}"
    while number := number // 1000:
        text = f"x{number % 1000:03d}/{text}"
    return text


def derived(leaves: list[bytes], before: int, size: int) -> Iterator[tuple[str, bytes, bool]]:
    """Keys and contents of what is new at `size`, and whether it is full."""
    row = [hashed(b"\0", leaf) for leaf in leaves[:size]]
    for number in range(before // 256, -(-size // 256)):
        part = leaves[number * 256 : min(size, number * 256 + 256)]
        body = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in part)
        yield (
            f"tile/entries/{tile_path(number)}" + ("" if len(part) == 256 else f".p/{len(part)}"),
            body,
            len(part) == 256,
        )
    level = 0
    while row:
        for number in range((before >> 8 * level) // 256, -(-len(row) // 256)):
            part = row[number * 256 : number * 256 + 256]
            if (before >> 8 * level) < number * 256 + len(part):
                suffix = "" if len(part) == 256 else f".p/{len(part)}"
                yield f"tile/{level}/{tile_path(number)}{suffix}", b"".join(part), len(part) == 256
        row = [tree_hash(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
        level += 1
