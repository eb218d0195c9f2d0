"""What of a mesh's configuration decides its security: parts of MeshConfig and of the injector's values.

The defaults are Istio's own (pkg/config/mesh/mesh.go, the chart istio-discovery).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import yaml

from interlock.mesh.label_selector import LabelSelector
from interlock.mesh.reading import items, mapping, path, text, texts


class PathNormalization(StrEnum):
    """How a sidecar rewrites a path before policies see it (`meshConfig.pathNormalization`)."""

    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """The settings of one mesh.

    Attributes:
        root_namespace: Policies of this namespace hold for the whole mesh.
        trust_domain: The first part of the identities that the mesh's CA signs.
        trust_domain_aliases: Trust domains whose identities count as the mesh's own.
        peer_trust_domains: Further trust domains whose certificates the sidecars accept (`caCertificates`).
        validate_trust_domain: Whether sidecars refuse certificates of other trust domains; istiod's
            `PILOT_SKIP_VALIDATE_TRUST_DOMAIN` turns it off.
        cluster_domain: What completes a service's short name.
        auto_mtls: Whether clients use mTLS by themselves where the server has a sidecar.
        path_normalization: How paths are rewritten before they are matched.
        registry_only: Whether a client may only call what the mesh knows (`outboundTrafficPolicy`).
        include_inbound_ports: Which ports a sidecar captures unless its pod says otherwise; `*` is all.
        exclude_inbound_ports: Which ports it doesn't, unless its pod says otherwise.
        status_port: The sidecar's status port, which the injector adds to the excluded ones.
        inject_by_default: Whether the injector enables namespaces without labels
            (`sidecarInjectorWebhook.enableNamespacesByDefault`).
        inject_policy_enabled: The injector's `policy: enabled`.
        never_inject: Label selectors of pods that the injector leaves out unless they ask for a sidecar.
        always_inject: Label selectors of pods that it injects where its policy is disabled.
        revisions: Revisions and tags whose injector is installed; `default` is the one without a name.
        proxy_image: The image that the injector gives to sidecars; empty if not known.
        prometheus_merge: Whether the injector annotates pods for scraping (`enablePrometheusMerge`).
    """

    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    peer_trust_domains: tuple[str, ...] = ()
    validate_trust_domain: bool = True
    cluster_domain: str = "cluster.local"
    auto_mtls: bool = True
    path_normalization: PathNormalization = PathNormalization.BASE
    registry_only: bool = False
    include_inbound_ports: str = "*"
    exclude_inbound_ports: str = ""
    status_port: int = 15020
    inject_by_default: bool = False
    inject_policy_enabled: bool = True
    revisions: tuple[str, ...] = ("default",)
    proxy_image: str = ""
    prometheus_merge: bool = True
    never_inject: tuple[LabelSelector, ...] = ()
    always_inject: tuple[LabelSelector, ...] = ()

    @classmethod
    def of(
        cls, mesh_config: Mapping[str, object], values: Mapping[str, object] | None = None
    ) -> MeshSettings:
        """The settings of a MeshConfig and of the injector's values (`values` of its ConfigMap), parsed.

        What is absent has Istio's default; a path normalization that doesn't exist, too.
        """
        given = mapping(mesh_config)
        injector = mapping(values)
        proxy = mapping(path(injector, "global", "proxy"))
        normalization = text(path(given, "pathNormalization", "normalization"))
        known = normalization in PathNormalization.__members__
        return cls(
            root_namespace=text(given.get("rootNamespace")) or "istio-system",
            trust_domain=text(given.get("trustDomain")) or "cluster.local",
            trust_domain_aliases=texts(given.get("trustDomainAliases")),
            peer_trust_domains=tuple(
                domain
                for certificate in items(given.get("caCertificates"))
                for domain in texts(mapping(certificate).get("trustDomains"))
            ),
            auto_mtls=given.get("enableAutoMtls") is not False,
            path_normalization=PathNormalization(normalization) if known else PathNormalization.BASE,
            registry_only=path(given, "outboundTrafficPolicy", "mode") == "REGISTRY_ONLY",
            include_inbound_ports=_text_or(proxy.get("includeInboundPorts"), "*"),
            exclude_inbound_ports=_text_or(proxy.get("excludeInboundPorts"), ""),
            inject_by_default=path(injector, "sidecarInjectorWebhook", "enableNamespacesByDefault") is True,
            inject_policy_enabled=proxy.get("autoInject") in (None, "", "enabled"),
            never_inject=_selectors(path(injector, "sidecarInjectorWebhook", "neverInjectSelector")),
            always_inject=_selectors(path(injector, "sidecarInjectorWebhook", "alwaysInjectSelector")),
            revisions=tuple(
                dict.fromkeys(
                    (text(injector.get("revision")) or "default", *texts(injector.get("revisionTags")))
                )
            ),
            proxy_image=_image(mapping(injector.get("global"))),
            prometheus_merge=given.get("enablePrometheusMerge") is not False,
        )

    @classmethod
    def of_config_map(cls, config_map: Mapping[str, object]) -> MeshSettings:
        """The settings of the ConfigMap `istio`, whose `data.mesh` is a MeshConfig as YAML.

        Raises:
            ValueError: The ConfigMap has no `data.mesh`, or it isn't YAML.
        """
        mesh = path(config_map, "data", "mesh")
        if not isinstance(mesh, str):
            raise ValueError("the mesh's ConfigMap needs data.mesh, a MeshConfig as YAML; found none")
        try:
            return cls.of(mapping(yaml.safe_load(mesh)))
        except yaml.YAMLError as error:
            raise ValueError(f"data.mesh of the mesh's ConfigMap is not YAML: {error}") from error

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """The mesh's own trust domain, then its aliases."""
        return (self.trust_domain, *self.trust_domain_aliases)


def _selectors(value: object) -> tuple[LabelSelector, ...]:
    return tuple(map(LabelSelector.of, items(value)))


def _text_or(value: object, default: str) -> str:
    return value if isinstance(value, str) else default


def _image(values: Mapping[str, object]) -> str:
    """As `GetIstioProxyImage` of pkg/config/analysis/analyzers/injection/injection-image.go."""
    image = text(path(values, "proxy", "image"))
    if "/" in image:
        return image
    hub, tag = text(values.get("hub")), values.get("tag")
    return f"{hub}/{image or 'proxyv2'}:{tag}" if hub and tag else ""
