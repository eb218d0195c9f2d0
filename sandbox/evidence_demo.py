"""The demo's end: what an auditor does with the trains' evidence, and what happens to who tampers with it.

Nothing of Interlock is asked but the command `interlock-verify`, with the auditor's own read-only credentials
and two public keys; after the export it works offline.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from sandbox.parts.openbao import OpenBao
from sandbox.parts.seaweedfs import BUCKET, SeaweedFS
from sandbox.state import State

SECONDS = 120.0


@dataclass(frozen=True)
class Auditor:
    """What an auditor has.

    Attributes:
        folder: a folder of their own, made anew.
        bucket: the bucket's name.
        credentials: variables with the endpoint and the read-only credentials.
        keys: public keys, Base64, by name: the log's first, then that of statements.
    """

    folder: Path
    bucket: str
    credentials: Mapping[str, str]
    keys: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, state: State) -> Self:
        """The sandbox's auditor; the public keys come from OpenBao, as from a key ceremony."""
        told = SeaweedFS().environment(state)
        bao = OpenBao().environment(state)
        keys = []
        for name, key in ((f"interlock/{BUCKET}", "interlock-checkpoints"), ("interlock-statements",) * 2):
            answer = httpx.get(
                f"{bao['VAULT_ADDR']}/v1/transit/keys/{key}",
                headers={"X-Vault-Token": bao["VAULT_TOKEN"]},
                timeout=10,
            )
            answer.raise_for_status()
            data = answer.json()["data"]
            keys.append((name, str(data["keys"][str(data["latest_version"])]["public_key"])))
        credentials = {
            "AWS_ACCESS_KEY_ID": told["INTERLOCK_AUDITOR_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": told["INTERLOCK_AUDITOR_SECRET_ACCESS_KEY"],
            "AWS_ENDPOINT_URL": told["AWS_ENDPOINT_URL"],
            "AWS_DEFAULT_REGION": told["AWS_DEFAULT_REGION"],
        }
        return cls(state.root / "auditor", BUCKET, credentials, keys)

    def show(self, runs: Sequence[tuple[str, str]]) -> bool:
        """Export the evidence of runs and of the whole log, verify both offline, tamper with a copy.

        Args:
            runs: DAG id and run id.

        Returns:
            Whether the evidence is verified and the tampering was found.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        for (name, public), file in zip(self.keys, ("log.vkey", "statements.vkey"), strict=True):
            done = self._run("key", name, public, keys=False)
            (self.folder / file).write_text(done.stdout)
        print(
            "\nThe evidence, as an auditor sees it: with two public keys and read-only credentials.",
            flush=True,
        )
        good = True
        for number, (dag_id, run_id) in enumerate(runs, 1):
            good &= self._export(f"run-{number}", "--run", f"{dag_id}/{run_id}") and self._verify(
                f"run-{number}", 0
            )
        good = good and self._export("log") and self._verify("log", 0)
        if not good:
            return False
        where = self._tamper()
        print(f"\nSomebody changes one letter in a copy of the archive, in {where}:", flush=True)
        return self._verify("tampered", 1)

    def _export(self, name: str, *what: str) -> bool:
        done = self._run("export", self.bucket, "--to", name, *what)
        self._print(["export", self.bucket, "--to", name, *what], done, 0)
        return done.returncode == 0

    def _verify(self, name: str, expected: int) -> bool:
        done = self._run("archive", name, offline=True)
        self._print(["archive", name], done, expected)
        return done.returncode == expected

    def _run(
        self, *arguments: str, keys: bool = True, offline: bool = False
    ) -> subprocess.CompletedProcess[str]:
        trusted = ("--key", "log.vkey", "--statement-key", "statements.vkey", "--quiet") if keys else ()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.run(
            [str(Path(sys.executable).parent / "interlock-verify"), *arguments, *trusted],
            cwd=self.folder,
            env=kept if offline else {**kept, **self.credentials},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def _print(self, arguments: Sequence[str], done: subprocess.CompletedProcess[str], expected: int) -> None:
        print(f"\n  $ interlock-verify {' '.join(arguments)}", flush=True)
        for line in (done.stdout + done.stderr).splitlines():
            print(f"    {line}")
        if done.returncode != expected:
            print(f"  NOT as expected: exit code {done.returncode}, not {expected}.")
        sys.stdout.flush()

    def _tamper(self) -> str:
        """Change a statement in the newest claim of a copy; return which file."""
        copy = self.folder / "tampered"
        shutil.copytree(self.folder / "log", copy)
        claim = max((copy / "objects" / "log").glob("*/seq/*"))
        header, entry, *others = claim.read_bytes().split(b"\n")
        begin = entry.index(b'"payload":"') + len(b'"payload":"')
        payload = base64.b64decode(entry[begin : entry.index(b'"', begin)])
        changed = payload.replace(b'"at":"2', b'"at":"1', 1)
        entry = entry.replace(base64.b64encode(payload), base64.b64encode(changed))
        claim.write_bytes(b"\n".join([header, entry, *others]))
        return claim.relative_to(copy).as_posix()
