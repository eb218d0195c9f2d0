"""What an Airflow connection says, as plain values; also read from `AIRFLOW_CONN_…`, without Airflow.

The settings of each client are made of these values, in one place: `of_connection` beside the settings. A
hook gives Airflow's connection (`of_airflow`), the command line the environment's (`connection`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


class ConnectionMissing(ValueError):
    """A connection isn't there or can't be used; the message says what to set."""


class ConnectionAbsent(ConnectionMissing):
    """Nobody has set up this connection."""


@dataclass(frozen=True)
class Connection:
    """One connection, as Airflow names its parts; what isn't set is empty."""

    name: str
    type: str = ""
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def is_true(self, key: str, default: bool = False) -> bool:
        """Whether a key of the extra says yes, as JSON or as text; `default` where it isn't there."""
        value = self.extra.get(key)
        return default if value is None else str(value).strip().lower() in ("true", "1", "yes")

    def token(self) -> str:
        """The password as a token, without the line break that came along with it; empty: there is none.

        Raises:
            ConnectionMissing: no header can carry it. Libraries would quote it in their errors.
        """
        token = self.password.strip()
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise ConnectionMissing(
                f"connection {self.name}: its password is no token: it has a space, a line break or a letter "
                "that no token has"
            )
        return token

    def split(self, url: str) -> SplitResult:
        """The parts of a URL.

        Raises:
            ConnectionMissing: it is none.
        """
        try:
            parts = urlsplit(url)
            _ = parts.port  # it is read when it is asked for
        except ValueError:
            raise ConnectionMissing(
                f"connection {self.name}: its host is no address: check its port and brackets"
            ) from None
        return parts

    def address(self, *, port: int) -> str:
        """The server's URL; TLS by the host's scheme, else by `use_tls`, else by the type (such as `vaults`).

        Args:
            port: the one of a host without a scheme and without a port.

        Raises:
            ConnectionMissing: it names no host, or one that is no address.
        """
        tls = self.is_true("use_tls", default=self.type in ("vaults", "https"))
        scheme, host, path = "https" if tls else "http", self.host, ""
        found = self.port or port
        if "://" in host:
            parts = self.split(host)
            scheme = {"vault": "http", "vaults": "https"}.get(parts.scheme, parts.scheme)
            host, found, path = parts.hostname or "", parts.port or self.port or 0, parts.path.rstrip("/")
        if not host:
            raise ConnectionMissing(f"connection {self.name}: it names no host")
        return f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{found}' if found else ''}{path}"


class AirflowConnection(Protocol):
    """What is read of Airflow's own connection."""

    conn_id: str
    conn_type: str | None
    host: str | None
    port: int | None
    login: str | None
    password: str | None
    schema: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extra, decoded."""


def of_airflow(found: AirflowConnection) -> Connection:
    """Airflow's connection as plain values."""
    return Connection(
        found.conn_id,
        type=found.conn_type or "",
        host=found.host or "",
        port=found.port,
        login=found.login or "",
        password=found.password or "",
        schema=found.schema or "",
        extra=found.extra_dejson,
    )


def variable(name: str) -> str:
    """The environment variable that holds a connection."""
    return f"AIRFLOW_CONN_{name.upper()}"


def connection(name: str, variables: Mapping[str, str] | None = None) -> Connection:
    """Read a connection from the environment, in both forms that Airflow documents: JSON and URI.

    Raises:
        ConnectionMissing: it isn't set, or is neither JSON nor a URI.
    """
    where = variable(name)
    text = (os.environ if variables is None else variables).get(where, "").strip()
    if not text:
        raise ConnectionAbsent(f"connection {name}: the environment variable {where} is not set")
    try:
        return _from_json(name, json.loads(text)) if text.startswith("{") else _from_uri(name, text)
    except (ValueError, TypeError, AttributeError):
        # The text holds credentials: it is not shown.
        raise ConnectionMissing(
            f"connection {name}: {where} is neither a JSON object nor a URI of a connection"
        ) from None


def _from_json(name: str, told: Mapping[str, Any]) -> Connection:
    extra = told.get("extra") or {}
    return Connection(
        name,
        type=_type(told.get("conn_type") or ""),
        host=told.get("host") or "",
        port=int(told["port"]) if told.get("port") else None,
        login=told.get("login") or "",
        password=told.get("password") or "",
        schema=told.get("schema") or "",
        extra=dict(json.loads(extra) if isinstance(extra, str) else extra),
    )


def _from_uri(name: str, text: str) -> Connection:
    """Read `TYPE://…`; as in Airflow, a second scheme (`TYPE://https://…`) belongs to the host."""
    kind, _, rest = text.partition("://")
    if not kind or not rest:
        raise ValueError("no scheme")
    parts = urlsplit(rest if "://" in rest.partition("?")[0] else f"//{rest}")
    host = unquote(parts.hostname or "")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = json.loads(query["__extra__"]) if "__extra__" in query else query
    return Connection(
        name,
        type=_type(kind),
        host=f"{parts.scheme}://{host}" if parts.scheme and host else host,
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=unquote(parts.path.removeprefix("/")),
        extra=dict(extra),
    )


def _type(kind: str) -> str:
    return kind.replace("-", "_")
