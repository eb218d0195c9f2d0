"""Against a real store: the bucket is verified by the auditor's identity, and by a verifier that isn't ours."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_logs import Log

from interlock import verify_cli
from interlock.clients.log_reader import BucketSource
from interlock.clients.object_store import Keep, ObjectStore, StoreSettings
from interlock.evidence.log.derive import Edge, advance
from interlock.evidence.log.layout import parse
from interlock.evidence.verification.source import ObjectTooLarge
from sandbox.state import CHECKOUT
from tests.clients.real_parts import ACCESS, AUDITOR, SECRET, running_s3, s3_client, secret_of
from tests.tessera_fsck import accepts, rejects, run_fsck

BUCKET = "verification"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        with closing(s3_client(endpoint)) as s3:
            s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
            rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1095}}
            lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
            s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=lock)
        yield endpoint


def made() -> Log:
    log = Log(year=datetime.now(UTC).year)
    log.clock = datetime.now(UTC)
    for size in (1, 300, 7):
        log.commit(*[log.leaf(blob=at % 100 == 0) for at in range(size)])
    log.commit(log.seal(None, *log.leaves))
    return log


@pytest.fixture(scope="module")
def log(endpoint: str) -> Log:
    """A log, written into the real bucket through the client."""
    log = made()
    settings = StoreSettings(BUCKET, ACCESS, SECRET, endpoint, timeout=30.0)
    with closing(ObjectStore(settings)) as store:
        for key in log.bucket.keys(""):
            place = parse(key)
            keep = Keep.LASTING if place.lasting else Keep.DERIVED
            assert store.create(key, log.bucket.get(key), keep=keep, content_type=place.content_type)
    return log


def test_the_auditors_guide_can_be_followed_word_for_word(endpoint: str, log: Log, tmp_path: Path) -> None:
    guide = (CHECKOUT / "docs" / "evidence.md").read_text().split("## Auditor's guide")[1]
    commands = guide.split("```sh\n")[1].split("```")[0]
    public = {one.key.name: base64.b64encode(one.key.public).decode() for one in (log.heads, log.statements)}
    for shown, meant in {
        "interlock/BUCKET": log.heads.key.name,
        "BASE64 OF interlock-checkpoints": public[log.heads.key.name],
        "BASE64 OF interlock-statements": public[log.statements.key.name],
        "AWS_ACCESS_KEY_ID=…": f"AWS_ACCESS_KEY_ID={AUDITOR}",
        "AWS_SECRET_ACCESS_KEY=…": f"AWS_SECRET_ACCESS_KEY={secret_of(AUDITOR)}",
        "https://s3.example.com": endpoint,
        "DAG_ID/RUN_ID": "train/run-1",
        "BUCKET": BUCKET,
        "/2026/": f"/{log.year}/",
    }.items():
        assert shown in commands
        commands = commands.replace(shown, meant)
    found = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("\nVERIFIED\n") == commands.count("interlock-verify") - 4


def test_what_is_larger_than_what_belongs_there_is_not_read(endpoint: str, log: Log) -> None:
    store = ObjectStore(StoreSettings(BUCKET, ACCESS, SECRET, endpoint, timeout=30.0))
    key = f"{log.prefix}checkpoint"
    with closing(BucketSource(store)) as source:
        size = len(log.bucket.get(key))
        assert len(source.read(key, size)) == size
        with pytest.raises(ObjectTooLarge, match=f"has {size} bytes, expected {size - 1} at most"):
            source.read(key, size - 1)


@pytest.mark.parametrize(("wrong", "status"), [(False, 4), (True, 1)])
def test_a_reader_that_has_heard_enough_does_not_change_the_exit_status(
    log: Log, tmp_path: Path, wrong: bool, status: int
) -> None:
    for key in log.bucket.keys(""):
        file = tmp_path / "copy" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(log.bucket.get(key))
    if wrong:
        (tmp_path / "copy" / f"{log.prefix}seq/{1:020d}").unlink()
    (tmp_path / "log.vkey").write_text(log.heads.key.text)
    command = "interlock-verify archive copy --key log.vkey --json --quiet 2>&1 | true; echo ${PIPESTATUS[0]}"
    found = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stdout == f"{status}\n"


def test_the_auditor_verifies_exports_and_finds_tampering(
    endpoint: str,
    log: Log,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AUDITOR)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_of(AUDITOR))
    (tmp_path / "log.vkey").write_text(log.heads.key.text)
    (tmp_path / "statements.vkey").write_text(log.statements.key.text)
    keys = ["--key", f"{tmp_path}/log.vkey", "--statement-key", f"{tmp_path}/statements.vkey", "--quiet"]
    where = [BUCKET, "--endpoint", endpoint]

    assert verify_cli.main(["bucket", *where, *keys]) == 0, capsys.readouterr()
    assert "309 of 309 entries proven" in capsys.readouterr().out
    assert verify_cli.main(["bucket", *where, *keys, "--since", "301"]) == 0, capsys.readouterr()
    assert verify_cli.main(["export", *where, *keys, "--to", f"{tmp_path}/archive"]) == 0
    assert verify_cli.main(["archive", f"{tmp_path}/archive", *keys]) == 0, capsys.readouterr()
    assert "the archive's exporter, who copied it from the store, says so" in capsys.readouterr().out

    _tamper(endpoint, log.prefix)
    assert verify_cli.main(["bucket", *where, *keys]) == 1
    out = capsys.readouterr().out
    assert "first bad entry: 0 of" in out
    assert "delete-marker" in out
    assert "second-version" in out
    capsys.readouterr()
    assert verify_cli.main(["export", *where, *keys, "--to", f"{tmp_path}/again"]) == 0, capsys.readouterr()
    assert "left out other/" in capsys.readouterr().out
    assert verify_cli.main(["archive", f"{tmp_path}/again", *keys]) == 1


def _tamper(endpoint: str, prefix: str) -> None:
    with closing(s3_client(endpoint)) as s3:
        s3.delete_object(Bucket=BUCKET, Key=f"{prefix}tile/0/000")
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}seq/{1:020d}", Body=b"another")
        # The store lists it in another spelling, under which it has no object.
        s3.put_object(Bucket=BUCKET, Key="other/\x01", Body=b"x")


@pytest.mark.sandbox
def test_tesseras_fsck_accepts_the_log_at_its_newest_size_and_rejects_a_changed_one(tmp_path: Path) -> None:
    log = made()
    for key in log.bucket.keys(log.prefix):
        file = tmp_path / "served" / key.removeprefix(log.prefix)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(log.bucket.get(key))

    said = run_fsck(tmp_path / "served", log.heads.key, log.year, tmp_path)
    assert accepts(said), said

    bundle = tmp_path / "served/tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b'"payload":"e', b'"payload":"f', 1))
    said = run_fsck(tmp_path / "served", log.heads.key, log.year, tmp_path)
    assert rejects(said), said


@pytest.mark.sandbox
def test_tesseras_fsck_accepts_a_log_of_three_levels_of_tiles(tmp_path: Path) -> None:
    log, edge, served = Log(), Edge.empty(), tmp_path / "served"
    for count in (65_000, 800):  # over 65,536 the tree has a third level
        entries = [b'{"entry":%d}' % (edge.size + number) for number in range(count)]
        edge, objects = advance(edge, entries)
        for one in objects:
            file = served / one.ref.path()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(one.body)
    note = log.checkpoint(edge.size, root=edge.root())
    (served / "checkpoint").write_bytes(note)
    said = run_fsck(served, log.heads.key, log.year, tmp_path, seconds=60)
    assert accepts(said), said
    assert "Tiles/2" in said

    tile = served / "tile/2/000.p/1"
    tile.write_bytes(bytes(32))
    said = run_fsck(served, log.heads.key, log.year, tmp_path, seconds=8)
    assert rejects(said), said
