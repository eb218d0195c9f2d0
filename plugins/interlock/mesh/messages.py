"""The codes of findings: Istio's own (pkg/config/analysis/msg/messages.yaml), and ours, `ILM…`."""

from __future__ import annotations

from interlock.mesh.verdict import Finding, Severity

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

MESSAGES: dict[str, tuple[str, Severity, str]] = {
    "IST0101": ("ReferencedResourceNotFound", _ERROR, "Referenced {} not found: {!r}"),
    "IST0102": (
        "NamespaceNotInjected",
        _INFO,
        "The namespace is not enabled for Istio injection. Run 'kubectl label namespace {0} "
        "istio-injection=enabled' to enable it, or 'kubectl label namespace {0} istio-injection=disabled' to "
        "explicitly mark it as not needing injection.",
    ),
    "IST0103": (
        "PodMissingProxy",
        _WARNING,
        "The pod {} is missing the Istio proxy. This can often be resolved by restarting or redeploying the "
        "workload.",
    ),
    "IST0106": ("SchemaValidationError", _ERROR, "Schema validation error: {}"),
    "IST0107": ("MisplacedAnnotation", _WARNING, "Misplaced annotation: {} can only be applied to {}"),
    "IST0108": ("UnknownAnnotation", _WARNING, "Unknown annotation: {}"),
    "IST0110": (
        "ConflictingSidecarWorkloadSelectors",
        _ERROR,
        "The Sidecars {} in namespace {!r} select the same workload pod {!r}, which can lead to undefined "
        "behavior.",
    ),
    "IST0111": (
        "MultipleSidecarsWithoutWorkloadSelectors",
        _ERROR,
        "The Sidecars {} in namespace {!r} have no workload selector, which can lead to undefined behavior.",
    ),
    "IST0118": (
        "PortNameIsNotUnderNamingConvention",
        _INFO,
        "Port name {} (port: {}, targetPort: {}) doesn't follow the naming convention of Istio port.",
    ),
    "IST0123": (
        "NamespaceMultipleInjectionLabels",
        _WARNING,
        "The namespace has more than one type of injection labels {}, which may lead to undefined behavior. "
        "Make sure only one injection label exists.",
    ),
    "IST0125": ("InvalidAnnotation", _WARNING, "Invalid annotation {}: {}"),
    "IST0127": (
        "NoMatchingWorkloadsFound",
        _WARNING,
        "No matching workloads for this resource with the following labels: {}",
    ),
    "IST0128": (
        "NoServerCertificateVerificationDestinationLevel",
        _WARNING,
        "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are set to validate "
        "server identity for host: {}",
    ),
    "IST0129": (
        "NoServerCertificateVerificationPortLevel",
        _WARNING,
        "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are set to validate "
        "server identity for host: {} at port {}",
    ),
    "IST0133": ("SchemaWarning", _WARNING, "Schema validation warning: {}"),
    "IST0144": ("InvalidApplicationUID", _WARNING, "User ID (UID) 1337 is reserved for the sidecar proxy."),
    "IST0146": (
        "ImageAutoWithoutInjectionWarning",
        _WARNING,
        "{} {} contains `image: auto` but does not match any Istio injection webhook selectors.",
    ),
    "IST0147": (
        "ImageAutoWithoutInjectionError",
        _ERROR,
        "{} {} contains `image: auto` but does not match any Istio injection webhook selectors.",
    ),
    "IST0148": (
        "NamespaceInjectionEnabledByDefault",
        _INFO,
        "is enabled for Istio injection, as Istio is installed with enableNamespacesByDefault as true.",
    ),
    "IST0150": (
        "ExternalNameServiceTypeInvalidPortName",
        _WARNING,
        "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched "
        "traffic for ports serving TCP protocol from being forwarded correctly",
    ),
    "IST0158": (
        "PodsIstioProxyImageMismatchInNamespace",
        _WARNING,
        "The Istio proxy images of the pods running in the namespace do not match the image defined in the "
        "injection configuration (pod names: {}). This often happens after upgrading the Istio control-plane "
        "and can be fixed by redeploying the pods.",
    ),
    "IST0166": (
        "IneffectiveSelector",
        _WARNING,
        "Ineffective selector on Kubernetes Gateway {}. Use the TargetRef field instead.",
    ),
    "IST0167": ("IneffectivePolicy", _WARNING, "The policy has no impact: {}."),
    "IST0173": (
        "DestinationRuleSubsetNotSelectPods",
        _ERROR,
        "The Subset {} defined in the DestinationRule does not select any pods. Which may lead to 503 UH "
        "(NoHealthyUpstream).",
    ),
    "IST0174": (
        "UnknownDestinationRuleHost",
        _WARNING,
        "The host {} defined in the DestinationRule does not match any services in the mesh.",
    ),
    "ILM001": ("PlaintextAccepted", _WARNING, "Port {} accepts plaintext: {}"),
    "ILM002": ("SidecarBypassed", _ERROR, "Connections to port {} don't pass the sidecar: {}"),
    "ILM003": ("NotJudged", _WARNING, "What this workload accepts can't be told: {}"),
    "ILM004": ("ShadowedPolicy", _WARNING, "The policy is never used: {} is older and has the same scope."),
    "ILM005": ("ClientSendsPlaintext", _WARNING, "Clients of {} send plaintext: {}"),
    "ILM006": ("ClientAndServerDisagree", _ERROR, "Calls to {} fail: {}"),
    "ILM007": ("RuleDropped", _ERROR, "Istio drops {} of rule {}: {}"),
    "ILM008": (
        "TokensNotValidated",
        _WARNING,
        "Rule {} asks for a token, but no RequestAuthentication validates one: {}",
    ),
    "ILM009": ("OpenToAll", _WARNING, "Everybody may send everything to port {}, without an identity."),
    "ILM010": ("SidecarVersionSkew", _WARNING, "{}"),
    "ILM011": ("NotMonitored", _INFO, "Prometheus does not scrape its mesh metrics: {}"),
    "ILM012": (
        "PlaintextObserved",
        _ERROR,
        "{} requests came in plaintext in {}, from {}, though no policy lets them in: {}. If a policy "
        "changed within that time, look again after it; else the sidecar does not do what it is told.",
    ),
    "ILM013": ("NoTrafficObserved", _INFO, "Its sidecar is scraped, and no request was seen in {}."),
    "ILM014": ("TrafficNotSeen", _ERROR, "What traffic there is can't be told: {}"),
    "ILM020": ("PlaintextAcceptedInFact", _ERROR, "Port {} took plaintext, and should not: {}"),
    "ILM021": ("PlaintextRefusedInFact", _WARNING, "Port {} took no plaintext, and should: {}"),
    "ILM022": ("MtlsRefusedInFact", _ERROR, "Port {} took no mTLS, and should: {}"),
    "ILM023": ("MtlsAcceptedInFact", _WARNING, "Port {} took mTLS, and should not: {}"),
    "ILM024": ("AnotherIdentity", _ERROR, "Port {} showed the certificate of {}, expected {}"),
    "ILM025": ("CertificateNotTrusted", _ERROR, "The certificate of port {} does not verify: {}"),
    "ILM026": ("CertificateExpired", _ERROR, "The certificate of port {} expired on {}"),
    "ILM027": (
        "CertificateExpiresSoon",
        _WARNING,
        "The certificate of port {} expires on {}; it should have been renewed: less than a quarter of its "
        "life is left",
    ),
    "ILM028": ("NotTried", _WARNING, "Port {} was declared, but what it does could not be told: {}"),
}
"""Code → name, severity, template."""


def message(code: str, ref: str, *parts: object) -> Finding:
    """The finding of a code about an object; the parts fill the code's template."""
    name, severity, template = MESSAGES[code]
    return Finding(code, name, severity, ref, template.format(*parts))
