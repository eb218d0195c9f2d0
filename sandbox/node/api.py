"""The few calls to the Kubernetes API that the agent needs, as JSON over httpx.

lightkube reads the kubeconfig and makes the TLS context from it; the requests are our own.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from lightkube import KubeConfig
from lightkube.config.client_adapter import verify_cluster

MERGE_PATCH = "application/merge-patch+json"
# Bookmarks come about once a minute, so a watch that is silent for longer has lost its server.
_WATCH_SILENCE = 100.0


class ApiError(Exception):
    """The API server answered with an error status.

    Attributes:
        code: The HTTP status.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """One connection pool to the API server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Api:
        """Build from a kubeconfig's current context."""
        config = KubeConfig.from_file(str(path)).get()
        if config is None or config.user is None:
            raise ValueError(f"{path}: no current context with a user")
        verify: ssl.SSLContext | bool = verify_cluster(
            config.cluster, config.user, config.abs_file, trust_env=False
        )
        headers = {"Authorization": f"Bearer {config.user.token}"} if config.user.token else {}
        return cls(
            httpx.AsyncClient(
                base_url=str(config.cluster.server),
                verify=verify,
                headers=headers,
                trust_env=False,
                timeout=httpx.Timeout(10.0, pool=None),
                limits=httpx.Limits(max_connections=24, max_keepalive_connections=24),
            )
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request and return the object that comes back.

        Raises:
            ApiError: The server refused.
            httpx.HTTPError: The server can't be reached.
        """
        content = None if body is None else json.dumps(body).encode()
        response = await self._client.request(
            method, path, content=content, params=params, headers={"Content-Type": content_type}
        )
        if response.status_code >= 400:
            raise ApiError(response.status_code, _message(response.content))
        answer: dict[str, Any] = json.loads(response.content)
        return answer

    async def patch_status(self, path: str, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `status` into the object at `path`, provided that it still is the one with `uid`."""
        body = {"metadata": {"uid": uid}, "status": status}
        return await self.call("PATCH", f"{path}/status", body, content_type=MERGE_PATCH)

    async def delete_now(self, path: str, uid: str) -> None:
        """Remove the object at once, provided that it still is the one with `uid`; absent is fine."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": uid},
        }
        try:
            await self.call("DELETE", path, options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def watch(
        self, path: str, params: Mapping[str, str], resource_version: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after `resource_version`, bookmarks included, until the server ends the watch.

        Raises:
            ApiError: With code 410 if that version is too old to go on from.
            httpx.HTTPError: The connection broke.
        """
        query = {
            **params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": "300",
        }
        timeout = httpx.Timeout(10.0, read=_WATCH_SILENCE, pool=None)
        async with self._client.stream("GET", path, params=query, timeout=timeout) as response:
            if response.status_code >= 400:
                raise ApiError(response.status_code, _message(await response.aread()))
            rest = b""
            async for chunk in response.aiter_bytes():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event: dict[str, Any] = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(int(event["object"].get("code", 500)), str(event["object"]))
                    yield event


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:500]


def pod_path(pod: Mapping[str, Any]) -> str:
    """Return the API path of a pod."""
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
