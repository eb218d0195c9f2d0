"""What Istio's validation finds wrong with an AuthorizationPolicy (pkg/config/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.mesh import matchers
from interlock.mesh.authorization_policy import DRY_RUN, Action, AuthorizationPolicy, Rule, Values
from interlock.mesh.path import template_problem
from interlock.mesh.reading import Problem
from interlock.mesh.rules import known_attribute

_CUSTOM_REFUSES = frozenset(
    {"namespaces", "serviceAccounts", "trustDomains", "principals", "requestPrincipals"}
)
_CUSTOM_REFUSES_KEYS = frozenset(
    {"source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"}
)
_TCP_SOURCES = frozenset({"principals", "ipBlocks", "namespaces", "remoteIpBlocks", "serviceAccounts"})
_ADDRESSES = frozenset({"ipBlocks", "remoteIpBlocks", "source.ip", "remote.ip", "destination.ip"})


def policy_problems(policy: AuthorizationPolicy) -> tuple[Problem, ...]:
    """All that is wrong with a policy, what could not be read included."""
    return (
        *policy.problems,
        *_of_action(policy),
        *(p for i, r in enumerate(policy.rules) for p in _of_rule(policy, r, i)),
    )


def _of_action(policy: AuthorizationPolicy) -> Iterator[Problem]:
    if policy.annotated and policy.action not in (Action.ALLOW, Action.DENY):
        said = f"the annotation {DRY_RUN} supports ALLOW and DENY alone, found {policy.action}"
        yield Problem("metadata.annotations", said)
    if policy.action in (Action.CUSTOM, Action.DENY) and not policy.has_rules:
        yield Problem(
            "spec.rules",
            f"{policy.action} action without `rules` is meaningless as it will never be triggered, "
            "add an empty rule `{}` if you want it be triggered for every request",
        )
    if policy.action is Action.CUSTOM and policy.has_rules and not policy.provider:
        yield Problem("spec.provider", "`provider.name` must not be empty")
    if policy.provider and policy.action is not Action.CUSTOM:
        yield Problem(
            "spec.provider", f"`provider` must not be with non CUSTOM action, found {policy.action}"
        )


def _of_rule(policy: AuthorizationPolicy, rule: Rule, index: int) -> Iterator[Problem]:
    at = f"spec.rules.{index}"
    for number, source in enumerate(rule.sources):
        names = {values.key for values in source}
        if not names:
            yield Problem(
                f"{at}.from.{number}.source", "`from.source` must not be empty: it matches every source"
            )
        if "serviceAccounts" in names and names & {"principals", "namespaces"}:
            yield Problem(
                f"{at}.from.{number}.source", "cannot set serviceAccounts with namespaces or principals"
            )
        if policy.action is Action.CUSTOM:
            for name in sorted(names & _CUSTOM_REFUSES):
                yield Problem(f"{at}.from.{number}.source.{name}", "is not supported with CUSTOM action")
    for number, operation in enumerate(rule.operations):
        if not operation:
            yield Problem(
                f"{at}.to.{number}.operation", "`to.operation` must not be empty: it matches every operation"
            )
    for values in rule.every():
        yield from _of_values(values, at)
    for condition in rule.conditions:
        yield from _of_condition(condition, at)
        if policy.action is Action.CUSTOM and (
            condition.key in _CUSTOM_REFUSES_KEYS or condition.key.startswith("request.auth.")
        ):
            yield Problem(f"{at}.when", f"{condition.key} is not supported with CUSTOM action")
    if policy.action is Action.DENY and _only_http(rule):
        yield Problem(
            at,
            "denies all traffic to TCP ports under its scope: it has HTTP attributes alone; say the port",
            warning=True,
        )


def _of_values(values: Values, at: str) -> Iterator[Problem]:
    for value in (*values.values, *values.not_values):
        field = f"{at}.{values.key}"
        try:
            if not value:
                yield Problem(field, "empty value not allowed")
            elif values.key in _ADDRESSES:
                matchers.network(value)
            elif values.key in ("ports", "destination.port"):
                matchers.port(value)
            elif values.key == "paths" and (wrong := template_problem(value)):
                yield Problem(field, wrong)
            elif values.key in ("serviceAccounts", "source.serviceAccount") and (
                "*" in value or value.count("/") > 1 or "" in value.split("/")
            ):
                yield Problem(
                    field, f"found {value!r}, expected ACCOUNT or NAMESPACE/ACCOUNT without wildcard"
                )
            elif values.key in ("trustDomains", "source.trustDomain") and (
                value.count("*") > 1 or "*" in value.strip("*") or "/" in value
            ):
                yield Problem(
                    field, f"found {value!r}, expected a trust domain with at most one wildcard at an end"
                )
        except matchers.DroppedError as wrong_value:
            yield Problem(field, str(wrong_value))


def _of_condition(condition: Values, at: str) -> Iterator[Problem]:
    if not condition.key:
        yield Problem(f"{at}.when", "`key` must not be empty")
    elif not known_attribute(condition.key):
        said = f"unknown attribute: {condition.key}; Istio skips the whole rule, in DENY policies too"
        yield Problem(f"{at}.when", said)
    elif not condition:
        yield Problem(
            f"{at}.when", f"at least one of values or notValues must be set for key {condition.key}"
        )
    elif condition.key.startswith(("request.headers", "request.auth.claims", "experimental.")) and not (
        condition.key.endswith("]") and 0 < condition.key.find("[") < len(condition.key) - 2
    ):
        yield Problem(f"{at}.when", f"bad key ({condition.key}): should have format a[b]")


def _only_http(rule: Rule) -> bool:
    """As Istio's own test: it looks at `from` and `to`, and not at `when`."""
    sources = {values.key for source in rule.sources for values in source}
    operations = {values.key for operation in rule.operations for values in operation}
    alone = bool(rule.sources) and not rule.operations and not sources & _TCP_SOURCES
    return alone or (bool(rule.operations) and "ports" not in operations)
