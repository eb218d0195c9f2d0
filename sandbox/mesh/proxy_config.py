"""What a pod says of its own sidecar in the annotation `proxy.istio.io/config`, in Istio's words.

Of ProxyConfig, the fields that mean something here: `holdApplicationUntilProxyStarts`, and of `proxyMetadata`
SECRET_TTL (how long a certificate lives) and OUTPUT_CERTS (the folder where certificates are left).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import yaml

from sandbox.mesh.authority import LIFETIME
from sandbox.mesh.objects import Raw

ANNOTATION = "proxy.istio.io/config"
_DURATION = re.compile(r"(\d+)(h|m|s)")
_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}


class ProxyConfigError(ValueError):
    """The annotation can't be understood."""


@dataclass(frozen=True)
class ProxyConfig:
    """What a pod wants of its sidecar.

    Attributes:
        hold_application: Whether the other containers start only when the sidecar is ready.
        lifetime: Of the sidecar's certificates.
        output: Where in the sidecar's container certificates are left as files; empty for nowhere.
    """

    hold_application: bool = False
    lifetime: timedelta = LIFETIME
    output: str = ""

    @classmethod
    def of(cls, pod: Raw) -> ProxyConfig:
        """Read a pod's annotation; raises ProxyConfigError."""
        text = (pod["metadata"].get("annotations") or {}).get(ANNOTATION, "")
        try:
            given = yaml.safe_load(text) or {}
            metadata = given.get("proxyMetadata") or {}
            lifetime = metadata.get("SECRET_TTL")
            return cls(
                hold_application=given.get("holdApplicationUntilProxyStarts") is True,
                lifetime=LIFETIME if lifetime is None else _duration(str(lifetime)),
                output=str(metadata.get("OUTPUT_CERTS") or ""),
            )
        except (yaml.YAMLError, AttributeError) as error:
            raise ProxyConfigError(f"annotation {ANNOTATION}: expected YAML of a ProxyConfig") from error


def _duration(text: str) -> timedelta:
    """The time that Go's notation says: `24h`, `1h30m`, `10s`."""
    wrong = ProxyConfigError(f"annotation {ANNOTATION}: SECRET_TTL {text!r}: expected a duration such as 1h")
    parts = _DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise wrong
    try:
        return timedelta(**{_UNITS[unit]: int(number) for number, unit in parts})
    except OverflowError:
        raise wrong from None
