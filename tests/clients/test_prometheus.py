"""Prometheus' client, on a real Prometheus where it is marked, and on a server that fails in all ways."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk import Connection as InAirflow

from interlock.clients import prometheus
from interlock.clients.prometheus import (
    PrometheusBadQuery,
    PrometheusClient,
    PrometheusError,
    PrometheusRefused,
    PrometheusUnavailable,
)
from interlock.clients.prometheus_settings import PrometheusSettings
from interlock.hooks.prometheus import PrometheusHook
from sandbox.binaries import PROMETHEUS_VERSION
from tests.clients.prometheus_answers import answering
from tests.clients.real_parts import free_ports
from tests.clients.running_prometheus import RunningPrometheus, running_prometheus
from tests.clients.small_server import Handler, serving

NOW = 1_796_000_000.0


def ask(address: str, query: str = "up", **settings: Any) -> prometheus.Instant:
    with PrometheusClient(PrometheusSettings(address, **settings)) as client:
        return client.query(query, NOW)


def vector(*result: object, **more: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(result)}, **more}


def error(kind: str, text: str) -> dict[str, object]:
    return {"status": "error", "errorType": kind, "error": text}


SAMPLE = {"metric": {"pod": "a"}, "value": [NOW, "1"]}


def test_an_answer_is_typed_and_says_that_it_is_partial() -> None:
    nan = {"metric": {}, "value": [NOW, "NaN"]}
    with answering(200, vector(SAMPLE, nan, warnings=["a store is away"])) as server:
        found = ask(server.address)
    one, other = found.samples
    assert (one.labels, one.value, one.at) == ({"pod": "a"}, 1.0, NOW)
    assert math.isnan(other.value)
    assert (found.complete, found.warnings) == (False, ("a store is away",))


def test_a_query_goes_as_a_form_with_its_time_and_its_limits() -> None:
    with answering(200, vector()) as server:
        assert ask(server.address + "/prefix", timeout=7.0).complete
    assert server.asked == [
        ("/prefix/api/v1/query", f"query=up&time=1796000000.000&timeout=7s&limit={prometheus.MOST_SERIES}")
    ]


@pytest.mark.parametrize(
    ("settings", "header"),
    [({"user": "u", "password": "s"}, "Basic dTpz"), ({"password": "t"}, "Bearer t"), ({}, None)],
)
def test_credentials_go_as_basic_authentication_or_as_a_bearer_token(
    settings: dict[str, str], header: str | None
) -> None:
    with answering(200, vector()) as server:
        ask(server.address, **settings)
    assert server.headers[0].get("Authorization") == header


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, "", PrometheusRefused, "401: it doesn't take the credentials"),
        (403, "<html>", PrometheusRefused, "403"),
        (400, error("bad_data", "parse error"), PrometheusBadQuery, "400: parse error"),
        (422, error("execution", "many-to-many"), PrometheusBadQuery, "422: many-to-many"),
        (400, "<html>a proxy", PrometheusUnavailable, "400: Prometheus fails"),
        (404, "page not found", PrometheusUnavailable, "404"),
        (500, error("internal", "disk"), PrometheusUnavailable, "500: Prometheus fails (disk)"),
        (503, error("timeout", "query timed out"), PrometheusUnavailable, "query timed out"),
        (302, "", PrometheusUnavailable, "302"),
        (200, "<html>hello", PrometheusUnavailable, "none of Prometheus': is this its address?"),
        (200, "[]", PrometheusUnavailable, "none of Prometheus'"),
        (200, vector() | {"data": []}, PrometheusUnavailable, "none of Prometheus'"),
        (200, {"status": "success", "data": {}}, PrometheusUnavailable, "expected a vector"),
        (200, vector({"metric": {}}), PrometheusUnavailable, "a broken vector"),
        (200, vector({"metric": {}, "value": [NOW, "x"]}), PrometheusUnavailable, "a broken vector"),
        (200, vector({"metric": {}, "value": [NOW, 1]}), PrometheusUnavailable, "a broken vector"),
        (200, vector("x"), PrometheusUnavailable, "a broken vector"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_what_it_is(
    status: int, body: object, kind: type[PrometheusError], said: str
) -> None:
    with answering(status, body) as server, pytest.raises(kind) as raised:
        ask(server.address)
    assert said in str(raised.value)


def test_a_prometheus_that_is_away_or_slow_is_unavailable() -> None:
    (port,) = free_ports(1)
    with pytest.raises(PrometheusUnavailable, match=r"no answer \(ConnectError\)"):
        ask(f"http://127.0.0.1:{port}")
    with (
        answering(200, vector(), seconds=0.6) as server,
        pytest.raises(PrometheusUnavailable, match=r"no answer \(ReadTimeout\)"),
    ):
        ask(server.address, timeout=0.2)


def test_an_answer_that_drips_or_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dripping(Handler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b" " * 1000)
                    time.sleep(0.05)
            except OSError:
                pass  # whoever asked had no patience left

    with serving(Dripping) as address:
        began = time.monotonic()
        with pytest.raises(PrometheusUnavailable, match="no answer"):
            ask(address, timeout=0.5)
        monkeypatch.setattr(prometheus, "MOST_BYTES", 2500)
        with pytest.raises(PrometheusUnavailable, match=r"no answer \(ReadError\)"):
            ask(address, timeout=30.0)
        assert time.monotonic() - began < 4


def test_the_connection_is_tested_by_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(address: str) -> tuple[bool, str]:
        found = InAirflow.from_json(json.dumps({"conn_type": "http", "host": address}), conn_id="c")
        monkeypatch.setattr(BaseHook, "get_connection", lambda self, name: found)
        return PrometheusHook().test_connection()

    with answering(500, "") as server:
        ok, said = connected(server.address)
    assert not ok
    assert "500: Prometheus fails" in said
    assert connected("")[1] == "connection c: it names no host"


# On a real one


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrometheus]:
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.mark.sandbox
def test_a_real_prometheus_answers_instant_and_range_queries(real: RunningPrometheus) -> None:
    with PrometheusClient(real.settings) as client:
        now = time.time()
        one = client.query('label_replace(vector(2), "a", "b", "", "")', now)
        assert one.complete
        assert [(s.labels, s.value, round(s.at)) for s in one.samples] == [({"a": "b"}, 2.0, round(now))]
        assert client.query("1/0", now).samples[0].value == math.inf
        assert client.query("nothing_has_this_name", now).samples == ()
        found = client.query_range("vector(time())", now - 60, now, 15)
        assert [round(value - at) for at, value in found.series[0].points] == [0] * 5
        assert client.version() == PROMETHEUS_VERSION


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("query", "said"), [("sum(", "parse error"), ("up + on() group_left(x) vector(", "parse error")]
)
def test_a_real_prometheus_refuses_a_bad_query_as_such(
    real: RunningPrometheus, query: str, said: str
) -> None:
    with PrometheusClient(real.settings) as client, pytest.raises(PrometheusBadQuery, match=said):
        client.query(query, time.time())


@pytest.mark.sandbox
def test_a_real_prometheus_says_when_it_left_series_off(
    real: RunningPrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "MOST_SERIES", 1)
    two = 'label_replace(vector(1), "a", "b", "", "") or vector(1)'
    with PrometheusClient(real.settings) as client:
        found = client.query(two, time.time())
    assert len(found.samples) == 1
    assert not found.complete
