"""What the probe saw, against what the mesh's objects say: where these differ, that is the finding.

What could not be told is a finding too (ILM028), for it must not pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from interlock.mesh.findings import ordered
from interlock.mesh.inbound import PortVerdict
from interlock.mesh.messages import message
from interlock.mesh.probe_plan import ProbePlan, Target
from interlock.mesh.probe_result import Certificate, Heard, Tried
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Answer, Finding

_SOON: Final = 4
"""A certificate has to be renewed before the last part of so many is all that is left of its life.

istio-agent renews at half of it (SECRET_GRACE_PERIOD_RATIO), so this leaves time for repeats.
"""
_NOTHING_THERE: Final = {
    Heard.REFUSED: "nothing listens there",
    Heard.UNREACHABLE: "it could not be reached",
    Heard.UNTRIED: "it was not tried",
    Heard.SILENT: "there was no answer to the handshake",
}
_UNTOLD: Final = Tried(Heard.UNTRIED, Heard.UNTRIED, "the probe says nothing of it", "as with plaintext")


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a port.

    Attributes:
        target: The port.
        tried: What came of the connections.
    """

    target: Target
    tried: Tried

    @property
    def mtls(self) -> Answer:
        """Whether mTLS is taken.

        A server that shows a certificate and then ends the connection without an alert has taken it: a policy
        denies the probe, or nothing listens behind the sidecar.
        """
        heard, certificate = self.tried.mtls, self.tried.certificate
        if heard.taken or (heard is Heard.CLOSED and certificate is not None):
            # The program's own TLS is no mTLS of the mesh: its certificate names nobody in it.
            spiffe = certificate is not None and any(map(_is_spiffe, certificate.identities))
            return Answer.of(spiffe)
        if heard is Heard.REJECTED:
            return Answer.NO
        if heard in (Heard.CLOSED, Heard.SILENT) and self.tried.plaintext.taken:
            return Answer.NO
        return Answer.INDETERMINATE

    @property
    def plaintext(self) -> Answer:
        """Whether plaintext is taken.

        That the connection was ended decides only if the port is not as silent to everybody, and if there is
        a sidecar that may have ended it.
        """
        heard, declared = self.tried.plaintext, self.target.declared
        if heard.taken:
            return Answer.YES
        if heard is Heard.REJECTED:
            return Answer.NO
        spoken = self.tried.mtls.taken or self.tried.mtls is Heard.REJECTED
        if heard is Heard.CLOSED and spoken and not declared.bypassed:
            return Answer.NO
        return Answer.INDETERMINATE

    def to_json(self) -> dict[str, object]:
        """The port as evidence shows it."""
        declared, tried = self.target.declared, self.tried
        shown = tried.certificate
        return {
            "pod": self.target.workload.name,
            "port": declared.port,
            "mode": str(declared.mode or ""),
            "declared_plaintext": str(declared.plaintext),
            "declared_mtls": str(declared.mtls),
            "plaintext": str(self.plaintext),
            "mtls": str(self.mtls),
            "said": f"plaintext {_heard(tried.plaintext, tried.plaintext_said)}; "
            f"mTLS {_heard(tried.mtls, tried.mtls_said)}",
            "identity": ", ".join(shown.identities) if shown else "",
            "expires": shown.until.isoformat() if shown else "",
        }


def observed(plan: ProbePlan, result: Mapping[tuple[str, int], Tried]) -> tuple[Observed, ...]:
    """What was seen of each port of a plan."""
    return tuple(Observed(target, result.get(target.where, _UNTOLD)) for target in plan.targets)


def observed_findings(
    seen: tuple[Observed, ...], plan: ProbePlan, settings: MeshSettings, now: datetime
) -> tuple[Finding, ...]:
    """Where what was seen differs from what is declared, and what could not be told; the worst first.

    Args:
        seen: What was seen of the plan's ports.
        plan: What was to be tried, and what was not.
        settings: The mesh's settings, for the identities that it gives.
        now: The time, for certificates.
    """
    found = [finding for one in seen for finding in _of_port(one, settings, now)]
    for target in plan.left_out:
        why = f"it was left out, for at most {len(plan.targets)} ports are tried"
        found.append(message("ILM028", target.workload.ref, target.declared.port, why))
    for target in plan.waiting:
        found.append(message("ILM028", target.workload.ref, target.declared.port, "its pod does not run yet"))
    return ordered(found)


def _of_port(one: Observed, settings: MeshSettings, now: datetime) -> Iterator[Finding]:
    declared, tried, ref = one.target.declared, one.tried, one.target.workload.ref
    port, why = declared.port, _why(declared)
    untold: list[str] = []
    plaintext = f"{_heard(tried.plaintext, tried.plaintext_said)}, though {why}"
    match declared.plaintext, one.plaintext:
        case Answer.INDETERMINATE, _:
            untold.append(f"the objects don't decide what it should do: {why}")
        case _, Answer.INDETERMINATE:
            untold.append(f"plaintext: {_untold(one, tried.plaintext, tried.plaintext_said)}")
        case Answer.NO, Answer.YES:
            yield message("ILM020", ref, port, plaintext)
        case Answer.YES, Answer.NO:
            yield message("ILM021", ref, port, plaintext)
    mtls = f"{_heard(tried.mtls, tried.mtls_said)}, though {why}"
    match declared.mtls, one.mtls:
        case Answer.INDETERMINATE, _:
            pass  # Said above: the objects decide on both or on none.
        case _, Answer.INDETERMINATE:
            untold.append(f"mTLS: {_untold(one, tried.mtls, tried.mtls_said)}")
        case Answer.YES, Answer.NO:
            yield message("ILM022", ref, port, mtls)
        case Answer.NO, Answer.YES:
            yield message("ILM023", ref, port, mtls)
    if untold:
        yield message("ILM028", ref, port, "; ".join(untold))
    if tried.certificate is not None and Answer.YES in (declared.mtls, one.mtls):
        yield from _of_certificate(one, tried.certificate, settings, now)


def _of_certificate(
    one: Observed, shown: Certificate, settings: MeshSettings, now: datetime
) -> Iterator[Finding]:
    workload, port = one.target.workload, one.target.declared.port
    expected = [f"spiffe://{workload.principal(domain)}" for domain in settings.trust_domains]
    if len(shown.identities) != 1 or shown.identities[0] not in expected:
        named = ", ".join(shown.identities) or "nobody in the mesh"
        yield message("ILM024", workload.ref, port, named, " or ".join(expected))
    expires = f"{shown.until:%Y-%m-%d %H:%M} UTC"
    if shown.until <= now:
        yield message("ILM026", workload.ref, port, expires)
        return
    if one.tried.untrusted:
        yield message("ILM025", workload.ref, port, one.tried.untrusted)
    if shown.until - now < (shown.until - shown.since) / _SOON:
        yield message("ILM027", workload.ref, port, expires)


def _why(declared: PortVerdict) -> str:
    return "; ".join(map(str, declared.reasons[-2:])) or "nothing is said of it"


def _heard(heard: Heard, said: str) -> str:
    return f"{heard} ({said})" if said else str(heard)


def _untold(one: Observed, heard: Heard, said: str) -> str:
    if heard in _NOTHING_THERE:
        return f"{_NOTHING_THERE[heard]}{f' ({said})' if said else ''}"
    if one.target.declared.bypassed:
        return "the connection was ended; no sidecar stands before it, so its program may have done it"
    return (
        "the connection was ended, as was that of mTLS: a policy that denies the probe's identity, and a "
        "program that doesn't listen, look like this"
    )


def _is_spiffe(identity: str) -> bool:
    return identity.startswith("spiffe://")
