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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from sandbox.parts.openbao import OpenBao
from sandbox.parts.seaweedfs import BUCKET, SeaweedFS
from sandbox.state import State

SECONDS = 120.0
SHOWN = {"run": ("Proven", "Wrong"), "log": ("Proven", "Wrong", "Not excluded"), "tampered": ("Wrong",)}
"""The parts of a verdict that are shown: each is told once, where it matters."""


class AuditorError(Exception):
    """The evidence can't be shown; the message says why."""


_KEYS = ("--key", "log.vkey", "--statement-key", "statements.vkey")


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
        """The sandbox's auditor; the public keys come from OpenBao, as from a key ceremony.

        Raises:
            AuditorError: OpenBao does not tell them.
        """
        told = SeaweedFS().environment(state)
        bao = OpenBao().environment(state)
        keys = []
        for name, key in ((f"interlock/{BUCKET}", "interlock-checkpoints"), ("interlock-statements",) * 2):
            url = f"{bao['VAULT_ADDR']}/v1/transit/keys/{key}"
            try:
                answer = httpx.get(url, headers={"X-Vault-Token": bao["VAULT_TOKEN"]}, timeout=10)
                answer.raise_for_status()
                data = answer.json()["data"]
                keys.append((name, str(data["keys"][str(data["latest_version"])]["public_key"])))
            except (httpx.HTTPError, KeyError, ValueError) as error:
                raise AuditorError(f"no public key at {url}: {type(error).__name__}: {error}") from error
        credentials = {
            "AWS_ACCESS_KEY_ID": told["INTERLOCK_AUDITOR_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": told["INTERLOCK_AUDITOR_SECRET_ACCESS_KEY"],
            "AWS_ENDPOINT_URL": told["AWS_ENDPOINT_URL"],
            "AWS_DEFAULT_REGION": told["AWS_DEFAULT_REGION"],
        }
        return cls(state.root / "auditor", BUCKET, credentials, keys)

    def prepare(self) -> None:
        """Make the folder anew, with the two public keys in it.

        Raises:
            AuditorError: they can't be written.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        for (name, public), file in zip(self.keys, ("log.vkey", "statements.vkey"), strict=True):
            done = self.run("key", name, public, keys=False)
            if done.returncode:
                raise AuditorError(f"interlock-verify makes no key file: {done.stderr.strip()}")
            (self.folder / file).write_text(done.stdout)

    def show(self, runs: Sequence[tuple[str, str]]) -> bool:
        """Export the evidence of runs and of the whole log, verify both offline, tamper with a copy.

        Args:
            runs: DAG id and run id.

        Returns:
            Whether the evidence is verified and the tampering was found.

        Raises:
            AuditorError: a command could not be run.
        """
        self.prepare()
        _say(
            "\nThe evidence, as an auditor sees it: with two public keys, log.vkey and statements.vkey, and"
            f"\nread-only credentials. The commands run in {self.folder}."
        )
        _say("\nEach train's evidence is taken out of the bucket, and verified offline:")
        names = [f"train-{number}" for number, _ in enumerate(runs, 1)]
        if not all(
            self._export(name, "--run", f"{dag_id}/{run_id}") and self._verify(name, 0, SHOWN["run"])
            for name, (dag_id, run_id) in zip(names, runs, strict=True)
        ):
            return False
        _say("\nThen the whole log, from its first entry on:")
        if not (self._export("log") and self._verify("log", 0, SHOWN["log"])):
            return False
        _say(f"\nIn a copy of it somebody changes one digit of a statement, in tampered/{self._tamper()}:")
        found = self._verify("tampered", 1, SHOWN["tampered"])
        pages = ", ".join(str(self.folder / name / "index.html") for name in names)
        _say(f"\nTo read in a browser, what each train's evidence says: {pages}")
        return found

    def _export(self, name: str, *what: str) -> bool:
        arguments = ("export", self.bucket, *what, "--to", name)
        done = self.run(*arguments)
        # Of a success the second line repeats the command that comes next.
        shown = done.stdout.splitlines()[:1] if done.returncode == 0 else _all(done)
        return _print(arguments, shown, done.returncode, 0)

    def _verify(self, name: str, expected: int, sections: Sequence[str]) -> bool:
        done = self.run("archive", name, offline=True)
        shown = list(_of_sections(done.stdout, sections)) if done.returncode in (0, 1) else _all(done)
        return _print(("archive", name), shown, done.returncode, expected)

    def run(
        self, *arguments: str, keys: bool = True, offline: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `interlock-verify` in the folder.

        Args:
            arguments: what it is asked.
            keys: whether the two public keys are named.
            offline: whether it gets no credentials.

        Raises:
            AuditorError: it could not be run, or came to no end.
        """
        trusted = (*_KEYS, "--quiet") if keys else ()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        try:
            return subprocess.run(
                [str(Path(sys.executable).parent / "interlock-verify"), *arguments, *trusted],
                cwd=self.folder,
                env=kept if offline else {**kept, **self.credentials},
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuditorError(f"interlock-verify {' '.join(arguments)}: {error}") from error

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


def _say(text: str) -> None:
    print(text, flush=True)


def _print(arguments: Sequence[str], shown: Sequence[str], status: int, expected: int) -> bool:
    """Show a command and what it said; returns whether it ended as expected."""
    _say(f"\n  $ interlock-verify {' '.join((*arguments, *_KEYS))}")
    for line in shown:
        _say(f"    {line}")
    if status != expected:
        _say(f"  NOT as expected: exit code {status}, not {expected}.")
    return status == expected


def _all(done: subprocess.CompletedProcess[str]) -> list[str]:
    return (done.stdout + done.stderr).splitlines()


def _of_sections(text: str, wanted: Sequence[str]) -> Iterator[str]:
    """A verdict's first lines, and those of its sections that are wanted; the last line repeats the first."""
    shown = True
    for line in text.splitlines()[:-2]:
        if line.endswith(":") and not line.startswith(" "):
            shown = line.removesuffix(":") in wanted
        if shown:
            yield line
