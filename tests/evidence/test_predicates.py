from __future__ import annotations

import pytest

from interlock.evidence.predicates import PREDICATES, UnknownPredicateError, allow, predicate


def test_there_is_a_type_for_each_step_of_a_train_and_for_each_check_beside_it() -> None:
    assert set(PREDICATES) == {
        *("plan", "lock", "preflight", "promote", "verify", "rollback", "seal", "vault-read", "verification"),
        *("environment-check", "onboarding", "mesh-check", "mesh-probe"),
    }


@pytest.mark.parametrize("name", sorted(PREDICATES))
def test_each_type_has_a_versioned_address_of_the_projects_own(name: str) -> None:
    assert predicate(name).uri == f"https://interlock.internal/predicates/{name}/v1"


@pytest.mark.parametrize("name", sorted(PREDICATES))
def test_each_type_says_where_and_when(name: str) -> None:
    assert {"train", "environment", "service", "at", "reason"} <= set(predicate(name).fields)


@pytest.mark.parametrize("field", ["data", "value", "values", "secret", "secret_id", "token", "password"])
def test_a_vault_read_has_no_field_for_a_value(field: str) -> None:
    assert field not in predicate("vault-read").fields


def test_an_unknown_type_is_answered_with_those_that_exist() -> None:
    with pytest.raises(
        UnknownPredicateError,
        match="there are: environment-check, lock, mesh-check, mesh-probe, onboarding, plan",
    ):
        predicate("promotion")


@pytest.mark.parametrize("paths", [("a", "a.b"), ("a.b", "a")])
def test_a_path_can_not_be_a_leaf_and_hold_fields(paths: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="already listed"):
        allow(*paths)
