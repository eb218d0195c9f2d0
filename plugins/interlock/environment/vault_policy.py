"""What a policy file of Vault gives, and what no token of Interlock's should be able to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ALL: Final = frozenset({"create", "read", "update", "delete", "list"})
"""What `root` may do at each path."""
_ANY: Final = "doctor"
"""What is put in place of a `*`."""
_OF_EVERY_TOKEN: Final = frozenset({"auth", "cubbyhole", "identity", "sys"})
"""Where the policy `default` gives rights; what of these is too much is asked for by `off_limits`."""
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
        where = f"{places.get(mount, mount)}/{rest.replace('*', _ANY)}"
        found[where] = frozenset(re.findall(r'"([^"]+)"', capabilities))
    return found


def is_expected(path: str, has: frozenset[str], needs: Mapping[str, frozenset[str]]) -> bool:
    """Whether a path of a token's policies is one that every token has, or within one that is needed.

    Args:
        path: as a policy writes it, such as `secret/metadata/interlock/*`.
        has: what it gives there; more than is needed at a needed path is told by the rights there.
        needs: the capabilities that are needed at each path, from `rules`.
    """
    name = path.replace("*", _ANY)
    if name in needs or path.partition("/")[0] in _OF_EVERY_TOKEN:
        return True
    return any(
        needed.endswith(f"/{_ANY}") and name.startswith(needed.removesuffix(_ANY)) and has <= capabilities
        for needed, capabilities in needs.items()
    )


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
