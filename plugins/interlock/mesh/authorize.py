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
from interlock.mesh.policy_index import Answers, PolicySet, PolicyTable
from interlock.mesh.request import Request
from interlock.mesh.rule_table import PolicyRule
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


def policies_for(mesh: Mesh, workload: Workload) -> tuple[AuthorizationPolicy, ...]:
    """The policies that hold for a workload: of the root namespace, then of its own, oldest first in each."""
    return mesh.policy_index.of_workload(workload).policies


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
    if not notes:
        return decision
    unsure = verdict.mode is None and decision.outcome is Outcome.ALLOW
    outcome = Outcome.INDETERMINATE if unsure else decision.outcome
    return replace(decision, outcome=outcome, reasons=(*notes, *decision.reasons))


def _decision(mesh: Mesh, workload: Workload, request: Request, tcp: bool) -> Decision:
    """What the policies say; what is asked of every workload, and so names no header and no claim, once."""
    held = mesh.policy_index.of_workload(workload).compiled(tcp)
    request = replace(request, http=False) if tcp else request
    if request.headers is not None or request.claims is not None or request.metadata is not None:
        return _decided_by(held, request)
    key, known = (id(held), request), mesh.memo["decisions"]
    found = known.get(key)
    if not isinstance(found, Decision):
        known[key] = found = _decided_by(held, request)
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
    held = PolicySet.of(policies, [PolicyTable(policies, tcp, settings)])
    return _decided_by(held, replace(request, http=False) if tcp else request)


def _decided_by(held: PolicySet, request: Request) -> Decision:
    answers = held.answers(request)
    audited = dict.fromkeys(rule.policy.ref for rule in answers.possible(Action.AUDIT))
    dry_run = tuple((policy.ref, _tried(policy.action, matched)) for policy, matched in answers.trials())
    decision = _enforced(held, answers, request)
    return replace(decision, audited=tuple(audited), dry_run=dry_run) if audited or dry_run else decision


def _enforced(held: PolicySet, answers: Answers, request: Request) -> Decision:
    denial = answers.sure(Action.DENY)
    if denial is not None:
        return _decided(Outcome.DENY, denial, "matches, and the policy denies")
    if held.unreadable:
        said = "Istio can't read it and goes on without it; what was meant can't be told"
        return Decision(Outcome.INDETERMINATE, tuple(Reason(said, policy.ref) for policy in held.unreadable))
    granted = answers.sure(Action.ALLOW)
    perhaps = [] if granted is not None else answers.perhaps(Action.ALLOW)
    if held.refusals and granted is None and not perhaps:
        return Decision(Outcome.DENY, held.refusals)
    open_denials = answers.perhaps(Action.DENY)
    if open_denials:
        return _open(open_denials, request, "would deny, but whether it matches is not known")
    if perhaps:
        return _open(perhaps, request, "would allow, but whether it matches is not known")
    # CUSTOM policies, also those on trial, ask an outside authorizer, which may deny.
    asked = next(iter(answers.possible(Action.CUSTOM)), None)
    if asked is not None:
        provider = asked.policy.provider or "an outside authorizer"
        return _decided(Outcome.INDETERMINATE, asked, f"asks {provider}, whose answer is not known here")
    if granted is not None:
        return _decided(Outcome.ALLOW, granted, "matches, and the policy allows")
    return Decision(Outcome.ALLOW, (Reason("no policy denies, and there is no ALLOW policy"),))


def _decided(outcome: Outcome, rule: PolicyRule, text: str) -> Decision:
    reason = Reason(f"rule {rule.index} {text}", rule.policy.ref)
    return Decision(outcome, (reason,), rule.policy.ref, rule.index)


def _open(rules: Sequence[PolicyRule], request: Request, text: str) -> Decision:
    reasons = tuple(
        Reason(f"rule {rule.index} {text}: {', '.join(rule.unknowns(request))}", rule.policy.ref)
        for rule in rules
    )
    return Decision(Outcome.INDETERMINATE, reasons, rules[0].policy.ref, rules[0].index)


def _tried(action: Action, matched: Answer) -> Outcome:
    """What an ALLOW or DENY policy on trial would have done."""
    if matched is Answer.INDETERMINATE:
        return Outcome.INDETERMINATE
    return Outcome.ALLOW if (matched is Answer.YES) == (action is Action.ALLOW) else Outcome.DENY


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
