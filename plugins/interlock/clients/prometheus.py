"""A small client of Prometheus' HTTP API: instant and range queries, which only read.

Source: Prometheus' documentation, "HTTP API", version 1, which Thanos, Mimir and others answer too.

An answer may be less than what was asked for, and says so in its warnings: a part of the storage was away, or
there was more than fits. Whoever needs all of it asks `complete`.

Errors:

    PrometheusError
      PrometheusUnavailable    away, too slow, failing by itself, or answering what is none of Prometheus'
      PrometheusRefused        401, 403: who asks may not
      PrometheusBadQuery       the query can't be read or evaluated; it will not succeed later either
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from interlock.clients.prometheus_settings import PrometheusSettings

# One line a request is noise in a task's log.
logging.getLogger("httpx2").setLevel(logging.WARNING)
MOST_SERIES: Final = 20_000
MOST_BYTES: Final = 64 * 1024 * 1024


class PrometheusError(Exception):
    """Prometheus did not do what it was asked."""


class PrometheusUnavailable(PrometheusError):
    """It is away, too slow, failing, or no Prometheus; the same query may succeed later."""


class PrometheusRefused(PrometheusError):
    """It doesn't take the credentials, or they may not query."""


class PrometheusBadQuery(PrometheusError):
    """The query is wrong."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one time.

    Attributes:
        labels: Its labels; the metric's name is `__name__`, where the query kept it.
        value: May be NaN or infinite.
        at: Seconds since 1970.
    """

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Series:
    """One series over a time; `points` are pairs of seconds since 1970 and a value."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Instant:
    """The answer to an instant query.

    Attributes:
        samples: Empty where no series fits.
        warnings: Why it may be less than all.
    """

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether Prometheus knows of nothing that is missing."""
        return not self.warnings


@dataclass(frozen=True, slots=True)
class Range:
    """The answer to a range query.

    Attributes:
        series: Empty where no series fits.
        warnings: Why it may be less than all.
    """

    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether Prometheus knows of nothing that is missing."""
        return not self.warnings


class PrometheusClient:
    """Asks one Prometheus; use it with ``with``.

    Args:
        settings: where it is, who asks, and how long a query may take.
    """

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
        headers = {"Accept": "application/json", "User-Agent": "interlock"}
        if settings.password and not settings.user:
            headers["Authorization"] = f"Bearer {settings.password}"
        self._http = httpx2.Client(
            base_url=settings.address,
            timeout=settings.timeout,
            headers=headers,
            auth=(settings.user, settings.password) if settings.user else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def query(self, query: str, at: float) -> Instant:
        """What a query gives at one time.

        Args:
            query: in PromQL; a scalar is one sample without labels.
            at: seconds since 1970.

        Raises:
            PrometheusError: see the module's description.
        """
        data, warnings = self._ask("query", {"query": query, "time": f"{at:.3f}"})
        kind, result = data.get("resultType"), data.get("result")
        try:
            if kind == "scalar":
                return Instant((_sample({}, result),), warnings)
            if kind == "vector":
                found = tuple(_sample(_labels(one), one["value"]) for one in _items(result))
                return Instant(found, warnings)
        except (KeyError, TypeError, ValueError, IndexError):
            kind = f"a broken {kind}"
        raise PrometheusUnavailable(f"query: expected a vector of samples, got {kind}: is this a Prometheus?")

    def query_range(self, query: str, start: float, end: float, step: float) -> Range:
        """What a query gives again and again over a time.

        Args:
            query: in PromQL.
            start: seconds since 1970, the first time.
            end: seconds since 1970, the last time at the latest.
            step: seconds from one time to the next.

        Raises:
            PrometheusError: see the module's description.
        """
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data, warnings = self._ask("query_range", {"query": query, **times})
        kind = data.get("resultType")
        try:
            if kind == "matrix":
                found = (
                    Series(_labels(one), tuple((float(at), _number(value)) for at, value in one["values"]))
                    for one in _items(data.get("result"))
                )
                return Range(tuple(found), warnings)
        except (KeyError, TypeError, ValueError):
            kind = "a broken matrix"
        raise PrometheusUnavailable(f"query_range: expected a matrix, got {kind}: is this a Prometheus?")

    def alerting_rules(self) -> tuple[tuple[str, str, Mapping[str, str]], ...]:
        """The alerting rules that it has loaded: name, expression and labels of each.

        Raises:
            PrometheusError: see the module's description.
        """
        data, _ = self._ask("rules", {}, method="GET")
        try:
            return tuple(
                (str(rule["name"]), str(rule["query"]), dict(rule.get("labels") or {}))
                for group in _items(data.get("groups"))
                for rule in _items(group.get("rules"))
                if rule.get("type") == "alerting"
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise PrometheusUnavailable("rules: expected groups of rules: is this a Prometheus?") from None

    def version(self) -> str:
        """Its version, as a sign that it answers.

        Raises:
            PrometheusError: see the module's description.
        """
        data, _ = self._ask("status/buildinfo", {}, method="GET")
        return str(data.get("version") or "of unknown version")

    def _ask(
        self, path: str, fields: Mapping[str, str], *, method: str = "POST"
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        what, seconds = f"{method} {self._settings.address}/api/v1/{path}", self._settings.timeout
        more = {"timeout": f"{seconds:g}s", "limit": str(MOST_SERIES)} if fields else {}
        try:
            status, body = self._answer(method, f"/api/v1/{path}", {**fields, **more})
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise PrometheusUnavailable(f"{what}: no answer ({type(error).__name__})") from error
        said: dict[str, Any] = {}
        try:
            found = json.loads(body)
            said = found if isinstance(found, dict) else {}
        except ValueError:
            pass
        reason = _short(str(said.get("error") or "no reason given"))
        if status in (401, 403):
            raise PrometheusRefused(f"{what}: {status}: it doesn't take the credentials ({reason})")
        if status in (400, 422) and said.get("status") == "error":
            raise PrometheusBadQuery(f"{what}: {status}: {reason}")
        if status != 200:
            raise PrometheusUnavailable(f"{what}: {status}: Prometheus fails ({reason})")
        data = said.get("data")
        if said.get("status") != "success" or not isinstance(data, dict):
            raise PrometheusUnavailable(f"{what}: the answer is none of Prometheus': is this its address?")
        warnings = said.get("warnings") or []
        return data, tuple(
            _short(str(one)) for one in (warnings if isinstance(warnings, list) else [warnings])
        )

    def _answer(self, method: str, path: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body; a body that drips or never ends is no answer."""
        ends = time.monotonic() + self._settings.timeout
        body = bytearray()
        with self._http.stream(method, path, data=dict(fields) or None) as answer:
            for part in answer.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise httpx2.ReadError(f"more than {MOST_BYTES} bytes")
                if time.monotonic() > ends:
                    raise httpx2.ReadTimeout("the answer takes too long")
            return answer.status_code, bytes(body)


def _items(found: Any) -> list[Mapping[str, Any]]:
    if not isinstance(found, list):
        raise TypeError("no list")
    return found


def _labels(one: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(key): str(value) for key, value in dict(one["metric"]).items()}


def _sample(labels: Mapping[str, str], value: Any) -> Sample:
    return Sample(labels, _number(value[1]), float(value[0]))


def _number(told: Any) -> float:
    """A value, which Prometheus writes as text: `1`, `NaN`, `+Inf`."""
    if not isinstance(told, str):
        raise TypeError("no text")
    return float(told)


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
