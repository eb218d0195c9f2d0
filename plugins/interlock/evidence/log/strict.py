"""What all formats of the log share: one way to write a number and bytes, and no other to read them.

A format that accepts two spellings of one value lets two people hold different bytes for the same thing, so
each reader here takes exactly what the writer beside it makes.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

MAX_SIZE: Final = 2**63 - 1
"""Largest tree size and index that the formats carry: a signed 64-bit integer, as others have it."""

_DIGITS: Final = len(str(MAX_SIZE))


class LogFormatError(ValueError):
    """Bytes of the log are not what their format says; the message names what, expected and found."""


def shown(value: str | bytes, limit: int = 60) -> str:
    """Return `value` for a message: quoted, and cut after `limit` characters or bytes."""
    return repr(value) if len(value) <= limit else f"{value[:limit]!r}… ({len(value)} long)"


def decimal(text: str, what: str, error: type[LogFormatError], maximum: int = MAX_SIZE) -> int:
    """Read an ASCII decimal without leading zeros, from 0 to `maximum`.

    Raises:
        error: it is anything else.
    """
    plain = text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
    if not plain or len(text) > _DIGITS or (number := int(text)) > maximum:
        raise error(
            f"{what}: expected a decimal from 0 to {maximum} without leading zeros, found {shown(text)}"
        )
    return number


def to_base64(data: bytes) -> str:
    """Return `data` in the standard Base 64 of RFC 4648, section 4, with padding."""
    return base64.b64encode(data).decode()


def from_base64(text: str, what: str, error: type[LogFormatError], length: int | None = None) -> bytes:
    """Read standard Base 64, only in the spelling that `to_base64` gives; `length` in bytes, if it is known.

    Raises:
        error: it is anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise error(f"{what}: expected standard Base 64, found {shown(text)}: {cause}") from cause
    if to_base64(data) != text:
        raise error(f"{what}: {shown(text)} is not canonical Base 64, expected {shown(to_base64(data))}")
    if length is not None and len(data) != length:
        raise error(f"{what}: expected {length} bytes in Base 64, found {len(data)}")
    return data
