"""What holds of every run of every train, whatever fails and whoever interferes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given, settings
from services_in_memory import IMAGE, KEY, NOTE, ref, settings_of, workload
from simulated_train import Case, cases, simulated

from interlock.trains.fields import get
from interlock.trains.order import depends_on
from interlock.trains.rollback import restore_all, to_take_back


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
