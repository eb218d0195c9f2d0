from __future__ import annotations

import pytest
from log_keys import NAME, NEW, OLD, STRANGER, head, signed

from interlock.evidence.log.checkpoint import Checkpoint, CheckpointError, open_checkpoint
from interlock.evidence.log.merkle import EMPTY_ROOT
from interlock.evidence.log.note import NoteError

ROOT = bytes(range(32))
BODY = "interlock/evidence/2026\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
GOOD = Checkpoint("interlock/evidence/2026", 20852163, ROOT)


def test_a_checkpoint_is_three_lines() -> None:
    assert GOOD.body() == BODY
    assert Checkpoint.of_body(BODY) == GOOD


def test_the_published_bytes_stay_as_they_are() -> None:
    """A golden vector: ed25519 is deterministic, so a change of any byte of the format shows."""
    assert (
        head(20852163, ROOT)
        == (
            BODY + "\n— interlock/evidence "
            "In37+nZ2IzaPN0emqVAHMFA8b0SO2AfE1MzH918rqaInB/oOlvw+hFwh4/RdIWskn/juc8ZhOMOgLiPQwjzmO6HoHQI=\n"
        ).encode()
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (0, ""),
        (1, ""),
        (1, "020852163"),
        (1, "00"),
        (1, "+1"),
        (1, "-1"),
        (1, "1 "),
        (1, "1_0"),
        (1, "0x10"),
        (1, "1.0"),
        (1, "\u0661"),
        (1, "9223372036854775808"),
        (1, "18446744073709551616"),
        (1, "9" * 100_000),
        (1, "0"),
        (2, ""),
        (2, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9="),
        (2, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        (2, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=="),
        (2, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="),
        (2, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= "),
        (2, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\tGBkaGxwdHh8="),
        (3, "extension"),
        (3, "extension\n"),
        (3, "\n"),
    ],
)
def test_what_is_no_checkpoint(line: int, text: str) -> None:
    lines = BODY.split("\n")
    lines[line] = text
    with pytest.raises(CheckpointError):
        Checkpoint.of_body("\n".join(lines))


@pytest.mark.parametrize("body", ["", "\n", "a\n1\n", BODY[:-1], BODY.replace("\n", "\r\n"), "\n" + BODY])
def test_what_has_not_three_lines(body: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.of_body(body)


def test_the_largest_and_the_empty_tree() -> None:
    for checkpoint in (Checkpoint("o", 2**63 - 1, ROOT), Checkpoint("o", 0, EMPTY_ROOT)):
        assert Checkpoint.of_body(checkpoint.body()) == checkpoint


def test_a_signed_checkpoint_opens_with_either_key_of_a_rotation() -> None:
    note = head(20852163, ROOT, OLD, NEW)
    assert open_checkpoint(note, [OLD.key]) == (GOOD, (OLD.key,))
    assert open_checkpoint(note, [OLD.key, NEW.key]) == (GOOD, (OLD.key, NEW.key))


@pytest.mark.parametrize(
    "origin", [NAME, f"{NAME}/26", f"{NAME}/02026", f"{NAME}/2026/", f"x{NAME}/2026", f"{NAME}/x/2026"]
)
def test_a_checkpoint_of_another_log_by_the_same_key(origin: str) -> None:
    with pytest.raises(CheckpointError, match="origin"):
        open_checkpoint(head(1, ROOT, origin=origin), [NEW.key])
    assert open_checkpoint(head(1, ROOT, origin=origin), [NEW.key], origin)[0].origin == origin


def test_a_checkpoint_of_another_year_where_one_is_asked_for() -> None:
    with pytest.raises(
        CheckpointError, match="expected interlock/evidence/2027, found 'interlock/evidence/2026'"
    ):
        open_checkpoint(head(1, ROOT), [NEW.key], f"{NAME}/2027")


def test_a_checkpoint_that_only_a_witness_signed() -> None:
    with pytest.raises(NoteError):
        open_checkpoint(head(1, ROOT, STRANGER), [NEW.key])


def test_a_signed_text_that_is_no_checkpoint() -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(signed("hello\n"), [NEW.key])
