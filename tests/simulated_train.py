"""A run of a train without a cluster: any graph, any step at which it fails, any hand that interferes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

from hypothesis import strategies as st
from services_in_memory import AT, IMAGE, KEY, NOTE, WRITES, bare, config, ref, settings_of, workload

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite, ObjectChange
from interlock.trains.entries import CREATED_BY, Mutation, ServiceJournal
from interlock.trains.fields import ABSENT, FieldPath, put
from interlock.trains.journal import decode_service, encode_service
from interlock.trains.order import Scope, depends_on, in_order
from interlock.trains.outcome import RunOutcome, judge, verdict
from interlock.trains.rollback import Decision, Standing, restore_all, to_take_back

POINTS = ("before-write", "after-intent", "after-first-act", "after-act", "after-outcome", "at-verify")
"""Where a service can fail or its worker die: the steps of a promotion, in order."""


@dataclass(frozen=True)
class Case:
    edges: Mapping[str, tuple[str, ...]]
    board: frozenset[str]
    live_already: frozenset[str]
    fails: Mapping[str, str]
    edits: Mapping[str, str]
    edit_during_rollback: bool
    irreversible: frozenset[str]
    scope: Scope
    stopped: bool
    creates: frozenset[str]
    configures: frozenset[str]


def chosen(names: list[str], bits: int) -> frozenset[str]:
    return frozenset(name for n, name in enumerate(names) if bits >> n & 1)


def case_of(
    count: int,
    order: int,
    after: int,
    board: int,
    live_already: int,
    failing: int,
    points: tuple[str, ...],
    edited: int,
    edits: tuple[str, ...],
    edit_during_rollback: bool,
    irreversible: int,
    scope: Scope,
    stopped: bool,
    creates: int,
    configures: int,
) -> Case:
    names = [f"s{n}" for n in range(count)]
    # A service comes after any of those before it, so there are no circles; the file's order is free.
    edges = {name: tuple(sorted(chosen(names[:n], after >> 7 * n))) for n, name in enumerate(names)}
    return Case(
        edges={name: edges[name] for name in Random(order).sample(names, count)},
        board=chosen(names, board) or frozenset(names),
        live_already=chosen(names, live_already),
        fails=dict(zip(sorted(chosen(names, failing)), points, strict=False)),
        edits=dict(zip(sorted(chosen(names, edited)), edits, strict=False)),
        edit_during_rollback=edit_during_rollback,
        irreversible=chosen(names, irreversible),
        scope=scope,
        stopped=stopped,
        creates=chosen(names, creates),
        configures=chosen(names, configures),
    )


# Few draws of whole numbers, each standing for a set of services: thousands of trains in seconds.
some = st.just(0) | st.integers(0, 2**7 - 1)


cases = st.builds(
    case_of,
    count=st.integers(1, 7),
    order=st.integers(0, 5039),
    after=st.integers(0, 2**49 - 1),
    board=some,
    live_already=some,
    failing=some,
    points=st.tuples(st.sampled_from(POINTS), st.sampled_from(POINTS)),
    edited=some,
    edits=st.sampled_from(list(product(("image", "note", "replace", "delete"), repeat=2))),
    edit_during_rollback=st.booleans(),
    irreversible=some,
    scope=st.sampled_from(["train", "train", "service"]),
    stopped=st.sampled_from([False, False, False, True]),
    creates=some,
    configures=some,
)


@dataclass
class Simulation:
    """One run of a train against a dictionary instead of a cluster; the decisions are the real ones."""

    case: Case
    cluster: dict[ObjectRef, Manifest | None] = field(default_factory=dict)
    journals: dict[str, ServiceJournal] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    promoted: list[str] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    decision: Decision = field(default_factory=Decision)

    def run(self) -> RunOutcome:
        self.cluster = {
            ref(name): workload(name, "2" if name in self.case.live_already else "1")
            for name in self.case.edges
        }
        self.cluster |= {
            config(name): None if name in self.case.creates else settings_of(name, "1")
            for name in self.case.edges
        }
        self.changes = {name: self._change(name) for name in self.case.edges if name in self.case.board}
        halted = False
        for name in in_order(self.case.edges):
            if name not in self.case.board or halted:
                continue
            if any(other in self.failed for other in depends_on(self.case.edges, name)):
                continue
            self._promote(name)
            if self.case.stopped and len(self.promoted) * 2 >= len(self.case.board):
                halted = True
        if not self.case.edit_during_rollback:
            self._edit()
        self.decision = to_take_back(
            self.case.edges,
            self.standings(),
            failed="stopped by a person" if halted else "",
            scope=self.case.scope,
            irreversible=self.case.irreversible,
        )
        for name, why in self.decision.kept:
            self._keep(self.journals[name].ended("kept", why))
        for at, name in enumerate(self.decision.back):
            if self.case.edit_during_rollback and at == len(self.decision.back) // 2:
                self._edit()
            self._take_back(name)
        failures = [self.decision.reason] if self.decision.reason else []
        order = [name for name in in_order(self.case.edges) if name in self.case.board]
        return verdict([judge(self.changes[n], self.journals.get(n), self.cluster) for n in order], failures)

    def standings(self) -> dict[str, Standing]:
        return {
            name: Standing(
                changes=change.moves,
                moved=name in self.journals and self.journals[name].moved,
                verified=name in self.verified,
                failed=self.failed.get(name, ""),
            )
            for name, change in self.changes.items()
        }

    def _at_first(self, name: str) -> Manifest:
        return workload(name, "2" if name in self.case.live_already else "1")

    def _change(self, name: str) -> Change:
        further: tuple[ObjectChange, ...] = ()
        if name in self.case.creates:
            mark = FieldWrite(CREATED_BY, ABSENT, "0" * 12)
            further = (ObjectChange(config(name), (FieldWrite(KEY, ABSENT, "2"), mark), "create"),)
        elif name in self.case.configures:
            further = (ObjectChange(config(name), (FieldWrite(KEY, "1", "2"),)),)
        return Change(name, ref(name), () if name in self.case.live_already else WRITES, objects=further)

    def _promote(self, name: str) -> None:
        point = self.case.fails.get(name)
        change = self.changes[name]
        if point == "before-write":
            self.failed[name] = point
            return
        if change.moves:
            self.promoted.append(name)
            intents = []
            for step in change.steps:
                before = self.cluster[step.ref]
                uid = before.uid if before else ""
                intents.append(Mutation(step.ref, uid, "intent", 1, before, step.writes, None, AT, 1))
            self._keep(ServiceJournal(name).intend(*intents))
            if point == "after-intent":
                self.failed[name] = point
                return
            for step in change.steps:
                before = self.cluster[step.ref] or bare(step.ref)
                self.cluster[step.ref] = self._written(before, {w.path: w.after for w in step.writes})
                if point == "after-first-act":
                    self.failed[name] = point
                    return
            if point == "after-act":
                self.failed[name] = point
                return
            self._keep(
                self.journals[name].settle({step.ref: self.cluster[step.ref] for step in change.steps})
            )
            if point == "after-outcome":
                self.failed[name] = point
                return
        if point is not None:
            self.failed[name] = point
            return
        self.verified.add(name)

    def _take_back(self, name: str) -> None:
        self.taken_back.append(name)
        conflicts: tuple[object, ...] = ()
        for step in restore_all(self.cluster, self.journals[name].mutations):
            conflicts += step.conflicts
            if step.patched is not None:
                self.cluster[step.ref] = step.patched
            elif step.delete:
                self.cluster[step.ref] = None
        if conflicts:
            self.left.add(name)
            self._keep(self.journals[name].ended("not-whole", "; ".join(map(str, conflicts))))
        else:
            self._keep(self.journals[name].ended("rolled-back"))

    def _edit(self) -> None:
        for name, edit in self.case.edits.items():
            live = self.cluster[ref(name)]
            assert live is not None
            edited: Manifest | None = {
                "image": self._written(live, {IMAGE: "somebody's"}),
                "note": self._written(live, {NOTE: "somebody's"}),
                "replace": self._written(live, {FieldPath.of("metadata", "uid"): "another"}),
                "delete": None,
            }[edit]
            self.cluster[ref(name)] = edited

    def _keep(self, journal: ServiceJournal) -> None:
        # Through the Secrets, as in a real run: what is decided later is decided from what they hold.
        secrets = encode_service("0" * 12, journal, "interlock")
        kept = decode_service(secrets, "0" * 12, journal.service)
        assert kept is not None
        self.journals[journal.service] = kept

    @staticmethod
    def _written(live: Manifest, values: Mapping[FieldPath, object]) -> Manifest:
        raw: dict[str, Any] = live.raw
        for path, value in values.items():
            raw = put(raw, path, value)
        return Manifest.of(raw)


def simulated(case: Case) -> tuple[Simulation, RunOutcome]:
    simulation = Simulation(case)
    return simulation, simulation.run()
