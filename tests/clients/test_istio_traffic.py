"""Observed traffic of real Envoys, through a real Prometheus; and queries written for Istio."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from interlock.clients.istio_traffic import observe
from interlock.clients.prometheus import Instant, PrometheusClient, PrometheusError, Sample
from interlock.clients.prometheus_settings import PrometheusSettings
from interlock.mesh.golden_signals import golden_signals
from interlock.mesh.traffic import Observation, Source, traffic, traffic_findings, workload_traffic
from interlock.mesh.verdict import Answer
from sandbox.mesh.objects import injected, inner_address
from sandbox.mesh.outbound import OUTBOUND_PORT
from tests.clients.real_parts import free_ports
from tests.clients.running_prometheus import RunningPrometheus, running_prometheus
from tests.mesh.mesh_objects import Raw, mesh_of, peer
from tests.sandbox_mesh.mesh_calls import BARE, HTTP, PODS, SERVER, SERVICES, WEB, call_http, programs
from tests.sandbox_mesh.mesh_envoys import Envoys, envoys

PATIENCE = 20.0
WINDOW = 60.0
WEB_SOURCE = Source("web", "shop", "spiffe://cluster.local/ns/shop/sa/web")


class Asked:
    """Answers with these samples and warnings, whatever is asked, and keeps what was."""

    def __init__(self, *samples: Sample, warnings: tuple[str, ...] = ()) -> None:
        self.queries: list[str] = []
        self._answer = Instant(samples, warnings)

    def query(self, query: str, at: float) -> Instant:
        self.queries.append(query)
        return self._answer


def test_warnings_of_any_answer_become_problems() -> None:
    found = observe(Asked(warnings=("a store is away",)), "shop", WINDOW, 0.0)  # type: ignore[arg-type]
    assert found.problems == ("a store is away",)


def test_a_name_in_a_query_stays_a_name_and_a_window_holds_two_scrapes() -> None:
    asked = Asked()
    observe(asked, 'a"} or up{x="', WINDOW, 0.0)  # type: ignore[arg-type]
    assert all(r'namespace="a\"} or up{x=\""' in query for query in asked.queries)
    with pytest.raises(ValueError, match="at least 10"):
        observe(asked, "shop", 5.0, 0.0)  # type: ignore[arg-type]


def test_what_metrics_do_not_say_is_unknown() -> None:
    sample = Sample({"response_code": "-", "connection_security_policy": "tls"}, 1.0, 0.0)
    [found] = observe(Asked(sample), "shop", WINDOW, 0.0).requests[:1]  # type: ignore[arg-type]
    assert (found.workload, found.code, found.security, found.source) == ("unknown", 0, "unknown", Source())


def test_a_prometheus_that_is_away_is_an_error_and_no_observation() -> None:
    (port,) = free_ports(1)
    with (
        PrometheusClient(PrometheusSettings(f"http://127.0.0.1:{port}")) as client,
        pytest.raises(PrometheusError),
    ):
        observe(client, "shop", WINDOW, time.time())


# With real sidecars


@dataclass
class World:
    """Sidecars, and the Prometheus that scrapes them."""

    envoys: Envoys
    client: PrometheusClient

    async def query(self, query: str) -> dict[str, float]:
        """The values of a query, by the values of its labels."""
        found = await asyncio.to_thread(self.client.query, query, time.time())
        return {" ".join(sample.labels.values()): sample.value for sample in found.samples}

    async def observed(self, until: Callable[[Observation], bool]) -> Observation:
        """What is observed once it is as it will be."""
        ends = time.monotonic() + PATIENCE
        while True:
            found = await asyncio.to_thread(observe, self.client, "shop", WINDOW, time.time())
            if until(found):
                return found
            assert time.monotonic() < ends, found
            await asyncio.sleep(0.2)


@pytest.fixture
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrometheus]:
    """One for each test: the sidecars of all of them have the same names."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@asynccontextmanager
async def world(prometheus: RunningPrometheus, folder: Path, *policies: Raw) -> AsyncIterator[World]:
    """The mesh of the tests; Prometheus knows its sidecars before the first request."""
    pods = [pod for pod in PODS if injected(pod)]
    async with programs(), envoys(folder, [*PODS, *SERVICES, *policies]) as found:
        with PrometheusClient(prometheus.settings) as client:
            prometheus.targets.write(pods)
            given = World(found, client)
            await given.observed(lambda seen: len(seen.scraped) == 2 and all(seen.scraped.values()))
            yield given


async def over_mtls(path: str = "/") -> bool:
    host = "api.shop.svc.cluster.local"
    return await call_http(WEB, (inner_address(WEB), OUTBOUND_PORT), host, "GET", path, {})


async def in_the_clear() -> bool:
    return await call_http(BARE, (SERVER, HTTP), "api", "GET", "/", {})


def counted(observation: Observation) -> float:
    return sum(one.count for one in observation.requests)


@pytest.mark.sandbox
async def test_a_single_plaintext_request_is_observed_and_differs_from_strict_alone(
    prometheus: RunningPrometheus, tmp_path: Path
) -> None:
    lax, strict = mesh_of(*PODS, *SERVICES), mesh_of(*PODS, *SERVICES, peer("STRICT"))
    async with world(prometheus, tmp_path) as found:
        quiet = await found.observed(lambda seen: True)
        assert traffic(quiet, ["api"]).seen is Answer.NO
        assert [one.code for one in traffic_findings(strict, quiet)] == ["ILM013", "ILM013"]
        assert golden_signals(quiet, ["api"]).present is Answer.NO

        assert await in_the_clear()
        assert await over_mtls()
        assert await over_mtls()
        seen = await found.observed(lambda seen: counted(seen) >= 3)
        api = workload_traffic(seen)["api"]
        assert api.plaintext == pytest.approx(1, abs=0.2)
        assert api.requests == pytest.approx(3, abs=0.5)
        assert api.plaintext_sources == (Source(),)
        assert {one.source for one in seen.requests} == {Source(), WEB_SOURCE}
        assert golden_signals(seen, ["api"]).present is Answer.YES
        assert [(one.code, one.ref) for one in traffic_findings(strict, seen)] == [
            ("ILM012", "Pod shop/api"),
            ("ILM013", "Pod shop/web"),
        ]
        assert "ILM012" not in {one.code for one in traffic_findings(lax, seen)}


@pytest.mark.sandbox
async def test_queries_written_for_istio_work_unchanged(
    prometheus: RunningPrometheus, tmp_path: Path
) -> None:
    async with world(prometheus, tmp_path) as found:
        # A rate needs counters that rise between scrapes, and Envoy merges its histograms every five seconds.
        ends, slowest = time.monotonic() + PATIENCE, {"api": math.nan}
        while math.isnan(slowest.get("api", math.nan)):
            assert time.monotonic() < ends
            assert await over_mtls()
            assert await in_the_clear()
            await asyncio.sleep(0.3)
            slowest = await found.query(
                "histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{"
                'reporter="destination"}[1m])) by (le, destination_workload))'
            )
        assert 0 < slowest["api"] < 1000
        by_workload = (
            'sum(rate(istio_requests_total{{reporter="{}",destination_workload_namespace="shop"{}}}[1m])) '
            "by (destination_workload)"
        )
        rates = {side: await found.query(by_workload.format(side, "")) for side in ("source", "destination")}
        assert all(list(rate) == ["api"] and rate["api"] > 0 for rate in rates.values()), rates
        good = await found.query(
            'sum(rate(istio_requests_total{reporter="destination",response_code!~"5.*",'
            'destination_service=~"api.shop.svc.cluster.local"}[1m])) / sum(rate(istio_requests_total{'
            'reporter="destination",destination_service=~"api.shop.svc.cluster.local"}[1m]))'
        )
        assert good == {"": 1.0}
        within = await found.query(
            'sum(rate(istio_request_duration_milliseconds_bucket{le="1000",reporter="destination"}[1m]))'
        )
        assert within[""] > 0
        secured = await found.query(
            by_workload.format("destination", ',connection_security_policy="mutual_tls"')
        )
        assert secured["api"] / rates["destination"]["api"] == pytest.approx(0.5, abs=0.2)
        [labels] = [
            sample.labels
            for sample in found.client.query(
                'istio_requests_total{reporter="source",source_workload="web"}', time.time()
            ).samples
        ]
        assert {"namespace": "shop", "pod": "web", "app": "web"}.items() <= labels.items()
        assert labels["connection_security_policy"] == "unknown"


@pytest.mark.sandbox
async def test_a_sidecar_that_can_not_be_scraped_is_no_pass(
    prometheus: RunningPrometheus, tmp_path: Path
) -> None:
    async with world(prometheus, tmp_path) as found:
        prometheus.targets.write([])
        await found.observed(lambda seen: not seen.scraped)
        await found.envoys.stop()
        prometheus.targets.write([pod for pod in PODS if injected(pod)])
        seen = await found.observed(lambda seen: list(seen.scraped.values()) == [False, False])
        mesh = mesh_of(*PODS, *SERVICES, peer("STRICT"))
        silent = [one for one in traffic_findings(mesh, seen) if one.ref == "Pod shop/web"]
        assert [one.code for one in silent] == ["ILM014"]
