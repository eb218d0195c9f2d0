"""Versions of sidecars against their control plane.

Istio supports sidecars up to two minor versions older than the control plane, and none that is newer
(https://istio.io/latest/docs/releases/supported-releases/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interlock.mesh.verdict import Answer, Reason
from interlock.mesh.workload import Workload

_TAG = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:[.-].*)?")
_SUPPORTED_MINORS = 2


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Major and minor; patches don't matter to the skew."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Skew:
    """Whether a sidecar's version goes with its control plane's; INDETERMINATE if one is not known."""

    supported: Answer
    reason: Reason


def version_of(image_or_version: str) -> Version | None:
    """The version of an image's tag, or of a version; None if it has none (a digest, `latest`, `auto`)."""
    last = image_or_version.partition("@")[0].rpartition("/")[2]
    found = _TAG.fullmatch(last.rpartition(":")[2])
    return Version(int(found[1]), int(found[2])) if found else None


def skew(workload: Workload, control_plane: str) -> Skew:
    """Whether the sidecar of a workload goes with the control plane.

    Args:
        workload: The workload.
        control_plane: The control plane's version or image.
    """
    container = workload.proxy_container
    if container is None:
        return Skew(Answer.INDETERMINATE, Reason("has no sidecar whose version could be told", workload.ref))
    ours, theirs = version_of(container.image), version_of(control_plane)
    if ours is None or theirs is None:
        unknown = (
            f"the image {container.image}" if ours is None else f"the control plane {control_plane or '?'}"
        )
        return Skew(Answer.INDETERMINATE, Reason(f"the version of {unknown} can't be told", workload.ref))
    behind = theirs.minor - ours.minor
    fine = ours.major == theirs.major and 0 <= behind <= _SUPPORTED_MINORS
    said = f"sidecar {ours}, control plane {theirs}"
    if not fine:
        said += (
            "; supported are sidecars up to two minor versions older, and none newer: restart the workload"
        )
    return Skew(Answer.of(fine), Reason(said, workload.ref))
