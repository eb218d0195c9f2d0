"""Random changes: none goes unseen, none breaks the verifier, none makes it work without bound."""

from __future__ import annotations

import random
import time

import pytest
from made_logs import NOW, Log
from tampering import fresh, small

from interlock.evidence.verification.heads import read_head
from interlock.evidence.verification.report import Exit


def lasting(log: Log) -> list[str]:
    """Objects every byte of which is proven: not the first line of a claim, nor what is replaced."""
    return [key for key in log.bucket.keys("") if ".p/" not in key and not key.endswith("/checkpoint")]


@pytest.mark.parametrize("part", range(4))
def test_no_changed_byte_goes_unseen(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        dice = random.Random(seed)
        log = small()
        key = dice.choice(lasting(log))
        body = log.bucket.get(key)
        begin = body.index(b"\n") + 1 if "/seq/" in key else 0
        at = dice.randrange(begin, len(body))
        log.bucket.change(key, body[:at] + bytes([body[at] ^ 1 << dice.randrange(8)]) + body[at + 1 :])
        report = log.verify(now=NOW)
        assert report.exit is Exit.NOT_VERIFIED, (seed, key, at)


@pytest.mark.parametrize("part", range(4))
def test_no_mangled_object_breaks_the_verifier(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        dice = random.Random(seed)
        log = small()
        for _ in range(dice.randint(1, 8)):
            key = dice.choice(log.bucket.keys("log/"))
            body = log.bucket.get(key)
            cut = dice.randrange(len(body) + 1)
            log.bucket.change(
                key,
                dice.choice(
                    [
                        body[:cut],
                        body[cut:],
                        body + body,
                        body[:cut] + dice.randbytes(20) + body[cut:],
                        b"",
                        dice.randbytes(300),
                    ]
                ),
            )
            if dice.random() < 0.3:
                log.bucket.remove(dice.choice(log.bucket.keys("log/")))
        began = time.process_time()
        report = log.verify(now=NOW)
        assert report.to_json()["verdict"] in ("verified", "not-verified")
        assert time.process_time() - began < 5


@pytest.mark.parametrize("since", [False, True])
def test_a_signed_head_of_any_size_costs_no_more_than_the_log_has(since: bool) -> None:
    log = fresh()
    huge = 2**62
    for key in (f"log/2026/checkpoints/{huge:020d}", "log/2026/checkpoint"):
        log.bucket.put(key, log.checkpoint(huge, root=bytes(32)), log.clock)
    trusted = read_head(log.checkpoint(264), log.trust, "trusted") if since else None
    before, began = log.bucket.reads, time.process_time()
    report = log.verify(now=NOW, since=trusted)
    assert "claim-missing" in report.findings.counts
    assert report.first_bad == (2026, 600)
    assert log.bucket.reads - before < 200
    assert time.process_time() - began < 5


def test_many_signed_heads_that_contradict_the_log_cost_no_more_than_a_walk_each() -> None:
    log = fresh()
    for size in range(300, 500):
        log.bucket.put(f"log/2026/checkpoints/{size:020d}", log.checkpoint(size, root=bytes(32)), log.clock)
    began = time.process_time()
    report = log.verify(now=NOW)
    assert report.exit is Exit.NOT_VERIFIED
    assert time.process_time() - began < 10
