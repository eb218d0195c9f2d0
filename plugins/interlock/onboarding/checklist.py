"""The checklist of one service at one time: its items, whether it is ready, and how that is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from interlock.environment.check import Unseen
from interlock.evidence.redaction import redact_text
from interlock.manifest import Manifest, ObjectRef
from interlock.onboarding import mesh_fixes, monitoring, promotion, structure, surroundings, vault
from interlock.onboarding.applying import COMMAND, as_yaml, together
from interlock.onboarding.facts import Facts, MeshFacts
from interlock.onboarding.found import Done, Fix, Found, Missing, Rule
from interlock.onboarding.items import GROUPS, ITEMS
from interlock.onboarding.service_file import Exemption

Verdict = Literal["done", "missing", "excepted", "not-checked"]
VERDICTS: Final[tuple[Verdict, ...]] = ("done", "missing", "excepted", "not-checked")
RULES: Final[Mapping[str, Rule]] = {
    rule.id: rule
    for module in (structure, surroundings, mesh_fixes, monitoring, vault, promotion)
    for rule in module.RULES
}
"""The rule of each item."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist.

    Attributes:
        id: `GROUP.NAME`.
        verdict: `done`, `missing`, `excepted` (it may be missing for a time), `not-checked` (nobody could
            look).
        said: What was seen.
        fix: What would make it done; None if it is.
        reason: Why it is excepted, by the service's file.
        until: The last day of the exception.
    """

    id: str
    verdict: Verdict
    said: str
    fix: Fix | None = None
    reason: str = ""
    until: date | None = None

    @classmethod
    def of(cls, id: str, found: Found, exemption: Exemption | None, today: date) -> Item:
        """The line of what a rule found; an exception counts through its last day, in UTC."""
        said, fix = redact_text(found.said), found.fix if isinstance(found, Missing) else None
        if isinstance(found, Done):
            return cls(id, "done", said)
        verdict: Verdict = "missing" if isinstance(found, Missing) else "not-checked"
        if exemption is None:
            return cls(id, verdict, said, fix)
        reason, until = redact_text(exemption.reason), exemption.until
        if today > until:
            return cls(id, verdict, f"{said}; its exception ended on {until}: {reason}", fix, reason, until)
        # It would be accepted if it were missing, so it is accepted, too, where nobody could look.
        return cls(id, "excepted", said, fix, reason, until)

    @property
    def title(self) -> str:
        """What it is, for people."""
        return ITEMS[self.id]

    @property
    def group(self) -> str:
        """Its group: `structure`, `mesh`, `monitoring`, `vault` or `promotion`."""
        return self.id.partition(".")[0]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.verdict in ("done", "excepted")

    def as_json(self) -> dict[str, Any]:
        """As the page has it."""
        fix = self.fix
        return {
            "id": self.id,
            "title": self.title,
            "group": GROUPS[self.group],
            "verdict": self.verdict,
            "said": self.said,
            "reason": self.reason,
            "until": self.until.isoformat() if self.until else "",
            "fix": fix.said if fix else "",
            "manifest": as_yaml(fix.manifests) if fix and fix.manifests else "",
            "text": fix.text if fix else "",
            "file": fix.file if fix else "",
        }


@dataclass(frozen=True, slots=True)
class Checklist:
    """All items of one service.

    Attributes:
        service: Its name.
        environment: Where it was looked at.
        at: When.
        items: The lines, in the order of `ITEMS`.
        manifests: All that is missing and can be applied, one manifest for each object.
    """

    service: str
    environment: str
    at: datetime
    items: tuple[Item, ...]
    manifests: tuple[Manifest, ...]

    @classmethod
    def of(cls, facts: Facts, environment: str) -> Checklist:
        """Judge the facts."""
        exemptions = {one.item: one for one in facts.file.exceptions}
        today = facts.at.date()
        items = tuple(Item.of(id, RULES[id].found(facts), exemptions.get(id), today) for id in ITEMS)
        wanted = [
            manifest
            for item in items
            if item.verdict == "missing" and item.fix is not None
            for manifest in item.fix.manifests
        ]
        return cls(facts.service, environment, facts.at, items, together(wanted, _live(facts)))

    @property
    def ready(self) -> bool:
        """Whether it may be promoted: each item is done, or excepted."""
        return all(item.complete for item in self.items)

    @property
    def counts(self) -> dict[str, int]:
        """How many items have each verdict."""
        found = Counter(item.verdict for item in self.items)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def summary(self) -> str:
        """One line."""
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        word = "READY" if self.ready else "NOT READY"
        return f"{self.service} in {self.environment}: {word} for promotion: {counts}"

    def fields(self) -> dict[str, Any]:
        """What a statement of type `onboarding` says."""
        return {
            "service": self.service,
            "environment": self.environment,
            "verdict": "ready" if self.ready else "not-ready",
            "counts": self.counts,
            "open": [item.id for item in self.items if not item.complete],
            "excepted": [item.id for item in self.items if item.verdict == "excepted"],
        }

    def evidence(self) -> dict[str, Any]:
        """What goes beside the statement: each item."""
        kept = ("id", "verdict", "said", "reason", "until", "fix")
        items = [item.as_json() for item in self.items]
        return {
            "service": self.service,
            "environment": self.environment,
            "items": [{key: item[key] for key in kept} for item in items],
        }

    def page(self) -> dict[str, Any]:
        """What the page is made of."""
        return {
            "service": self.service,
            "environment": self.environment,
            "at": self.at.isoformat(timespec="seconds"),
            "ready": self.ready,
            "summary": self.summary,
            "counts": self.counts,
            "items": [item.as_json() for item in self.items],
            "manifests": as_yaml(self.manifests) if self.manifests else "",
            "command": COMMAND,
        }

    def text(self) -> str:
        """The checklist for a log or a terminal."""
        lines = [self.summary, f"looked at {self.at.isoformat(timespec='seconds')}"]
        group = ""
        for item in self.items:
            if item.group != group:
                group = item.group
                lines += ["", GROUPS[group]]
            lines.append(f"  {item.verdict.upper():11} {item.title} [{item.id}]: {item.said}")
            if item.verdict == "excepted":
                lines.append(f"              excepted until {item.until}: {item.reason}")
            if item.fix is not None and not item.complete:
                lines.append(f"              {item.fix.said}{_where(item.fix)}")
                lines += [f"                {line}" for line in item.fix.text.splitlines()]
        return "\n".join(lines)


def _where(fix: Fix) -> str:
    objects = ", ".join(str(one) for one in fix.manifests)
    if objects:
        return f": {objects}"
    if fix.text:
        return f", in {fix.file}:" if fix.file else ":"
    return ""


def _live(facts: Facts) -> dict[ObjectRef, Manifest]:
    """What is there of all that a manifest may change."""
    listed: Iterable[Manifest] = (
        one for found in facts.objects.values() if not isinstance(found, Unseen) for one in found
    )
    found = {one.ref: one for one in listed}
    if isinstance(facts.mesh, MeshFacts):
        found |= {one.ref: one for one in facts.mesh.objects}
    return found
