"""The demo's end on a log in a real store."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_logs import Log

from interlock.clients.object_store import Keep, ObjectStore, StoreSettings
from interlock.evidence.log.layout import parse
from interlock.evidence.statement import Run
from sandbox.evidence_demo import Auditor
from tests.clients.real_parts import ACCESS, AUDITOR, SECRET, running_s3, secret_of


@pytest.fixture
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.mark.sandbox
def test_the_demo_verifies_offline_and_finds_a_tampering(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(year=datetime.now(UTC).year)
    log.clock = datetime.now(UTC)
    runs = [
        Run("promotion_train__payments", "demo-arrives"),
        Run("promotion_train__payments", "demo-goes-back"),
    ]
    for run in runs:
        leaves = [log.leaf(kind, run, blob=True) for kind in ("plan", "promote", "verify")]
        log.commit(*leaves, log.seal(run, *leaves))
    with closing(ObjectStore(StoreSettings("evidence", ACCESS, SECRET, endpoint, timeout=30.0))) as store:
        for key in log.bucket.keys(""):
            place = parse(key)
            store.create(key, log.bucket.get(key), keep=Keep.LASTING if place.lasting else Keep.DERIVED)

    keys = [(one.key.name, base64.b64encode(one.key.public).decode()) for one in (log.heads, log.statements)]
    credentials = {
        "AWS_ACCESS_KEY_ID": AUDITOR,
        "AWS_SECRET_ACCESS_KEY": secret_of(AUDITOR),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    auditor = Auditor(tmp_path / "auditor", "evidence", credentials, keys)
    shown = auditor.show([(run.dag_id, run.run_id) for run in runs])
    out = capsys.readouterr().out
    assert shown, out
    assert out.count("\n    VERIFIED") == 3
    assert out.count("\n    NOT VERIFIED") == 1
    assert "first bad entry: 4 of" in out
    assert "affects   entry 4: plan of promotion_train__payments/demo-goes-back" in out
