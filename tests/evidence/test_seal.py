from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from interlock.evidence.seal import make_seal, missing_from
from interlock.evidence.statement import Run, Statement, StatementError, make_statement

AT = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
RUN = Run("promotion_train__payments", "manual__1")
ONE, TWO = "1" * 64, "2" * 64


def seal(*digests: str, incomplete_because: str = "", **fields: object) -> Statement:
    return make_seal(
        run=RUN,
        statements=digests,
        triggered_by="ada",
        approved_by=["bo"],
        outcome="all-new",
        at=AT,
        incomplete_because=incomplete_because,
        fields=fields,
    )


def test_a_seal_lists_each_statement_once_in_order_and_says_who() -> None:
    said = json.loads(seal(TWO, ONE, TWO, train="payments").payload)["predicate"]
    assert said["statements"] == [ONE, TWO]
    assert (said["triggered_by"], said["approved_by"]) == ("ada", ["bo"])
    assert (said["train"], said["outcome"], said["complete"]) == ("payments", "all-new", True)


def test_sealing_again_gives_the_same_statement() -> None:
    assert seal(ONE, TWO).digest == seal(TWO, ONE).digest


def test_a_seal_that_could_not_see_everything_says_so() -> None:
    said = json.loads(seal(ONE, incomplete_because="the store is away").payload)["predicate"]
    assert (said["complete"], said["incomplete_because"]) == (False, "the store is away")


def test_a_statement_that_was_taken_away_is_named() -> None:
    assert missing_from(seal(ONE, TWO).payload, [TWO, "3" * 64]) == (ONE,)
    assert missing_from(seal(ONE, TWO).payload, [TWO, ONE]) == ()


@pytest.mark.parametrize("digest", ["", "1" * 63, "Z" * 64])
def test_only_digests_can_be_listed(digest: str) -> None:
    with pytest.raises(StatementError, match="not a statement's SHA-256"):
        seal(digest)


def test_what_is_no_seal_is_not_read_as_one() -> None:
    other = make_statement("verify", run=RUN, fields={}, at=AT)
    with pytest.raises(StatementError, match="not a seal"):
        missing_from(other.payload, [])


def test_a_run_of_800_statements_fits_one_seal() -> None:
    assert len(seal(*(f"{n:064x}" for n in range(800))).payload) < 65_535
