"""How single values of a rule are matched: wildcards, identities, tokens, headers.

Follows the generators of pilot/pkg/security/authz/model/generator.go and the matchers of
pilot/pkg/security/authz/matcher.
"""

from __future__ import annotations

import ipaddress
import re

from interlock.mesh.condition import All, Condition, Text
from interlock.mesh.leaf import Header, Metadata, Network, TokenClaim
from interlock.mesh.reading import digits

_CIDR = re.compile(r"[^/]+(/(0|[1-9][0-9]{0,2}))?")


class DroppedError(Exception):
    """A value can't become a condition; the message says why."""


def text(value: str, prefix: str = "") -> Text:
    """As `StringMatcherWithPrefix`: `*` is anything but nothing, and may stand at one end."""
    if value == "*":
        return Text("regex", ".+")
    if value.startswith("*"):
        rest = value.removeprefix("*")
        return Text("regex", f"{prefix}.*{re.escape(rest)}") if prefix else Text("suffix", rest)
    if value.endswith("*"):
        return Text("prefix", prefix + value.removesuffix("*"))
    return Text("exact", prefix + value)


def principal(value: str) -> Text:
    """A principal, with or without a trust domain."""
    return text(value, "spiffe://")


def namespace(value: str) -> Text:
    """A namespace of an identity; `*` may stand anywhere."""
    return Text("regex", f".*/ns/{'.*'.join(map(re.escape, value.split('*')))}/.*")


def trust_domain(value: str) -> Text:
    """A trust domain of an identity."""
    if value == "*":
        return Text("prefix", "spiffe://")
    if "*" not in value:
        return Text("prefix", f"spiffe://{value}/")
    before, _, after = value.partition("*")
    return Text("regex", f"spiffe://{re.escape(before)}[^/]*{re.escape(after)}/.*")


def service_account(namespace: str, value: str) -> Text:
    """A service account, `ACCOUNT` of the policy's namespace or `NAMESPACE/ACCOUNT`."""
    first, slash, rest = value.partition("/")
    namespace, account = (first, rest) if slash else (namespace, value)
    return Text("regex", f"spiffe://.+/ns/{re.escape(namespace)}/(.+/|)sa/{re.escape(account)}(/.+)?")


def request_principal(value: str) -> Condition:
    """As `requestPrincipalGenerator`: the last slash parts issuer and subject."""
    anything = Text("regex", ".+")
    issuer, slash, subject = value.rpartition("/")
    if not slash:
        issuer, subject = value, ""
    if value == "*":
        texts = (anything, anything)
    elif value.startswith("*"):
        if slash:
            texts = (anything if issuer == "*" else Text("suffix", issuer[1:]), Text("exact", subject))
        else:
            texts = (anything, Text("suffix", value[1:]))
    elif value.endswith("*"):
        if slash:
            texts = (Text("exact", issuer), anything if subject == "*" else Text("prefix", subject[:-1]))
        else:
            texts = (Text("prefix", value[:-1]), anything)
    else:
        texts = (Text("exact", issuer), Text("exact", subject))
    return All((TokenClaim(("iss",), (texts[0],)), TokenClaim(("sub",), (texts[1],))))


def header(name: str, value: str, ignore_case: bool) -> Condition:
    """A header's value; `*` asks only whether there is one."""
    if value == "*":
        return Header(name.lower(), None)
    if value.startswith("*"):
        return Header(name.lower(), Text("suffix", value[1:], ignore_case))
    if value.endswith("*"):
        return Header(name.lower(), Text("prefix", value[:-1], ignore_case))
    return Header(name.lower(), Text("exact", value, ignore_case))


def metadata(key: str, value: str) -> Condition:
    """Dynamic metadata of Envoy's filters, `experimental.envoy.filters.NAME[KEY]`."""
    name, bracket, rest = key.removeprefix("experimental.").removesuffix("]").partition("[")
    if not bracket:
        raise DroppedError(f"invalid key {key!r}")
    if value.startswith("[") and value.endswith("]"):
        return Metadata(name, rest, text(value.strip("[]")), in_list=True)
    return Metadata(name, rest, text(value), in_list=False)


def bracketed(value: str) -> str:
    """What stands in brackets.

    Raises:
        DroppedError: It isn't in brackets.
    """
    if not (value.startswith("[") and value.endswith("]")):
        raise DroppedError(f"expected a name in brackets, found {value!r}")
    return value.removesuffix("]").removeprefix("[")


def nested(value: str) -> tuple[str, ...] | None:
    """As `extractNameInNestedBrackets`; None if it has no brackets."""
    if re.fullmatch(r"(\[[^\[\]]*\])*", value):
        return tuple(re.findall(r"\[([^\[\]]*)\]", value))
    return (value[1:-1],) if value.startswith("[") and value.endswith("]") else None


def network(value: str) -> Network:
    """An address or a CIDR range."""
    try:
        if not _CIDR.fullmatch(value):
            raise ValueError(value)
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise DroppedError(f"{value!r} is no address and no CIDR range") from None


def port(value: str) -> int:
    """A port from 0 to 65535."""
    found = digits(value)
    if found is None or found > 65535:
        raise DroppedError(f"{value!r} is no port")
    return found
