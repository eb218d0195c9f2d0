"""Text that others wrote, shown to a person: what a terminal or a browser would obey is spelled out."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Control, format (zero width, direction), unassigned, private, surrogate; line and paragraph separators."""
_ODD: Final = re.compile(r"[^\x20-\x7e]")


def plain(text: str) -> str:
    r"""One line of text without characters that move the cursor, change colours, or turn the direction round.

    Each of them is shown as Python spells it: `\x1b`, `\n`, `\u202e`.
    """
    return _ODD.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    one = found[0]
    return ascii(one)[1:-1] if unicodedata.category(one) in _HIDDEN else one
