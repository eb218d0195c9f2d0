"""Items of monitoring beyond scraping: do metrics arrive, and does somebody get woken."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from interlock.environment.check import Unseen
from interlock.mesh.golden_signals import golden_signals
from interlock.mesh.verdict import Answer
from interlock.onboarding.facts import AlertRule, Facts
from interlock.onboarding.found import CannotSee, Done, Fix, Found, Missing, NotChecked, Rule
from interlock.onboarding.mesh import World
from interlock.onboarding.pods import new


def signals(facts: Facts) -> Found:
    """Rate, errors and duration of its requests are in the metrics."""
    if isinstance(facts.observed, Unseen):
        raise CannotSee(facts.observed.why)
    runs = World.of(facts).runs
    found = golden_signals(facts.observed, [one.name for one in runs if one.live])
    if found.present is Answer.YES:
        return Done("rate, errors and duration of its requests are in the metrics")
    said = "; ".join(found.reasons) or "it has no pods"
    if found.present is Answer.INDETERMINATE:
        return NotChecked(said)
    return Missing(said, Fix("See that it is scraped (monitoring.scraped), and send it some requests"))


def alert_rules(facts: Facts) -> Found:
    """At least one alerting rule is about the service: its expression or a label names it."""
    if isinstance(facts.alerts, Unseen):
        raise CannotSee(facts.alerts.why)
    named = re.compile(rf"(?<![\w-]){re.escape(facts.workload_name)}(?![\w-])")
    found = [rule.name for rule in facts.alerts.rules if _about(rule, named)]
    if found:
        return Done(f"alerts: {', '.join(dict.fromkeys(found))}")
    groups = _groups(facts)
    said = "no alerting rule names it"
    if facts.alerts.operator:
        made = new("monitoring.coreos.com/v1", "PrometheusRule", facts.service, facts.namespace, spec=groups)
        return Missing(said, Fix("Create some; mind the labels by which Prometheus takes them", (made,)))
    text = yaml.safe_dump(groups, sort_keys=False, width=1000)
    return Missing(said, Fix("Add a file of rules to Prometheus", (), text, f"rules/{facts.service}.yaml"))


RULES: Final = (
    Rule("monitoring.golden-signals", signals),
    Rule("monitoring.alert-rules", alert_rules),
)


def _about(rule: AlertRule, named: re.Pattern[str]) -> bool:
    return any(named.search(text) for text in (rule.expression, *rule.labels.values()))


def _groups(facts: Facts) -> dict[str, Any]:
    """Errors, slowness and silence, by Istio's standard metrics as the service's own sidecars report them."""
    chosen = (
        f'reporter="destination",destination_workload="{facts.workload_name}",'
        f'destination_workload_namespace="{facts.namespace}"'
    )
    total = f"sum(rate(istio_requests_total{{{chosen}}}[5m]))"
    failed = f'sum(rate(istio_requests_total{{{chosen},response_code=~"5.."}}[5m]))'
    buckets = f"sum by (le) (rate(istio_request_duration_milliseconds_bucket{{{chosen}}}[5m]))"

    def rule(name: str, expression: str, minutes: int, summary: str) -> dict[str, Any]:
        return {
            "alert": name,
            "expr": expression,
            "for": f"{minutes}m",
            "labels": {"severity": "page", "service": facts.service},
            "annotations": {"summary": summary},
        }

    service = facts.service
    return {
        "groups": [
            {
                "name": service,
                "rules": [
                    rule(
                        "ServiceErrors",
                        f"{failed} / {total} > 0.05",
                        5,
                        f"{service}: more than 5% of the requests fail",
                    ),
                    rule(
                        "ServiceSlow",
                        f"histogram_quantile(0.99, {buckets}) > 1000",
                        10,
                        f"{service}: one request in a hundred takes more than a second",
                    ),
                    rule(
                        "ServiceSilent",
                        f"absent(istio_requests_total{{{chosen}}})",
                        15,
                        f"{service}: no metrics arrive",
                    ),
                ],
            }
        ]
    }
