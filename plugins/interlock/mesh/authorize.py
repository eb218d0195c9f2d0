"""Would a request be allowed, by which policy and rule.

Follows pilot/pkg/model/authorization.go (which policies hold), pilot/pkg/security/authz/builder (what becomes
of them) and Envoy's RBAC filter (how they are evaluated): CUSTOM first, then DENY, then ALLOW. A workload
that any ALLOW policy is for denies what none of them matches. Dry-run policies and AUDIT decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interlock.mesh.authorization_policy import Action, AuthorizationPolicy
from interlock.mesh.inbound import PortVerdict, port_verdict
from interlock.mesh.mesh import Mesh
from interlock.mesh.request import Request
from interlock.mesh.rules import Compiled, compiled
from interlock.mesh.service import Protocol
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Answer, Mode, Outcome, Reason
from interlock.mesh.workload import Proxy, Workload


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request.

    Attributes:
        outcome: Allowed, denied, or not to be told.
        reasons: The chain that led there.
        policy: The deciding policy; empty if none decided.
        rule: The index of the deciding rule; None if no rule did.
        audited: Policies that would log the request.
        dry_run: What policies on trial would have done: each with ALLOW or DENY.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    policy: str = ""
    rule: int | None = None
    audited: tuple[str, ...] = ()
    dry_run: tuple[tuple[str, Outcome], ...] = ()


@dataclass(frozen=True, slots=True)
class _Match:
    policy: AuthorizationPolicy
    index: int
    answer: Answer
    unknowns: tuple[str, ...]

    @property
    def name(self) -> str:
        """Envoy's name of the rule; it takes the first that matches in the order of these names."""
        return f"ns[{self.policy.namespace}]-policy[{self.policy.name}]-rule[{self.index}]"


@dataclass(frozen=True, slots=True)
class _Held:
    workload: Workload
    policies: tuple[AuthorizationPolicy, ...]


def policies_for(mesh: Mesh, workload: Workload) -> tuple[AuthorizationPolicy, ...]:
    """The policies that hold for a workload: of the root namespace, then of its own, oldest first in each."""
    known = mesh.memo["policies"].get(id(workload))
    if isinstance(known, _Held) and known.workload is workload:
        return known.policies
    namespaces = dict.fromkeys((mesh.settings.root_namespace, workload.namespace))
    found = tuple(
        policy
        for namespace in namespaces
        for policy in mesh.authorization_policies.get(namespace, ())
        if policy.selection.holds_for(workload, policy.namespace)
    )
    # Workloads with the same policies share one tuple, by which `_decision` finds what it said of them.
    mesh.memo["policy sets"].setdefault(tuple(map(id, found)), found)
    shared = mesh.memo["policy sets"][tuple(map(id, found))]
    held = _Held(workload, shared if isinstance(shared, tuple) else found)
    mesh.memo["policies"][id(workload)] = held
    return held.policies


def authorize(mesh: Mesh, workload: Workload, request: Request) -> Decision:
    """Whether a request to a port of a workload is allowed, mTLS and the capture of ports included.

    Where connections bypass the sidecar no policy is enforced, so the request is allowed and the reasons say
    so. STRICT refuses plaintext; under DISABLE the caller has no identity, whoever it is.

    Args:
        mesh: The mesh's objects.
        workload: Who is called.
        request: What is asked.
    """
    verdict = port_verdict(mesh, workload, request.port)
    if verdict.bypassed:
        said = Reason("connections to this port don't pass a sidecar, so no policy is enforced on them")
        return Decision(Outcome.ALLOW, (*verdict.reasons, said))
    if workload.proxy is Proxy.WAYPOINT or verdict.undecided:
        return Decision(Outcome.INDETERMINATE, verdict.reasons)
    refused = _refused(mesh.settings, verdict, request)
    if refused is not None:
        return Decision(Outcome.DENY, (*verdict.reasons, refused))
    seen, notes = request, tuple[Reason, ...]()
    if verdict.mode is Mode.DISABLE and request.principal != "":
        seen = replace(request, principal="")
        notes = (Reason("the port's mode is DISABLE, so the sidecar sees no identity"),)
    elif verdict.mode is None:
        notes = (Reason("the port's mode can't be told, so plaintext may be refused"),)
    decision = _decision(mesh, workload, seen, _is_tcp(verdict, seen))
    outcome = decision.outcome
    if verdict.mode is None and outcome is Outcome.ALLOW:
        outcome = Outcome.INDETERMINATE
    return replace(decision, outcome=outcome, reasons=(*notes, *decision.reasons))


def _decision(mesh: Mesh, workload: Workload, request: Request, tcp: bool) -> Decision:
    """As `evaluate`; what is asked of every workload, and so names no header and no claim, is asked once."""
    policies = policies_for(mesh, workload)
    if request.headers is not None or request.claims is not None or request.metadata is not None:
        return evaluate(policies, request, tcp, mesh.settings)
    key, known = (id(policies), request, tcp), mesh.memo["decisions"]
    found = known.get(key)
    if not isinstance(found, Decision):
        known[key] = found = evaluate(policies, request, tcp, mesh.settings)
    return found


def evaluate(
    policies: Sequence[AuthorizationPolicy], request: Request, tcp: bool, settings: MeshSettings
) -> Decision:
    """What policies that hold for a workload make of a request that reaches its sidecar.

    Args:
        policies: The policies, all of which hold.
        request: What is asked.
        tcp: Whether the connection is not taken for HTTP, so that fields of HTTP can't be seen.
        settings: The mesh's settings.
    """
    request = replace(request, http=False) if tcp else request
    enforced = [policy for policy in policies if policy.readable and not policy.dry_run]
    audited = tuple(
        dict.fromkeys(
            match.policy.ref
            for match in _matches(_of(enforced, Action.AUDIT), request, tcp, settings)
            if match.answer is not Answer.NO
        )
    )
    dry_run = _tried([p for p in policies if p.readable and p.dry_run], request, tcp, settings)
    decision = _enforced(policies, enforced, request, tcp, settings)
    return replace(decision, audited=audited, dry_run=dry_run)


def _enforced(
    policies: Sequence[AuthorizationPolicy],
    enforced: Sequence[AuthorizationPolicy],
    request: Request,
    tcp: bool,
    settings: MeshSettings,
) -> Decision:
    denials = _matches(_of(enforced, Action.DENY), request, tcp, settings)
    for match in denials:
        if match.answer is Answer.YES:
            return _decided(Outcome.DENY, match, "matches, and the policy denies")
    unreadable = [policy for policy in policies if not policy.readable]
    if unreadable:
        said = "Istio can't read it and goes on without it; what was meant can't be told"
        return Decision(Outcome.INDETERMINATE, tuple(Reason(said, policy.ref) for policy in unreadable))
    allowing = _of(enforced, Action.ALLOW)
    grants = _matches(allowing, request, tcp, settings)
    granted = next((match for match in grants if match.answer is Answer.YES), None)
    perhaps = [match for match in grants if match.answer is Answer.INDETERMINATE]
    if allowing and granted is None and not perhaps:
        named = tuple(Reason(_why_not(policy, tcp, settings), policy.ref) for policy in allowing)
        return Decision(Outcome.DENY, (*named, Reason("there are ALLOW policies, and none of them matches")))
    # CUSTOM policies, also those on trial, ask an outside authorizer, which may deny.
    custom = _matches(_of([p for p in policies if p.readable], Action.CUSTOM), request, tcp, settings)
    asked = next((match for match in custom if match.answer is not Answer.NO), None)
    open_denials = [match for match in denials if match.answer is Answer.INDETERMINATE]
    if open_denials:
        return _open(open_denials, "would deny, but whether it matches is not known")
    if granted is None and perhaps:
        return _open(perhaps, "would allow, but whether it matches is not known")
    if asked is not None:
        provider = asked.policy.provider or "an outside authorizer"
        return _decided(Outcome.INDETERMINATE, asked, f"asks {provider}, whose answer is not known here")
    if granted is not None:
        return _decided(Outcome.ALLOW, granted, "matches, and the policy allows")
    return Decision(Outcome.ALLOW, (Reason("no policy denies, and there is no ALLOW policy"),))


def _of(policies: Sequence[AuthorizationPolicy], action: Action) -> list[AuthorizationPolicy]:
    return [policy for policy in policies if policy.action is action]


def _compiled(policy: AuthorizationPolicy, index: int, tcp: bool, settings: MeshSettings) -> Compiled:
    return compiled(policy, policy.rules[index], tcp, settings)


def _matches(
    policies: Sequence[AuthorizationPolicy], request: Request, tcp: bool, settings: MeshSettings
) -> list[_Match]:
    found = []
    for policy in policies:
        for index in range(len(policy.rules)):
            condition = _compiled(policy, index, tcp, settings).condition
            if condition is None:
                continue
            answer = condition.matches(request)
            unknowns = (
                tuple(dict.fromkeys(condition.unknowns(request))) if answer is Answer.INDETERMINATE else ()
            )
            found.append(_Match(policy, index, answer, unknowns))
    return sorted(found, key=lambda match: match.name)


def _decided(outcome: Outcome, match: _Match, text: str) -> Decision:
    reason = Reason(f"rule {match.index} {text}", match.policy.ref)
    return Decision(outcome, (reason,), match.policy.ref, match.index)


def _open(matches: Sequence[_Match], text: str) -> Decision:
    reasons = tuple(
        Reason(f"rule {match.index} {text}: {', '.join(match.unknowns)}", match.policy.ref)
        for match in matches
    )
    return Decision(Outcome.INDETERMINATE, reasons, matches[0].policy.ref, matches[0].index)


def _why_not(policy: AuthorizationPolicy, tcp: bool, settings: MeshSettings) -> str:
    if not policy.rules:
        return "has no rules, so it allows nothing"
    dropped = [
        f"rule {index} is dropped ({text})"
        for index in range(len(policy.rules))
        for text in _compiled(policy, index, tcp, settings).dropped
    ]
    return "does not match" + (f"; {'; '.join(dropped)}" if dropped else "")


def _tried(
    policies: Sequence[AuthorizationPolicy], request: Request, tcp: bool, settings: MeshSettings
) -> tuple[tuple[str, Outcome], ...]:
    """What each policy on trial would have done."""
    found: list[tuple[str, Outcome]] = []
    for policy in policies:
        answers = [match.answer for match in _matches([policy], request, tcp, settings)]
        matched = (
            Answer.YES
            if Answer.YES in answers
            else Answer.INDETERMINATE
            if Answer.INDETERMINATE in answers
            else Answer.NO
        )
        if policy.action in (Action.ALLOW, Action.DENY):
            outcome = Outcome.INDETERMINATE
            if matched is not Answer.INDETERMINATE:
                allows = (matched is Answer.YES) == (policy.action is Action.ALLOW)
                outcome = Outcome.ALLOW if allows else Outcome.DENY
            found.append((policy.ref, outcome))
    return tuple(found)


def _is_tcp(verdict: PortVerdict, request: Request) -> bool:
    if verdict.protocol is Protocol.HTTP:
        return False
    return verdict.protocol is Protocol.TCP or not request.http


def _refused(settings: MeshSettings, verdict: PortVerdict, request: Request) -> Reason | None:
    """Why TLS fails before any policy is asked; None if it doesn't."""
    if verdict.mode is Mode.STRICT and request.principal == "":
        return Reason("the port accepts mTLS only, and the request comes as plaintext")
    if verdict.mode is Mode.DISABLE or not request.uri or not settings.validate_trust_domain:
        return None
    domain = request.uri.removeprefix("spiffe://").partition("/")[0]
    if domain in (*settings.trust_domains, *settings.peer_trust_domains):
        return None
    return Reason(f"the sidecar refuses certificates of the trust domain {domain}, which is not the mesh's")
