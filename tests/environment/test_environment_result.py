"""What checks come to: the verdict, the page, and evidence without secrets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from good_environment import GITHUB, LIMITS, NEEDS, NOW, STORE, TOOLS, VAULT, expectations

from interlock.environment.check import Check
from interlock.environment.github import judge_github
from interlock.environment.result import Result
from interlock.environment.store import judge_store
from interlock.environment.tools import judge_tools
from interlock.environment.vault import judge_vault
from interlock.evidence.predicates import predicate
from interlock.evidence.redaction import clean

SECRET = "ghp_" + "a1B2c3D4e5" * 4


def good() -> list[Check]:
    wanted = expectations()
    assert wanted.github is not None
    return [
        *judge_github(GITHUB, wanted.github, NOW),
        *judge_vault(VAULT, wanted.vault, NEEDS, LIMITS),
        *judge_tools(TOOLS, wanted),
        *judge_store(STORE, "require"),
    ]


def one(status: str, severity: str, said: str = "it is so") -> Check:
    return Check("vault.ttl", "the token", "interlock_vault", status, said, "mend it", severity)  # type: ignore[arg-type]


def result(checks: Iterable[Check]) -> Result:
    return Result.of("sandbox", NOW, checks)


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ([], "passed"),
        ([one("ok", "error")], "passed"),
        ([one("finding", "warning")], "passed"),
        ([one("not-checked", "note")], "passed"),
        ([one("finding", "error")], "not-passed"),
        ([one("not-checked", "error")], "not-passed"),
    ],
)
def test_an_error_or_something_that_matters_and_was_not_seen_does_not_pass(
    more: list[Check], verdict: str
) -> None:
    assert result([*good(), *more]).verdict == verdict


@pytest.mark.parametrize("area", ["github", "vault", "tools", "store"])
def test_an_area_of_which_nothing_is_told_does_not_pass(area: str) -> None:
    found = result([check for check in good() if check.area != area])
    assert found.verdict == "not-passed"
    assert found.fields()["blocking"] == [f"{area}.looked-at"]


def test_the_statement_tells_verdict_counts_and_what_blocks() -> None:
    fields = result([*good(), one("finding", "error"), one("not-checked", "note")]).fields()
    assert fields["verdict"] == "not-passed"
    assert fields["collection"] == "worm"
    assert fields["blocking"] == ["vault.ttl"]
    assert fields["counts"] == {"ok": len(good()), "finding": 1, "not-checked": 1, "blocking": 1}


def test_evidence_has_a_place_for_all_that_is_told_and_holds_nothing_back() -> None:
    found = result([*good(), one("finding", "error")])
    for said, allowed in (
        (found.fields(), predicate("environment-check").fields),
        (found.evidence(), predicate("environment-check").evidence),
    ):
        cleaned = clean(said, allowed)
        assert (cleaned.dropped, cleaned.redactions) == (0, ())
        assert cleaned.fields == said


def test_what_looks_like_a_secret_is_neither_on_the_page_nor_in_evidence() -> None:
    found = result([*good(), one("finding", "error", f"the server said {SECRET}")])
    assert SECRET not in found.page() + str(found.evidence())
    assert "redacted:github-token" in found.page()


def test_the_page_says_first_what_to_do_and_then_everything_by_area() -> None:
    page = result([*good(), one("finding", "error", "a|b")]).page()
    head, todo, *areas = page.split("\n## ")
    assert head.startswith("# Environment check: sandbox\n\n2026-11-25T06:00:00+00:00: **NOT-PASSED**.")
    assert todo.splitlines()[2] == "1. the token (interlock_vault): a|b. **mend it** `vault.ttl`"
    assert [area.splitlines()[0] for area in areas] == ["GitHub", "Vault", "Tools", "Evidence store"]
    row = areas[1].splitlines()[4]
    assert row == "| FINDING (error) | `vault.ttl` | the token | interlock_vault | a\\|b | mend it |"
    assert page.count("\n| ok | ") == len(good())


def test_a_page_of_what_passed_has_nothing_to_do() -> None:
    assert "What to do first" not in result(good()).page()


def test_a_check_survives_xcom() -> None:
    for check in good():
        assert Check.of_json(check.as_json()) == check


@pytest.mark.parametrize(
    ("check", "shown"),
    [
        (one("ok", "error"), "ok: vault.ttl: the token [interlock_vault]: it is so. mend it"),
        (
            one("finding", "warning"),
            "finding (warning): vault.ttl: the token [interlock_vault]: it is so. mend it",
        ),
    ],
)
def test_a_check_is_shown_with_what_where_and_the_fix(check: Check, shown: str) -> None:
    assert str(check) == shown
