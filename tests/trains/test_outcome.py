"""First each verdict by itself, then whole trains, generated, with a failure at any point of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from random import Random
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldConflict, FieldWrite, ObjectChange
from interlock.trains.entries import CREATED_BY, Mutation, ServiceJournal
from interlock.trains.fields import ABSENT, FieldPath, ListKey, get, put
from interlock.trains.journal import decode_service, encode_service
from interlock.trains.order import Scope, depends_on, in_order
from interlock.trains.outcome import RunOutcome, ServiceOutcome, judge, still_moved, verdict
from interlock.trains.rollback import Decision, Standing, restore_all, to_take_back

AT = datetime(2026, 3, 1, tzinfo=UTC)
IMAGE = FieldPath.of("spec", "template", "spec", "containers", ListKey("name", "app"), "image")
NOTE = FieldPath.of("metadata", "annotations", "release")


def ref(service: str) -> ObjectRef:
    return ObjectRef("apps/v1", "Deployment", "payments", service)


def workload(service: str, version: str, *, uid: str = "u", available: int = 1, note: str = "") -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": service,
                "namespace": "payments",
                "uid": uid,
                "generation": 1,
                "annotations": {"release": note or version},
            },
            "spec": {
                "replicas": 1,
                "template": {"spec": {"containers": [{"name": "app", "image": version}]}},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": 1,
                "updatedReplicas": 1,
                "availableReplicas": available,
            },
        }
    )


KEY = FieldPath.of("data", "key")


def config(service: str) -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", "payments", service)


def bare(named: ObjectRef) -> Manifest:
    """An object right after its creation."""
    metadata = {"name": named.name, "namespace": named.namespace, "uid": "created"}
    return Manifest.of({"apiVersion": named.api_version, "kind": named.kind, "metadata": metadata})


def settings_of(service: str, value: str) -> Manifest:
    return Manifest.of(put(bare(config(service)).raw, KEY, value))


WRITES = (FieldWrite(NOTE, "1", "2", None), FieldWrite(IMAGE, "1", "2", None))
CHANGE = Change("a", ref("a"), WRITES)
MUTATION = Mutation(ref("a"), "u", "done", 1, workload("a", "1"), WRITES, 2, AT, 1)
JOURNAL = ServiceJournal("a", (MUTATION,))


def judged(live: Manifest | None, journal: ServiceJournal | None = JOURNAL) -> ServiceOutcome:
    return judge(CHANGE, journal, {ref("a"): live})


def test_a_service_with_all_fields_as_planned_is_new() -> None:
    assert judged(workload("a", "2")) == ServiceOutcome("a", "new")


def test_a_service_with_all_fields_as_before_is_old() -> None:
    assert judged(workload("a", "1")) == ServiceOutcome("a", "old")
    assert judged(workload("a", "1"), None) == ServiceOutcome("a", "old")


def test_a_service_still_moved_is_one_whose_rollback_came_to_no_end() -> None:
    moved = ServiceJournal("a", (MUTATION,))
    assert still_moved([moved, ServiceJournal("b")]) == ("a",)
    assert still_moved([moved.ended("rolled-back"), moved.ended("not-whole", "somebody changed it")]) == ()


def test_a_service_with_nothing_to_change_is_unchanged() -> None:
    assert judge(Change("a", ref("a"), ()), None, {}) == ServiceOutcome("a", "unchanged")


def test_a_service_that_somebody_else_changed_is_not_whole_and_says_where() -> None:
    found = judged(workload("a", "3", note="2"))
    assert found.state == "not-whole"
    assert str(found) == f"a is not whole: {FieldConflict(ref('a'), IMAGE, '2', '3')}"


def test_a_service_that_is_half_new_is_not_whole() -> None:
    found = judged(workload("a", "1", note="2"))
    assert found.state == "not-whole"
    assert found.reason == f"new is Deployment/a {NOTE}; old is Deployment/a {IMAGE}"


def test_a_service_whose_object_is_gone_or_replaced_is_not_whole() -> None:
    assert judged(None) == ServiceOutcome("a", "not-whole", "Deployment/a is gone")
    assert "was replaced" in judged(workload("a", "2", uid="v")).reason


def test_a_service_whose_rollout_is_not_complete_is_not_whole() -> None:
    assert "0 of 1 updated replicas" in judged(workload("a", "2", available=0)).reason
    assert judged(workload("a", "1", available=0)).state == "not-whole"


def test_only_a_rollout_that_goes_on_may_be_over_in_a_moment() -> None:
    assert judged(workload("a", "2", available=0)).settling
    assert not judged(workload("a", "2")).settling
    assert not judged(workload("a", "3", available=0)).settling
    failed = workload("a", "2", available=0)
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {**failed.raw["status"], "conditions": [condition]}
    assert not judged(Manifest.of({**failed.raw, "status": status})).settling


def test_a_service_that_was_in_trouble_before_the_run_is_as_before_when_it_is_so_again() -> None:
    before = replace(MUTATION, before=workload("a", "1", available=0))
    assert judged(workload("a", "1", available=0), ServiceJournal("a", (before,))).state == "old"
    assert judged(workload("a", "2", available=0), ServiceJournal("a", (before,))).state == "not-whole"


def test_a_retried_service_is_judged_by_what_its_first_try_found_and_its_last_one_wrote() -> None:
    again = replace(MUTATION, writes=(FieldWrite(NOTE, "2", "3", None), FieldWrite(IMAGE, "2", "3", None)))
    journal = ServiceJournal("a", (MUTATION, again))
    assert [judged(workload("a", v), journal).state for v in "123"] == ["old", "not-whole", "new"]


def outcomes(*states: Any) -> list[ServiceOutcome]:
    return [ServiceOutcome(name, state) for name, state in zip("abc", states, strict=False)]


def test_a_run_is_all_new_or_all_old_or_not_whole() -> None:
    assert verdict(outcomes("new", "unchanged", "new")).state == "all-new"
    assert verdict(outcomes("old", "unchanged", "old")).state == "all-old"
    assert verdict(outcomes("old", "new")).state == "not-whole"
    assert verdict(outcomes("new", "not-whole")).state == "not-whole"


def test_a_run_that_changed_nothing_is_new_if_it_went_well_and_old_if_not() -> None:
    assert verdict(outcomes("unchanged")).state == "all-new"
    assert verdict(outcomes("unchanged"), ["a failed: not ready"]).state == "all-old"


def test_a_run_with_a_failure_never_succeeded() -> None:
    assert verdict(outcomes("new")).succeeded
    failed = verdict(outcomes("new"), ["a failed: slow"])
    assert (failed.state, failed.succeeded) == ("all-new", False)
    assert failed.text == "all new: a is new. Failed: a failed: slow"


def test_what_stays_although_the_run_failed_makes_the_run_not_whole_and_says_why() -> None:
    journal = JOURNAL.ended("kept", "its release is irreversible")
    kept = judged(workload("a", "2"), journal)
    assert kept == ServiceOutcome("a", "kept", "its release is irreversible")
    assert judged(workload("a", "3"), journal).state == "not-whole"
    found = verdict([kept], ["b failed: slow"])
    assert (found.state, found.succeeded) == ("not-whole", False)
    assert found.text == "not whole: a is kept: its release is irreversible. Failed: b failed: slow"


def test_a_verdict_names_each_service() -> None:
    mixed = [ServiceOutcome("a", "old"), ServiceOutcome("b", "not-whole", "Deployment/b is gone")]
    assert verdict(mixed).text == "not whole: a is old; b is not whole: Deployment/b is gone"


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


@given(cases)
@settings(max_examples=250, deadline=None)
def test_a_service_moves_after_what_it_depends_on_and_goes_back_before_it(case: Case) -> None:
    run, _ = simulated(case)
    for moved in (run.promoted, run.taken_back[::-1]):
        at = {name: position for position, name in enumerate(moved)}
        for name in moved:
            assert all(at[other] < at[name] for other in depends_on(case.edges, name) if other in at)


@given(cases)
@settings(max_examples=250, deadline=None)
def test_the_rollback_of_a_train_is_the_exact_reverse_of_its_promotion(case: Case) -> None:
    run, _ = simulated(replace(case, scope="train", irreversible=frozenset()))
    if run.decision.reason:
        assert run.taken_back == run.promoted[::-1]
    else:
        assert run.taken_back == []


@given(cases)
@settings(max_examples=250, deadline=None)
def test_nothing_depends_on_a_service_that_went_back_and_is_still_new(case: Case) -> None:
    run, _ = simulated(replace(case, edits={}))
    still_new = set(run.promoted) - set(run.taken_back)
    for name in still_new:
        assert not depends_on(case.edges, name) & set(run.taken_back)


@given(cases)
@settings(max_examples=600, deadline=None)
def test_a_train_without_foreign_edits_ends_all_new_or_all_old(case: Case) -> None:
    run, outcome = simulated(replace(case, edits={}, scope="train", irreversible=frozenset()))
    event(outcome.state)
    failed = bool(run.decision.reason)
    expected = "all-old" if failed else "all-new"
    assert outcome.state == expected
    assert outcome.succeeded is not failed
    version = "1" if failed else "2"
    for name, change in run.changes.items():
        live = run.cluster[ref(name)]
        assert live is not None
        assert live == workload(name, version if change.writes else "2")
        for step in change.objects:
            found = run.cluster[step.ref]
            if failed:
                assert found == (None if name in case.creates else settings_of(name, "1"))
            else:
                assert found is not None
                assert get(found.raw, KEY) == "2"


@given(cases)
@settings(max_examples=600, deadline=None)
def test_a_run_ends_all_new_all_old_or_names_what_is_neither(case: Case) -> None:
    run, outcome = simulated(case)
    event(outcome.state)
    by_name = {service.service: service for service in outcome.services}
    assert by_name.keys() == case.board
    assert all(str(service) in outcome.text for service in outcome.services)
    for name, service in by_name.items():
        assert bool(service.reason) is (service.state in ("not-whole", "kept"))
        edited = name in case.edits and (not case.edit_during_rollback or run.decision.back)
        if service.state == "not-whole":
            # A worker died between two objects of a release that can't go back.
            stuck = name in dict(run.decision.kept) and run.failed.get(name) == "after-first-act"
            assert edited or stuck
        if run.changes[name].writes and edited and not (case.edit_during_rollback and name in run.taken_back):
            assert service.state == "not-whole" or case.edits[name] == "replace"
        if name in run.left:
            assert service.state == "not-whole"
    states = {service.state for service in by_name.values()}
    if outcome.state == "all-new":
        assert states <= {"new", "unchanged"}
    elif outcome.state == "all-old":
        assert states <= {"old", "unchanged"}
    else:
        assert states & {"not-whole", "kept"} or {"new", "old"} <= states
    assert {n for n, s in by_name.items() if s.state == "kept"} <= {n for n, _ in run.decision.kept}


@given(cases)
@settings(max_examples=600, deadline=None)
def test_a_run_with_a_failure_is_all_new_only_where_nothing_that_moved_could_go_back(case: Case) -> None:
    run, outcome = simulated(case)
    if not run.decision.reason:
        return
    assert not outcome.succeeded
    if outcome.state != "all-new":
        return
    # All that moved stays, and none of it for an irreversible release: in the scope of a service, what
    # failed is no service on board that moved, nor one that a moved one depends on.
    assert run.taken_back == []
    assert run.decision.kept == ()
    assert case.scope == "service"
    blamed = {n for n, s in run.standings().items() if s.failed or (s.moved and not s.verified)}
    assert all(not {n, *depends_on(case.edges, n)} & blamed for n in run.promoted)


@given(cases)
@settings(max_examples=250, deadline=None)
def test_an_irreversible_release_that_moved_and_what_it_depends_on_stay(case: Case) -> None:
    run, _ = simulated(case)
    for name in case.irreversible & set(run.promoted):
        assert not {name, *depends_on(case.edges, name)} & set(run.taken_back)


@given(cases)
@settings(max_examples=250, deadline=None)
def test_what_somebody_else_wrote_is_never_overwritten(case: Case) -> None:
    run, _ = simulated(replace(case, edit_during_rollback=False))
    for name, edit in case.edits.items():
        live = run.cluster[ref(name)]
        if edit == "delete":
            assert live is None
            continue
        assert live is not None
        if edit == "replace":
            assert live.uid == "another"
        else:
            assert get(live.raw, {"image": IMAGE, "note": NOTE}[edit]) == "somebody's"


@given(cases)
@settings(max_examples=250, deadline=None)
def test_a_rollback_that_is_run_again_changes_nothing(case: Case) -> None:
    run, first = simulated(case)
    after = dict(run.cluster)
    again = to_take_back(
        case.edges,
        run.standings(),
        failed=run.decision.reason,
        scope=case.scope,
        irreversible=case.irreversible,
    )
    if run.decision.reason:
        # Only what could not be restored is looked at again.
        assert set(again.back) <= run.left | (set(run.promoted) - set(run.taken_back))
        for name in run.taken_back:
            for step in restore_all(run.cluster, run.journals[name].mutations):
                assert (step.patched, step.delete) == (None, False)
    assert run.cluster == after
    assert first.services
