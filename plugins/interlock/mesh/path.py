"""Paths as a sidecar sees them: Envoy's normalization, and Istio's path templates.

Envoy: source/common/http/path_utility.cc and the `uri_template` path matcher. Istio:
pilot/pkg/security/authz/matcher/template.go, `CheckValidPathTemplate` of pkg/config/security/security.go.
"""

from __future__ import annotations

import re
from functools import lru_cache

from interlock.mesh.settings import PathNormalization

ONE, REST = "{*}", "{**}"
_CHARACTERS = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]"
_LITERAL = re.compile(rf"{_CHARACTERS}+")
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_ESCAPED = re.compile(r"%([0-9a-fA-F]{2})")


def is_template(pattern: str) -> bool:
    """Whether a path of a policy is a template."""
    return ONE in pattern or REST in pattern


def template_problem(pattern: str) -> str | None:
    """What is wrong with a path of a policy, as Istio's validation says it; None if nothing is."""
    seen_rest = False
    for segment in pattern.strip("/").split("/"):
        if segment in (ONE, REST):
            if seen_rest:
                return f"{pattern!r}: {REST} is not the last operator"
            seen_rest = segment == REST
            continue
        if "{" in segment or "}" in segment:
            return f"{pattern!r} has a brace beyond {ONE} and {REST}"
        if is_template(pattern) and not _LITERAL.fullmatch(segment):
            return f"{pattern!r} has the segment {segment!r}, which is no literal"
    return None


@lru_cache(maxsize=4096)
def template(pattern: str) -> re.Pattern[str] | None:
    """What matches the paths of a template; None if Envoy would refuse it."""
    if template_problem(pattern) is not None or not pattern.startswith("/"):
        return None
    parts = []
    for segment in pattern[1:].split("/"):
        if segment == ONE:
            parts.append(f"{_CHARACTERS}+")
        elif segment == REST:
            parts.append(rf"(?:{_CHARACTERS}|/)*")
        else:
            parts.append(re.escape(segment))
    return re.compile("/" + "/".join(parts))


def normalized(path: str, normalization: PathNormalization) -> str:
    """A path without its query, as policies see it.

    With BASE: backslashes become slashes, escaped unreserved characters are decoded, and dot segments go.
    MERGE_SLASHES also joins repeated slashes; DECODE_AND_MERGE_SLASHES decodes %2F and %5C before.
    """
    if normalization is PathNormalization.NONE or not path.startswith("/"):
        return path
    if normalization is PathNormalization.DECODE_AND_MERGE_SLASHES:
        path = re.sub("%5c", "\\\\", re.sub("%2f", "/", path, flags=re.IGNORECASE), flags=re.IGNORECASE)
    path = _ESCAPED.sub(_decoded, path.replace("\\", "/"))
    path = _without_dots(path)
    return path if normalization is PathNormalization.BASE else _merged(path)


def _merged(path: str) -> str:
    """Repeated slashes joined, but for a path of slashes alone: that becomes `//`."""
    if "//" not in path:
        return path
    kept = "/".join(filter(None, path.split("/")))
    return f"/{kept}{'/' if path.endswith('/') else ''}"


def _decoded(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0]


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)
