"""Where Prometheus is, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Self

from interlock.connections import Connection, ConnectionMissing

PORT: Final = 9090
TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class PrometheusSettings:
    """Where Prometheus is, who asks, and for how long.

    Attributes:
        address: the URL that `/api/v1` is added to.
        user: of basic authentication; empty: none.
        password: the user's, or with no user a bearer token; empty: none.
        timeout: seconds that one query may take in all, its answer included.
    """

    address: str
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = TIMEOUT_SECONDS

    @classmethod
    def of_connection(cls, found: Connection) -> Self:
        """The settings that an `http` connection describes.

        Used: host (also a whole URL, with the path of a prefix) and port (9090 for a host without a scheme);
        schema, the scheme of a host without one (`http`); login and password, for basic authentication, or
        the password alone, a bearer token; and of the extra `query_timeout`, in seconds (10), and `use_tls`.

        Raises:
            ConnectionMissing: it names no host, or a field can't be used.
        """
        told = str(found.extra.get("query_timeout") or TIMEOUT_SECONDS)
        try:
            timeout = float(told)
        except ValueError:
            timeout = 0.0
        if not 0 < timeout <= 600:
            raise ConnectionMissing(
                f"connection {found.name}: query_timeout {told!r} of its extra: expected seconds, up to 600"
            )
        if found.login and not found.password:
            raise ConnectionMissing(f"connection {found.name}: it has a login and no password")
        given = found
        if found.host and "://" not in found.host:
            scheme = found.schema or ("https" if found.is_true("use_tls", found.type == "https") else "http")
            host = f"[{found.host}]" if ":" in found.host else found.host
            given = replace(found, host=f"{scheme}://{host}", port=found.port or PORT)
        return cls(given.address(port=PORT), found.login, found.password, timeout)
