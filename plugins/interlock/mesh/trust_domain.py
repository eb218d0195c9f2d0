"""Trust domain aliases in principals (pilot/pkg/security/trustdomain)."""

from __future__ import annotations

from collections.abc import Iterable

_DEFAULT = "cluster.local"


def with_aliases(principals: Iterable[str], trust_domains: tuple[str, ...]) -> tuple[str, ...]:
    """The principals of a policy, each also in the mesh's other trust domains.

    Only a principal of the form `DOMAIN/ns/NAMESPACE/sa/ACCOUNT` whose domain is one of the mesh's, matches
    one by its wildcard, or is `cluster.local` is repeated; any other stays as it is.
    """
    found: list[str] = []
    for principal in principals:
        domain, *rest = principal.split("/")
        if len(rest) != 4 or domain == "*" or not (_known(domain, trust_domains) or domain == _DEFAULT):
            found.append(principal)
            continue
        repeated: list[str] = []
        for other in trust_domains:
            replaced = principal if _suffix(other, domain) else "/".join((other, *rest))
            if replaced not in repeated:
                repeated.append(replaced)
        found += repeated
    return tuple(found)


def expanded(values: Iterable[str], trust_domains: tuple[str, ...]) -> tuple[str, ...]:
    """Trust domains of a policy; each of the mesh's stands for all of them."""
    found: list[str] = []
    for value in values:
        found += trust_domains if value in trust_domains else (value,)
    return tuple(dict.fromkeys(found))


def _known(domain: str, trust_domains: tuple[str, ...]) -> bool:
    return any(
        domain == known
        or known == "*"
        or _prefix(domain, known)
        or _prefix(known, domain)
        or _suffix(domain, known)
        or _suffix(known, domain)
        for known in trust_domains
    )


def _prefix(value: str, pattern: str) -> bool:
    return pattern.endswith("*") and value.startswith(pattern.removesuffix("*"))


def _suffix(value: str, pattern: str) -> bool:
    return pattern.startswith("*") and value.endswith(pattern.removeprefix("*"))
