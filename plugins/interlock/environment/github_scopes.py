"""The scopes of classic tokens: which one holds which, and which are those of an administrator.

Source: GitHub's "Scopes for OAuth apps".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_HOLDS: Final[Mapping[str, tuple[str, ...]]] = {
    "repo": ("repo:status", "repo_deployment", "public_repo", "repo:invite", "security_events"),
    "admin:repo_hook": ("write:repo_hook",),
    "write:repo_hook": ("read:repo_hook",),
    "admin:org": ("write:org", "manage_runners:org"),
    "write:org": ("read:org",),
    "admin:public_key": ("write:public_key",),
    "write:public_key": ("read:public_key",),
    "admin:gpg_key": ("write:gpg_key",),
    "write:gpg_key": ("read:gpg_key",),
    "admin:ssh_signing_key": ("write:ssh_signing_key",),
    "write:ssh_signing_key": ("read:ssh_signing_key",),
    "admin:enterprise": ("manage_runners:enterprise", "manage_billing:enterprise", "read:enterprise"),
    "user": ("read:user", "user:email", "user:follow"),
    "write:packages": ("read:packages",),
    "write:discussion": ("read:discussion",),
    "project": ("read:project",),
    "audit_log": ("read:audit_log",),
    "codespace": ("codespace:secrets",),
    "copilot": ("manage_billing:copilot",),
}
_ADMINISTRATOR: Final = ("delete_repo", "site_admin", "delete:packages")


def held(scopes: Iterable[str]) -> frozenset[str]:
    """These scopes and all that they include."""
    found: set[str] = set()
    waiting = list(scopes)
    while waiting:
        if (scope := waiting.pop()) not in found:
            found.add(scope)
            waiting += _HOLDS.get(scope, ())
    return frozenset(found)


def is_administrators(scope: str) -> bool:
    """Whether it changes who may do what, or deletes what can't be made again."""
    return scope.startswith(("admin:", "manage_")) or scope in _ADMINISTRATOR
