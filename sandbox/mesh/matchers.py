"""Envoy's matchers for the values of AuthorizationPolicies, as Istio makes them.

Follows pilot/pkg/security/authz/matcher and model/generator.go. A value that can't be one raises ValueError.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

Rule = dict[str, Any]

_SPIFFE = "spiffe://"
_JWT_FILTER = "envoy.filters.http.jwt_authn"
_URI_TEMPLATE = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"


def regex(pattern: str) -> Rule:
    """A regular expression that the whole text must match."""
    return {"safe_regex": {"regex": pattern}}


def text(value: str, prefix: str = "", *, ignore_case: bool = False) -> Rule:
    """A text, with `*` for any (`*`), any beginning (`*x`) or any end (`x*`)."""
    more = {"ignore_case": True} if ignore_case else {}
    if value == "*":
        return regex(".+")
    if value.startswith("*"):
        if prefix:
            return regex(f"{prefix}.*{re.escape(value[1:])}")
        return {"suffix": value[1:], **more}
    if value.endswith("*"):
        return {"prefix": prefix + value[:-1], **more}
    return {"exact": prefix + value, **more}


def header(header_name: str, value: str, *, ignore_case: bool = False) -> Rule:
    """A header."""
    if value == "*":
        return {"header": {"name": header_name, "present_match": True}}
    return {"header": {"name": header_name, "string_match": text(value, ignore_case=ignore_case)}}


def path(value: str) -> Rule:
    """A path, or a template of one."""
    if "{*}" in value or "{**}" in value:
        template = value.replace("{**}", "**").replace("{*}", "*")
        return {
            "uri_template": {
                "name": "uri-template",
                "typed_config": {"@type": _URI_TEMPLATE, "path_template": template},
            }
        }
    return {"url_path": {"path": text(value)}}


def port(value: str) -> Rule:
    """A port of the pod."""
    if not re.fullmatch(r"[0-9]+", value) or int(value) > 65535:
        raise ValueError(f"invalid port {value}")
    return {"destination_port": int(value)}


def cidr(field: str) -> Callable[[str], Rule]:
    """What makes a rule about one of the addresses of a connection."""

    def one(value: str) -> Rule:
        network = ipaddress.ip_network(value, strict=False)
        return {field: {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}}

    return one


def _authenticated(matcher: Rule) -> Rule:
    return {"authenticated": {"principal_name": matcher}}


def principal(value: str) -> Rule:
    """The whole identity of the caller."""
    return _authenticated(text(value, _SPIFFE))


def source_namespace(value: str) -> Rule:
    """The namespace of the caller."""
    return _authenticated(regex(f".*/ns/{'.*'.join(map(re.escape, value.split('*')))}/.*"))


def service_account(namespace: str) -> Callable[[str], Rule]:
    """What makes a rule about the caller's ServiceAccount; one without a namespace is of this one."""

    def one(value: str) -> Rule:
        given, slash, account = value.partition("/")
        where, account = (given, account) if slash else (namespace, value)
        return _authenticated(regex(f"{_SPIFFE}.+/ns/{re.escape(where)}/(.+/|)sa/{re.escape(account)}(/.+)?"))

    return one


def trust_domain(value: str) -> Rule:
    """The trust domain of the caller."""
    if value == "*":
        return _authenticated({"prefix": _SPIFFE})
    if "*" not in value:
        return _authenticated({"prefix": f"{_SPIFFE}{value}/"})
    before, _, after = value.partition("*")
    return _authenticated(regex(f"{_SPIFFE}{re.escape(before)}[^/]*{re.escape(after)}/.*"))


def request_header(key: str) -> Callable[[str], Rule]:
    """What makes a rule about the header that `request.headers[NAME]` names."""
    header_name = _bracketed(key.removeprefix("request.headers"))
    return lambda value: header(header_name, value)


def request_principals(values: Sequence[str]) -> Rule:
    """The issuer and subject of a token."""
    return _any_of([_request_principal(value) for value in values])


def _request_principal(value: str) -> Rule:
    issuer, slash, subject = value.rpartition("/")
    issuer = issuer if slash else value
    subject = subject if slash else ""
    anything = regex(".+")
    if value == "*":
        pair = (anything, anything)
    elif value.startswith("*"):
        if slash:
            pair = (anything if issuer == "*" else {"suffix": issuer.removeprefix("*")}, {"exact": subject})
        else:
            pair = (anything, {"suffix": value[1:]})
    elif value.endswith("*"):
        if slash:
            pair = ({"exact": issuer}, anything if subject == "*" else {"prefix": subject.removesuffix("*")})
        else:
            pair = ({"prefix": value[:-1]}, anything)
    else:
        pair = ({"exact": issuer}, {"exact": subject})
    both = [
        _metadata(_JWT_FILTER, ("payload", claim), {"string_match": matcher})
        for claim, matcher in zip(("iss", "sub"), pair, strict=True)
    ]
    return {"and_ids": {"ids": both}}


def claims(*path_of_claim: str) -> Callable[[Sequence[str]], Rule]:
    """What makes a rule about a claim of a token: a text, or a list that has it."""
    return lambda values: _metadata_list(_JWT_FILTER, ("payload", *path_of_claim), values)


def claim_of(key: str) -> Callable[[Sequence[str]], Rule]:
    """As `claims`, for `request.auth.claims[A][B]`."""
    rest = key.removeprefix("request.auth.claims")
    if re.fullmatch(r"(\[[^\[\]]*\])+", rest):
        return claims(*re.findall(r"\[([^\[\]]*)\]", rest))
    return claims(_bracketed(rest))


def _metadata(filter_name: str, keys: Sequence[str], value: Rule) -> Rule:
    segments = [{"key": key} for key in keys]
    return {"metadata": {"filter": filter_name, "path": segments, "value": value}}


def _metadata_list(filter_name: str, keys: Sequence[str], values: Sequence[str]) -> Rule:
    matchers = [{"string_match": text(value)} for value in values]
    one = matchers[0] if len(matchers) == 1 else {"or_match": {"value_matchers": matchers}}
    # As MetadataListValueMatcher of Istio with useExtendedValueMatcher: the value itself, or one of a list.
    either = {"or_match": {"value_matchers": [one, {"list_match": {"one_of": one}}]}}
    return _metadata(filter_name, keys, either)


def _any_of(rules: list[Rule]) -> Rule:
    return rules[0] if len(rules) == 1 else {"or_ids": {"ids": rules}}


def _bracketed(given: str) -> str:
    if not (given.startswith("[") and given.endswith("]")):
        raise ValueError(f"expecting format [NAME], found {given}")
    return given[1:-1]
