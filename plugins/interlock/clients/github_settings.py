"""Where GitHub's API is, and who asks."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final, Self

from interlock.connections import Connection, ConnectionMissing

PUBLIC: Final = "https://api.github.com"
_PUBLIC_HOSTS: Final = ("", "github.com", "www.github.com", "api.github.com")
TIMEOUT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 45.0


@dataclass(frozen=True)
class GithubSettings:
    """Where the API is, who asks, and how long a check may wait.

    Attributes:
        address: the REST API's URL, without a slash at its end.
        token: any of GitHub's tokens.
        timeout: seconds for connecting, and again for each read.
        patience: seconds that a client spends on waiting and on failing requests, in all.
    """

    address: str
    token: str = field(repr=False)
    timeout: float = TIMEOUT_SECONDS
    patience: float = PATIENCE_SECONDS

    @classmethod
    def of_connection(cls, found: Connection) -> Self:
        """The settings that a `github` or `http` connection describes.

        Used: password, the token; host: empty for github.com, or the address of GitHub Enterprise, with or
        without scheme and API path; port; schema, the scheme of a host without one (`https`).

        Raises:
            ConnectionMissing: it has no token, one that can't be sent, or would send it in the clear.
        """
        token = found.token()
        if not token:
            raise ConnectionMissing(f"connection {found.name}: it has no password, which is GitHub's token")
        return cls(_address(found), token)


def _address(found: Connection) -> str:
    given = found.host if "://" in found.host else f"{found.schema or 'https'}://{found.host}"
    parts = found.split(given)
    host, port = parts.hostname or "", parts.port or found.port
    if host in _PUBLIC_HOSTS:
        return PUBLIC
    if parts.scheme != "https" and not _is_loopback(host):
        raise ConnectionMissing(
            f"connection {found.name}: {parts.scheme}:// would send the token in the clear: use https://"
        )
    place = f"[{host}]" if ":" in host else host
    end = f":{port}" if port else ""
    path = parts.path.rstrip("/")
    if host.endswith(".ghe.com"):
        # Enterprise Cloud with data residency has its API at a host of its own.
        place = place if host.startswith("api.") else f"api.{place}"
        return f"https://{place}{end}{path}"
    return f"{parts.scheme}://{place}{end}{path or '/api/v3'}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
