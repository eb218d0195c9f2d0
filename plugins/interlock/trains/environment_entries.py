"""The entries of `include/environments.yaml`, as a person writes them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from interlock.mesh.gate import LEAST_WINDOW
from interlock.mesh.messages import MESSAGES
from interlock.mesh_probe import MAX_TARGETS
from interlock.trains.files import Connection, Deadline, File, Label, duration, expected, text

_IMAGE_TEXT = "an image such as registry.internal/interlock:1.0.0"


def _finding_code(value: object) -> str:
    if not isinstance(value, str) or value not in MESSAGES:
        raise expected("the code of a finding, such as ILM009; docs/mesh.md lists them")
    return value


def _probe_limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TARGETS:
        raise expected(f"a number of ports from 1 to {MAX_TARGETS}")
    return value


def _window(value: object) -> float:
    if (found := duration(value).total_seconds()) < LEAST_WINDOW:
        raise expected(f"a duration of at least {LEAST_WINDOW:.0f}s")
    return found


FindingCode = Annotated[str, PlainValidator(_finding_code)]


class EvidenceEntry(File):
    """Where evidence goes, and whether a train starts without it."""

    mode: Literal["require", "spool"] = "require"
    store: Connection = "interlock_evidence"


class ProbeEntry(File):
    """How the ports of an environment's services are tried."""

    image: Annotated[str, PlainValidator(text(re.compile(r"\S+"), _IMAGE_TEXT))]
    service_account: Label = "interlock-probe"
    limit: Annotated[int, PlainValidator(_probe_limit)] = 128


class TrafficEntry(File):
    """Whose metrics are compared with what the policies say."""

    prometheus: Connection = "interlock_prometheus"
    window: Annotated[float, PlainValidator(_window)] = Field(default="5m", validate_default=True)


class MeshEntry(File):
    """What the mesh gate asks of an environment's services."""

    root_namespace: Label = "istio-system"
    fail_on: Literal["Error", "Warning", "Info"] = "Warning"
    allow: list[FindingCode] = []
    kiali: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    probe: ProbeEntry | None = None
    traffic: TrafficEntry | None = None


class EnvironmentEntry(File):
    """One environment."""

    kubernetes: Connection
    namespace: Label
    journal_namespace: Label = "interlock"
    vault: Connection = "interlock_vault"
    evidence: EvidenceEntry = EvidenceEntry()
    mesh: MeshEntry | None = None
    checked_within: Deadline | None = None


class EnvironmentsFile(File):
    """`include/environments.yaml`."""

    environments: dict[Label, EnvironmentEntry] = Field(min_length=1)
