"""What a policy file of Vault gives, and what no token of Interlock's should be able to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ALL: Final = frozenset({"create", "read", "update", "delete", "list"})
"""What `root` may do at each path."""
_RULE: Final = re.compile(r'^path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where the engines are that the shipped policies call `transit` and `secret`."""

    transit: str = "transit"
    secret: str = "secret"
    approle: str = "approle"


def rules(policy: str, mounts: Mounts) -> dict[str, frozenset[str]]:
    """The capabilities that a policy gives at each path.

    A `*` at a path's end stands for anything, so a name is put there.

    Args:
        policy: the text of a file of include/deploy/vault.
        mounts: where the engines are.
    """
    places = {"transit": mounts.transit, "secret": mounts.secret}
    found = {}
    for path, capabilities in _RULE.findall(policy):
        mount, _, rest = path.partition("/")
        where = f"{places.get(mount, mount)}/{rest.replace('*', 'doctor')}"
        found[where] = frozenset(re.findall(r'"([^"]+)"', capabilities))
    return found


def off_limits(mounts: Mounts, key: str, log_key: str, secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Paths at which the workers' token has nothing to do.

    Values of secrets, everybody else's secrets, the other role's key, keys on their way out, other tokens,
    and whatever rules over policies, mounts, logins, audit and the seal.

    Args:
        mounts: where the engines are.
        key: the transit key that the workers sign with.
        log_key: the one of the log's role.
        secrets: the paths that the trains need; only their keys' names, not what they hold.
    """
    secret, transit = mounts.secret, mounts.transit
    return (
        *(f"{secret}/data/{path}" for path in secrets),
        f"{secret}/data/interlock/doctor",
        f"{secret}/metadata/not-interlocks",
        f"{transit}/sign/{log_key}",
        f"{transit}/keys/{key}/config",
        f"{transit}/export/signing-key/{key}",
        f"{transit}/backup/{key}",
        "auth/token/create",
        f"auth/{mounts.approle}/role/interlock",
        "sys/policies/acl/interlock",
        "sys/mounts/interlock",
        "sys/auth/interlock",
        "sys/audit",
        "sys/seal",
        "sys/raw/core",
        "identity/entity",
    )
