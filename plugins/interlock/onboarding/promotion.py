"""Items of promotion: a train has the service, what it comes after is there, and a dry run passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml

from interlock.environment.check import Unseen
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Absent, CannotSee, Done, Fix, Found, Missing, Rule
from interlock.onboarding.pods import serving
from interlock.trains.image import Image, ImageError
from interlock.trains.model import Train
from interlock.trains.order import DependencyError, depends_on


def train(facts: Facts) -> Found:
    """A train that goes to the environment has it."""
    found = [one.name for one in _trains(facts)]
    if found:
        return Done(f"train {', '.join(found)}")
    if broken := facts.promotion.broken:
        return _broken(broken)
    entry: dict[str, object] = {"image": _repository(facts)}
    if facts.kind != "Deployment":
        entry["kind"] = facts.kind
    if facts.workload_name != facts.service:
        entry["workload"] = facts.workload_name
    if facts.container != "app":
        entry["container"] = facts.container
    text = yaml.safe_dump({"services": {facts.service: entry}}, sort_keys=False)
    names = [one.name for one in facts.promotion.trains]
    file = f"include/trains/{names[0] if len(names) == 1 else facts.service}.yaml"
    return Missing(
        "no train that goes to this environment has it",
        Fix("Add it to the train it belongs to, with `after`: what it depends on", (), text, file),
    )


def dependencies(facts: Facts) -> Found:
    """What it comes after is in the train, without a cycle, and runs in the environment."""
    trains = _trains(facts)
    if not trains:
        if broken := facts.promotion.broken:
            return _broken(broken)
        raise Absent("it is in no train, so what it comes after isn't known")
    seen: dict[str, None] = {}
    for one in trains:
        try:
            one.order()
            before = depends_on({service.name: service.after for service in one.services}, facts.service)
        except (DependencyError, KeyError) as error:
            return Missing(
                f"train {one.name}: {error}", Fix(f"Correct `after` in include/trains/{one.name}.yaml")
            )
        for name in sorted(before):
            service = one.service(name)
            seen[name] = None
            if not any(live.name == service.workload for live in facts.listed(service.kind)):
                return Missing(
                    f"it comes after {name}, and there is no {service.kind} {service.workload} in the "
                    f"namespace {facts.namespace}",
                    Fix(f"Deploy {name} first, or take it out of `after`"),
                )
    return Done(f"it comes after {', '.join(seen)}" if seen else "it comes after no other service")


def dry_run(facts: Facts) -> Found:
    """The plan of a train with this service alone can be made; the API server tries each manifest."""
    found = facts.promotion.dry_run
    if isinstance(found, Unseen):
        if found.kind == "missing":
            raise Absent(found.why)
        raise CannotSee(found.why)
    if not found:
        return Done("a train with the release that runs would change nothing, and nothing is in its way")
    return Missing("; ".join(found), Fix("Mend what the plan refuses"))


RULES: Final = (
    Rule("promotion.train", train),
    Rule("promotion.dependencies", dependencies),
    Rule("promotion.dry-run", dry_run),
)


def _trains(facts: Facts) -> list[Train]:
    return [
        one
        for one in facts.promotion.trains
        if any(service.name == facts.service for service in one.services)
    ]


def _broken(broken: Mapping[str, str]) -> Found:
    said = "; ".join(" ".join(text.split()) for text in broken.values())
    return Missing(f"a train that names it doesn't load: {said}", Fix("Correct the file"))


def _repository(facts: Facts) -> str:
    try:
        return Image.parse(str(serving(facts, facts.workload()).get("image") or "")).repository
    except (ImageError, Absent, CannotSee):
        return f"REGISTRY/{facts.service}"
