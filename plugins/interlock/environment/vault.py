"""Judges what was seen of Vault: its state, the token, each right (too few, too many), and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from interlock.environment.check import At, Check, Unseen
from interlock.environment.expectations import VaultEntry
from interlock.environment.vault_facts import Server, Token, VaultFacts
from interlock.environment.vault_policy import ALL, is_expected

POLICY: Final = "include/deploy/vault/interlock.hcl"
AUDIT_POLICY: Final = "include/deploy/vault/interlock-audit.hcl"
_AGAIN: Final = "Run the check again once Vault answers"
_TOKEN: Final = "the token"


def judge_vault(
    facts: VaultFacts,
    wanted: VaultEntry,
    needs: Mapping[str, frozenset[str]],
    limits: tuple[str, ...],
) -> Iterator[Check]:
    """The checks of Vault; of one that can't be asked, only why.

    Args:
        facts: what was seen.
        wanted: what the file asks for.
        needs: the capabilities that are needed at each path.
        limits: paths at which there must be none.
    """
    namespace = f", namespace {facts.namespace}" if facts.namespace else ""
    at = At(f"{facts.connection}, {facts.address}{namespace}")
    server = facts.server
    if isinstance(server, Unseen):
        yield at.unseen(
            "vault.reachable", "Vault", server, "Check the connection's host and port, and that Vault runs"
        )
        return
    yield at.ok("vault.reachable", "Vault", f"version {server.version} answers")
    yield from _state(at, server)
    if not server.answers:
        return
    if isinstance(facts.token, Unseen):
        yield _no_token(at, facts, facts.token)
        return
    yield at.ok("vault.token", _TOKEN, f"it is valid, by {facts.method}")
    yield from _token(at, facts, facts.token, wanted)
    yield from _rights(at, facts.rights, needs, limits)
    yield _elsewhere(at, facts.granted, needs)
    for path, found in facts.secrets.items():
        yield _secret(at, f"{facts.mounts.secret}/{path}", found, wanted.secrets.get(path, []))
    yield _key(at, facts)
    yield _audit(at, facts.audit)


def _state(at: At, server: Server) -> Iterator[Check]:
    yield at.either(
        server.initialized,
        "vault.initialised",
        "Vault",
        "it is initialised",
        wrong="it is not initialised",
        fix="Initialise it (`vault operator init`), then set it up as README.md says",
    )
    if not server.initialized:
        return
    yield at.either(
        not server.sealed,
        "vault.unsealed",
        "Vault",
        "it is unsealed",
        wrong="it is sealed: nothing can be signed or read",
        fix="Unseal it (`vault operator unseal`), and find out why it was sealed",
    )
    if server.dr_secondary:
        yield at.finding(
            "vault.active",
            "Vault",
            "it is a disaster recovery secondary, which takes no requests",
            "Put the address of the primary cluster into the connection",
        )
    elif not server.sealed:
        yield at.either(
            not server.standby,
            "vault.active",
            "Vault",
            "it is the active node",
            wrong="it is a standby, which passes requests on",
            fix="Put the address of the cluster, or of the active node, into the connection",
            severity="warning",
        )


def _no_token(at: At, facts: VaultFacts, token: Unseen) -> Check:
    if token.kind == "missing":
        return at.finding(
            "vault.namespace",
            f"namespace {facts.namespace or '(root)'}",
            token.why,
            "Correct `namespace` (and `auth_mount_point`) in the connection's extra",
        )
    if token.kind == "refused":
        how = "secret_id" if facts.method == "approle" else "token"
        return at.finding(
            "vault.token", _TOKEN, token.why, f"Make a new {how}, and put it as the connection's password"
        )
    return at.unseen("vault.token", _TOKEN, token, _AGAIN)


def _token(at: At, facts: VaultFacts, token: Token, wanted: VaultEntry) -> Iterator[Check]:
    yield at.ok("vault.namespace", f"namespace {facts.namespace or '(root)'}", "the token is known in it")
    yield _policies(at, token, wanted)
    # Who logs in with an AppRole gets a new token whenever the old one ends.
    once = facts.method == "token"
    yield _ttl(at, token, wanted, once)
    yield at.either(
        token.renewable or not once,
        "vault.renewable",
        _TOKEN,
        "it is renewable" if token.renewable else "it is replaced by a new login",
        wrong="it can't be renewed, and ends for good",
        fix="Use an AppRole, or make a renewable (periodic) token",
        severity="warning",
    )
    yield at.either(
        token.orphan,
        "vault.orphan",
        _TOKEN,
        "it is an orphan: it ends with no other token",
        wrong="it ends with the token that made it",
        fix="Use an AppRole, or make it with `-orphan`",
        severity="warning",
    )


def _policies(at: At, token: Token, wanted: VaultEntry) -> Check:
    has, needs = set(token.policies) - {"default"}, set(wanted.policies) - {"default"}
    parts = []
    if missing := sorted(needs - has):
        parts.append(f"it lacks {', '.join(missing)}")
    if more := sorted(has - needs):
        parts.append(f"it has {', '.join(more)} besides")
    return at.either(
        not parts,
        "vault.policies",
        _TOKEN,
        f"its policies are {', '.join(sorted(has)) or 'none'}",
        wrong="; ".join(parts),
        fix="Give the role exactly the policies that `vault.policies` in the file names",
        severity="error" if missing or "root" in more else "warning",
    )


def _ttl(at: At, token: Token, wanted: VaultEntry, once: bool) -> Check:
    code = "vault.ttl"
    if token.ttl is None:
        return at.finding(
            code, _TOKEN, "it never ends", "Use an AppRole, or a token with an end", severity="warning"
        )
    said = f"it lives for {int(token.ttl.total_seconds())} s"
    return at.either(
        token.ttl >= wanted.least_ttl,
        code,
        _TOKEN,
        said,
        wrong=f"{said}; at least {int(wanted.least_ttl.total_seconds())} are wanted (least_ttl)",
        fix="Raise the role's `token_ttl`" if not once else "Renew or replace it before a train starts",
        severity="error" if once else "warning",
    )


def _rights(
    at: At,
    rights: Mapping[str, frozenset[str]] | Unseen,
    needs: Mapping[str, frozenset[str]],
    limits: tuple[str, ...],
) -> Iterator[Check]:
    what = "what the token may do"
    if isinstance(rights, Unseen):
        for code in ("vault.rights-missing", "vault.rights-excessive"):
            yield at.unseen(code, what, rights, "Leave the policy `default` with the role")
        return
    missing, more = [], []
    for path, needed in needs.items():
        has = _at(rights, path)
        if lacks := needed - has:
            missing.append(f"{', '.join(sorted(lacks))} on {path}")
        if extra := has - needed:
            more.append(f"{', '.join(sorted(extra))} on {path}")
    more += [f"{', '.join(sorted(has))} on {path}" for path in limits if (has := _at(rights, path))]
    yield at.either(
        not missing,
        "vault.rights-missing",
        what,
        f"all that is needed at {len(needs)} paths",
        wrong=f"it may not {'; '.join(missing)}",
        fix=f"Apply {POLICY}, and add what the trains' secrets need",
    )
    yield at.either(
        not more,
        "vault.rights-excessive",
        what,
        f"nothing at {len(limits)} paths that are not its own",
        wrong=f"it may do more than it needs: {'; '.join(more)}",
        fix=f"Take these rights from the role's policies; {POLICY} is enough",
    )


def _elsewhere(
    at: At, granted: Mapping[str, frozenset[str]] | Unseen, needs: Mapping[str, frozenset[str]]
) -> Check:
    code, what = "vault.rights-elsewhere", "what its policies name"
    if isinstance(granted, Unseen):
        fix = "Leave the policy `default` with the role"
        return at.unseen(code, what, granted, fix, severity="warning")
    more = [
        f"{', '.join(sorted(has))} on {path}"
        for path, given in sorted(granted.items())
        if (has := given - {"deny"}) and not is_expected(path, has, needs)
    ]
    return at.either(
        not more,
        code,
        what,
        "no engine or path besides those that are needed",
        wrong=f"it may do what no train needs: {'; '.join(more)}",
        fix=f"Take these rights from the role's policies; {POLICY} is enough",
    )


def _at(rights: Mapping[str, frozenset[str]], path: str) -> frozenset[str]:
    """What may be done at a path; each was asked for."""
    found = rights[path] - {"deny"}
    return found | ALL if "root" in found else found


def _secret(at: At, path: str, found: tuple[str, ...] | Unseen, keys: list[str]) -> Check:
    code = "vault.secret"
    if isinstance(found, Unseen):
        if found.kind == "away":
            return at.unseen(code, path, found, _AGAIN)
        fix = "Write it" if found.kind == "missing" else f"Give the role `read` on its subkeys ({POLICY})"
        return at.finding(code, path, found.why, fix)
    absent = [key for key in keys if key not in found]
    return at.either(
        not absent,
        code,
        path,
        f"it is there, with {len(found)} keys",
        wrong=f"it has no key {', '.join(absent)}",
        fix="Write a version with these keys",
    )


def _key(at: At, facts: VaultFacts) -> Check:
    code, what = "vault.transit-key", f"{facts.mounts.transit}/{facts.key}"
    found = facts.key_type
    if isinstance(found, Unseen):
        if found.kind == "away":
            return at.unseen(code, what, found, _AGAIN)
        return at.finding(code, what, found.why, f"Make it with type ed25519, and apply {POLICY}")
    return at.either(
        found == "ed25519",
        code,
        what,
        "it is there, of type ed25519",
        wrong=f"its type is {found}",
        fix="Make a key of type ed25519, and name it in the setting `transit_key`",
    )


def _audit(at: At, found: tuple[str, ...] | Unseen | None) -> Check:
    code, what = "vault.audit", "audit devices"
    if found is None:
        said = Unseen("the file asks nobody about them (`vault.audit_connection` is null)")
        return at.unseen(code, what, said, "Name a connection that may read sys/audit", severity="note")
    if isinstance(found, Unseen):
        fix = f"Give a role of its own {AUDIT_POLICY}, and name its connection as `vault.audit_connection`"
        return at.unseen(code, what, found, fix)
    return at.either(
        bool(found),
        code,
        what,
        f"enabled: {', '.join(sorted(found))}",
        wrong="none is enabled: nobody can say who read what",
        fix="Enable one (`vault audit enable file file_path=…`; with OpenBao in its configuration)",
    )
