"""ServiceEntry: hosts that no Service declares, as far as clients' TLS to them goes.

Follows `convertServices`, `convertServiceEntryToInstances` and `getTLSModeFromWorkloadEntry` of
pilot/pkg/serviceregistry/serviceentry/conversion.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from interlock.mesh.reading import Problem, items, labels, mapping, number, path, text, texts
from interlock.mesh.service import visible

_TLS_MODE = "security.istio.io/tlsMode"


class Resolution(StrEnum):
    """How a sidecar finds the endpoints of a host; INVALID is a way that Istio can't read."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"
    INVALID = "INVALID"


_LOCATIONS: dict[object, bool] = {
    None: True,
    "MESH_EXTERNAL": True,
    "MESH_INTERNAL": False,
    0: True,
    1: False,
}
_NAMED = tuple(way for way in Resolution if way is not Resolution.INVALID)
_RESOLUTIONS: dict[object, Resolution] = {
    None: Resolution.NONE,
    **{way.value: way for way in _NAMED},
    **dict(enumerate(_NAMED)),
}


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """One ServiceEntry. Build it with `of`.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        hosts: The hosts it declares; may begin with `*`.
        ports: The numbers of its ports.
        external: Whether its hosts are outside of the mesh (`MESH_EXTERNAL`, the default).
        resolution: How endpoints are found.
        tls_modes: The label `security.istio.io/tlsMode` of each endpoint it lists; without the label it is
            `istio` where a service account is given, else `disabled`.
        selecting: Whether it selects pods and WorkloadEntries as endpoints.
        export_to: The namespaces that see it; empty is all.
        problems: What is wrong with it.
    """

    namespace: str
    name: str
    hosts: tuple[str, ...]
    ports: frozenset[int]
    external: bool
    resolution: Resolution
    tls_modes: tuple[str, ...]
    selecting: bool
    export_to: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> ServiceEntry:
        """The ServiceEntry of its JSON; what can't be read is among its problems."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        problems: list[Problem] = []
        location, way = spec.get("location"), spec.get("resolution")
        external = _LOCATIONS.get(location) if _is_name(location) else None
        if external is None:
            said = f"found {location!r}, expected MESH_EXTERNAL or MESH_INTERNAL"
            problems.append(Problem("spec.location", said, undecodable=True))
        resolution = _RESOLUTIONS.get(way, Resolution.INVALID) if _is_name(way) else Resolution.INVALID
        if resolution is Resolution.INVALID:
            said = f"found {way!r}, expected NONE, STATIC, DNS, DNS_ROUND_ROBIN or DYNAMIC_DNS"
            problems.append(Problem("spec.resolution", said, undecodable=True))
        numbers = (number(path(port, "number")) for port in items(spec.get("ports")))
        return cls(
            namespace=text(metadata.get("namespace")) or "default",
            name=text(metadata.get("name")),
            hosts=texts(spec.get("hosts")),
            ports=frozenset(found for found in numbers if found is not None),
            external=external is not False,
            resolution=resolution,
            tls_modes=tuple(_tls_mode(mapping(entry)) for entry in items(spec.get("endpoints"))),
            selecting=isinstance(spec.get("workloadSelector"), Mapping),
            export_to=texts(spec.get("exportTo")),
            problems=tuple(problems),
        )

    @property
    def ref(self) -> str:
        """`ServiceEntry payments/bank`."""
        return f"ServiceEntry {self.namespace}/{self.name}"

    def visible_to(self, namespace: str) -> bool:
        """Whether clients of the namespace know its hosts."""
        return visible(self.export_to, self.namespace, namespace)


def _is_name(value: object) -> bool:
    """Whether an enum may be written so: as text, as a number, or not at all."""
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _tls_mode(endpoint: Mapping[str, object]) -> str:
    given = labels(endpoint.get("labels")).get(_TLS_MODE)
    if given is not None:
        return given
    return "istio" if text(endpoint.get("serviceAccount")) else "disabled"
