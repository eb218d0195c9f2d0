"""HTTP probes as a kubelet runs them: the counting (pure) and the one request (I/O).

The rules are those of Kubernetes' `pkg/kubelet/prober/worker.go`: a result counts once it was seen
`failureThreshold` or `successThreshold` times in a row; readiness begins as failed, liveness as passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

_FIRST_AFTER = 0.3


@dataclass(frozen=True)
class Probe:
    """One probe of a container; times in seconds."""

    kind: str
    path: str
    port: int
    period: float = 10.0
    initial_delay: float = 0.0
    timeout: float = 1.0
    failure_threshold: int = 3
    success_threshold: int = 1

    @classmethod
    def of(cls, kind: str, container: Mapping[str, object]) -> Probe | None:
        """Return the container's probe `kind` (readiness, liveness, startup), or None if it has none.

        Probes other than httpGet are taken as absent: there is nothing here to run them in.
        """
        spec = container.get(f"{kind}Probe")
        if not isinstance(spec, Mapping) or not isinstance(spec.get("httpGet"), Mapping):
            return None
        get = spec["httpGet"]
        return cls(
            kind=kind,
            path=str(get.get("path") or "/"),
            port=port_number(get.get("port"), container),
            period=float(spec.get("periodSeconds", 10)),
            initial_delay=float(spec.get("initialDelaySeconds", 0)),
            timeout=float(spec.get("timeoutSeconds", 1)),
            failure_threshold=int(spec.get("failureThreshold", 3)),
            success_threshold=int(spec.get("successThreshold", 1)),
        )


def port_number(port: object, container: Mapping[str, object]) -> int:
    """Return the number of a container port given by number or name; 0 if there is no such port."""
    if isinstance(port, int):
        return port
    ports = container.get("ports")
    for item in ports if isinstance(ports, list) else ():
        if item.get("name") == port:
            return int(item["containerPort"])
    return 0


@dataclass(frozen=True)
class Tally:
    """What a probe has shown so far.

    Attributes:
        passed: The verdict that counts now; None while a startup probe has none.
        last: The last single result, None before the first.
        run: How many times in a row that result came.
    """

    passed: bool | None
    last: bool | None = None
    run: int = 0

    @classmethod
    def initial(cls, kind: str) -> Tally:
        """Return the tally before the first request."""
        return cls({"readiness": False, "liveness": True}.get(kind))

    def observe(self, ok: bool, probe: Probe) -> Tally:
        """Return the tally after one more result."""
        run = self.run + 1 if ok == self.last else 1
        threshold = probe.success_threshold if ok else probe.failure_threshold
        return replace(self, passed=ok if run >= threshold else self.passed, last=ok, run=run)


@dataclass(frozen=True)
class Result:
    """The result of one request; `message` is what a kubelet's Unhealthy event says of a failure."""

    ok: bool
    message: str = ""


async def request(probe: Probe, ip: str) -> Result:
    """Send the probe's request once. Any status from 200 to 399 passes."""
    url = f"http://{ip}:{probe.port}{probe.path}"
    try:
        async with asyncio.timeout(probe.timeout):
            status = await _status(ip, probe.port, probe.path)
    except TimeoutError:
        return Result(False, f'Get "{url}": context deadline exceeded')
    except ConnectionRefusedError:
        return Result(False, f'Get "{url}": dial tcp {ip}:{probe.port}: connect: connection refused')
    except (OSError, ValueError) as error:
        return Result(False, f'Get "{url}": {error}')
    if 200 <= status < 400:
        return Result(True)
    return Result(False, f"HTTP probe failed with statuscode: {status}")


async def _status(ip: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(ip, port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {ip}:{port}\r\nUser-Agent: kube-probe/1.34\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        words = (await reader.readline()).split()
        if len(words) < 2:
            raise ValueError("EOF")
        return int(words[1])
    finally:
        writer.close()


async def follow(probe: Probe, ip: str, observe: Callable[[Tally, Result], None]) -> None:
    """Probe until the verdict is a failure that ends the container, or for ever for readiness.

    Args:
        probe: What to ask.
        ip: The pod's address.
        observe: Called after each request with the tally and the result.
    """
    tally = Tally.initial(probe.kind)
    # The program needs a moment to listen; without it every start would begin with a failed probe.
    await asyncio.sleep(max(probe.initial_delay, _FIRST_AFTER))
    while True:
        result = await request(probe, ip)
        tally = tally.observe(result.ok, probe)
        observe(tally, result)
        if probe.kind != "readiness" and tally.passed is False:
            return
        if probe.kind == "startup" and tally.passed:
            return
        await asyncio.sleep(probe.period)
