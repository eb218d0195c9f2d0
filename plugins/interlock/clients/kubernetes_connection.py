"""HTTP to a Kubernetes API server under one identity: opened, repeated with patience, read as JSON or lines.

lightkube reads kubeconfigs and brings the authentication (tokens, client certificates, exec plugins);
everything beyond that is plain HTTP as the API conventions describe it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig

from interlock.clients.kubernetes_api import KubernetesError, Unreachable, error_of

# One line a request is noise in a task's log.
logging.getLogger("httpx2").setLevel(logging.WARNING)
_STARTING_SECONDS = 5.0
_UNREAD = re.compile(r"RBAC: .*role\.rbac\.authorization\.k8s\.io .* not found")
"""How RBAC's authorizer ends a refusal where it found bindings whose roles it doesn't know."""


class ApiConnection:
    """Requests to one API server; use it with ``async with``.

    Args:
        config: a kubeconfig, as read by lightkube.
        context: the kubeconfig's context; None means its current one.
        patience: seconds for which a request that got no answer, 429 or 5xx is repeated. Every write of
            ours carries a uid and a resourceVersion or a name that must be new, so a repeat after a lost
            answer never acts twice: it ends in `Conflict`, and the caller reads again.
    """

    def __init__(self, config: KubeConfig, context: str | None = None, patience: float = 20.0) -> None:
        self._config = config
        self._context = context
        self._patience = patience
        self._http: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        single = self._config.get(self._context)
        if single is None:
            raise KubernetesError("the kubeconfig names no current context")
        timeout = httpx2.Timeout(10.0, connect=3.0)
        # It reads certificates and fills a trust store, for up to 0.3 s: not in a triggerer's loop.
        parameters = ConnectionParams(timeout=timeout, trust_env=False)
        self._http = await asyncio.to_thread(AsyncClient, single, parameters)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()

    @contextlib.asynccontextmanager
    async def lines(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        silence: float,
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer that goes on until the server ends it.

        Args:
            path: of a collection.
            params: of the query.
            headers: beyond those of the connection.
            silence: after how many seconds without a byte the connection counts as dead.

        Raises:
            KubernetesError: the server refused.
        """
        assert self._http is not None, "use the client within `async with`"
        timeout = httpx2.Timeout(10.0, read=silence, connect=3.0)
        async with self._http.stream(
            "GET", path, params=dict(params), headers=dict(headers or {}), timeout=timeout
        ) as response:
            if response.status_code >= 400:
                await response.aread()
                raise error_of("GET", path, response)
            yield response.aiter_lines()

    async def json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer to a request, which is a JSON object; repeated and refused as `send` is."""
        response = await self.send(method, path, body=body, params=params, headers=headers)
        answer = response.json()
        if not isinstance(answer, dict):
            raise KubernetesError(f"{method} {path}: expected a JSON object, got {type(answer).__name__}")
        return answer

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """The answer to a request.

        Raises:
            KubernetesError: the server refused, or gave no answer for as long as the patience lasts.
        """
        assert self._http is not None, "use the client within `async with`"
        content = json.dumps(body) if body is not None else None
        send = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        loop = asyncio.get_running_loop()
        # Patience begins with the first trouble of its kind: a request may have been on its way for long.
        began: dict[str, float] = {}
        pause = 0.1
        while True:
            patience, kind = self._patience, "failed"
            try:
                response = await self._http.request(
                    method, path, content=content, params=dict(params or {}), headers=send
                )
            except httpx2.TransportError as error:
                problem: KubernetesError = Unreachable(
                    f"{method} {path}: no answer from the Kubernetes API ({error})"
                )
            else:
                if response.status_code < 400:
                    return response
                problem = error_of(method, path, response)
                # An API server that has just started refuses what RBAC hasn't read yet, and mostly says so.
                if response.status_code in (401, 403):
                    kind = "refused"
                    if not _UNREAD.search(str(problem)):
                        patience = min(_STARTING_SECONDS, self._patience)
                elif response.status_code != 429 and response.status_code < 500:
                    raise problem
            if loop.time() + pause > began.setdefault(kind, loop.time()) + patience:
                raise problem
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
