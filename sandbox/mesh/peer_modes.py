"""Which mTLS mode the inbound ports of a pod have: PeerAuthentication of mesh, namespace and workload.

As `ComposePeerAuthentication` of Istio, pilot/pkg/security/authn: the oldest policy of each scope counts,
as a whole, and a narrower scope wins where it sets a mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sandbox.mesh.objects import ROOT_NAMESPACE, Raw, labels, namespace, selects

Mode = Literal["STRICT", "PERMISSIVE", "DISABLE"]


@dataclass(frozen=True)
class Modes:
    """The mode of a pod, and of its ports that have one of their own."""

    whole: Mode
    by_port: Mapping[int, Mode]

    def of(self, port: int, *, declared: bool = True) -> Mode:
        """The mode of a port; an entry for port 0 is for all that no Service declares."""
        if port not in self.by_port and not declared:
            port = 0
        return self.by_port.get(port, self.whole)


def modes(policies: Sequence[Raw], pod: Raw) -> Modes:
    """The modes of a pod.

    Args:
        policies: All PeerAuthentications, oldest first.
        pod: The pod.
    """
    mesh = _oldest(p for p in policies if namespace(p) == ROOT_NAMESPACE and not _selector(p))
    own = [p for p in policies if namespace(p) == namespace(pod) != ROOT_NAMESPACE]
    wide = _oldest(p for p in own if not _selector(p))
    narrow = _oldest(p for p in own if _selector(p) and selects(_selector(p), labels(pod)))
    whole = _mode(mesh.get("mtls"), "PERMISSIVE")
    for spec in (wide, narrow):
        whole = _mode(spec.get("mtls"), whole)
    by_port = {int(port): _mode(mtls, whole) for port, mtls in (narrow.get("portLevelMtls") or {}).items()}
    return Modes(whole, by_port)


def namespace_mode(policies: Sequence[Raw], of: str) -> Mode:
    """The mode of a namespace, from the policies without a selector alone."""
    mode: Mode = "PERMISSIVE"
    for scope in dict.fromkeys((ROOT_NAMESPACE, of)):
        spec = _oldest(p for p in policies if namespace(p) == scope and not _selector(p))
        mode = _mode(spec.get("mtls"), mode)
    return mode


def _oldest(policies: Iterable[Raw]) -> Raw:
    for policy in policies:
        return cast(Raw, policy.get("spec") or {})
    return {}


def _selector(policy: Raw) -> Mapping[str, str]:
    return ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _mode(mtls: object, inherited: Mode) -> Mode:
    given = cast(Raw, mtls or {}).get("mode")
    return cast(Mode, given) if given not in (None, "UNSET") else inherited
