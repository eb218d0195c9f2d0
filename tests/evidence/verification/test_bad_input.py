"""Input that is not what it should be: a clear message, no traceback, nothing written."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from auditors_desk import Desk, desk

__all__ = ["desk"]

LINE = {
    "key": "log/2026/checkpoint",
    "version": "1",
    "latest": True,
    "marker": False,
    "size": 1,
    "last_modified": None,
    "retention": None,
    "file": None,
}


def tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "archive.tar"
        with tarfile.open(path, mode) as out:
            for info, content in members:
                out.addfile(info, io.BytesIO(content))
        return path

    return make


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def raw(content: bytes, name: str = "archive.tar") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def header(change: Callable[[bytearray], object]) -> Callable[[Path], Path]:
    """A tar with one member whose header is changed, its checksum made to fit."""

    def make(folder: Path) -> Path:
        path = tar(member("log/x", b"hello"))(folder)
        block = bytearray(path.read_bytes())
        change(block)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block[:512])
        path.write_bytes(block)
        return path

    return make


def claims_size(block: bytearray) -> None:
    block[124:136] = b"%011o\0" % (500 * 1024**2)


def claims_huge(block: bytearray) -> None:
    block[124:136] = b"\x80" + (10**18).to_bytes(11, "big")


def claims_negative(block: bytearray) -> None:
    block[124:136] = b"\xff" * 12


def pax_bomb(block: bytearray) -> None:
    block[156:157] = b"x"
    block[124:136] = b"%011o\0" % (8**11 - 1)


def bomb(folder: Path) -> Path:
    path = folder / "archive.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for _ in range(200):
            out.write(bytes(1024 * 1024))
    return path


def listed(*lines: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "archive").mkdir()
        (folder / "archive/versions.jsonl").write_bytes(b"".join(lines))
        (folder / "archive/objects").mkdir()
        (folder / "archive/objects/x").write_bytes(b"")
        return folder / "archive"

    return make


def line(**change: object) -> bytes:
    return json.dumps({**LINE, **change}).encode() + b"\n"


def folder_with(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        (folder / "archive/log").mkdir(parents=True)
        make(folder / "archive/log")
        return folder / "archive"

    return made


FIRST = b'{"format":2,"kind":"whole"}\n'
PART = b'{"format":2,"kind":"part"}\n'


def damaged(damage: Callable[[bytes, int], bytes]) -> Callable[[Path], Path]:
    """A tar of three members, damaged where the second one begins."""

    def make(folder: Path) -> Path:
        path = tar(*(member(f"log/{name}", b"x" * 700) for name in "xyz"))(folder)
        with tarfile.open(path) as read:
            at = read.getmembers()[1].offset
        path.write_bytes(damage(path.read_bytes(), at))
        return path

    return make


# fmt: off
ARCHIVES: list[tuple[str, Callable[[Path], Path], str]] = [
    ("nothing there", lambda f: f / "none", "No such file"),
    ("an empty folder", lambda f: (f / "archive").mkdir() or f / "archive", "no log in it"),
    ("a folder of other things", lambda f: raw(b"hello", "notes.txt")(f).parent, "no log in it"),
    ("an empty file", raw(b""), "not a whole .tar"),
    ("text", raw(b"hello" * 500), "not a whole .tar"),
    ("a zip file", raw(b"PK\x03\x04" + bytes(100)), "a zip file"),
    ("a bzip2 file", raw(b"BZh9" + bytes(100)), "a bzip2 file"),
    ("an xz file", raw(b"\xfd7zXZ\0" + bytes(100)), "an xz file"),
    ("a gzip file that is cut off", raw(gzip.compress(bytes(100_000))[:-20]), "not a whole .tar"),
    ("a gzip file of text", raw(gzip.compress(b"hello" * 500)), "not a whole .tar"),
    ("a gzip file with a wrong sum", raw(gzip.compress(bytes(20_000))[:-8] + bytes(8)), "not a whole .tar"),
    ("a bomb", bomb, "a bomb"),
    ("a tar that is cut between members", damaged(lambda all_, at: all_[:at]), "cut off"),
    ("a tar that is cut in a header", damaged(lambda all_, at: all_[:at + 100]), "cut off"),
    ("a tar with a damaged header", damaged(lambda all_, at: all_[:at + 5] + b"\xff" + all_[at + 6:]), "damaged"),
    ("a tar with zeros in its middle", damaged(lambda all_, at: all_[:at] + bytes(1024) + all_[at:]), "damaged"),
    ("a symbolic link in a tar", tar(member("log/x", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "log/x is a link"),
    ("a hard link in a tar", tar(member("log/x", type=tarfile.LNKTYPE, linkname="log/y")), "log/x is a link"),
    ("a device in a tar", tar(member("log/x", type=tarfile.CHRTYPE)), "neither a file nor a folder"),
    ("a pipe in a tar", tar(member("log/x", type=tarfile.FIFOTYPE)), "neither a file nor a folder"),
    ("a sparse member", tar(member("log/x", type=tarfile.GNUTYPE_SPARSE)), "sparse"),
    ("a path that leaves the folder", tar(member("../../etc/passwd", b"x")), "leads out of the archive"),
    ("a path with a step back inside", tar(member("log/../../x", b"x")), "leads out of the archive"),
    ("an absolute path", tar(member("/etc/passwd", b"x")), "leads out of the archive"),
    ("a path with backslashes", tar(member("..\\x", b"x")), "leads out of the archive"),
    ("a member twice", tar(member("log/x", b"1"), member("log/x", b"2")), "is in it twice"),
    ("a member larger than the file", header(claims_size), "more than are left"),
    ("a member of an exabyte", header(claims_huge), "claims"),
    ("a member of a negative size", header(claims_negative), "archive.tar"),
    ("a header that claims gigabytes", header(pax_bomb), "larger than any is"),
    ("a tar that is cut off", lambda f: raw(tar(member("log/x", b"1" * 9000))(f).read_bytes()[:3000])(f), "cut off"),
    ("a symbolic link in a folder", folder_with(lambda f: (f / "x").symlink_to("/etc/passwd")), "x is a symbolic link"),
    ("a linked folder in a folder", folder_with(lambda f: (f / "x").symlink_to("/etc")), "x is a symbolic link"),
    ("a pipe in a folder", folder_with(lambda f: os.mkfifo(f / "x")), "neither a file nor a folder"),
    ("a pipe for an archive", lambda f: os.mkfifo(f / "p") or f / "p", "neither a file nor a folder"),
    ("an empty list", listed(), "versions.jsonl is empty"),
    ("a list that is no JSON", listed(b"hello\n"), "line 1: no header"),
    ("a list of another format", listed(b'{"format":9}\n'), "format 9; this version reads 1 and 2"),
    ("a list that is cut off", listed(FIRST, line()[:-5]), "line 2: longer than 16384 bytes, or cut off"),
    ("a list with an endless line", listed(FIRST, b" " * 20_000), "line 2: longer than 16384 bytes"),
    ("a list of brackets", listed(FIRST, b"[" * 16_000 + b"\n"), "line 2: not a version"),
    ("a list with a wrong time", listed(FIRST, line(last_modified="yesterday")), "line 2: not a version"),
    ("a list with a time without a zone", listed(FIRST, line(last_modified="2026-01-01T00:00:00")), "has no offset"),
    ("a list with a wrong size", listed(FIRST, line(size="1")), "line 2: not a version"),
    ("a list with a wrong lock", listed(FIRST, line(retention={"mode": "GOVERNANCE"})), "line 2: not a version"),
    ("a list that names a file outside", listed(FIRST, line(file="../../../../etc/passwd"), line(key="log/2026/seq/00000000000000000000", file="/etc/passwd")), "it has no ../../../../etc/passwd"),
    ("a part that lists words", listed(b'{"format":1,"kind":"part","entries":{"a":["b"]}}\n'), "line 1: no header"),
    ("a part that lists words in a line", listed(PART, b'{"entries":["b"],"year":2026}\n'), "line 2: not a version"),
    ("a part that lists a word's year", listed(PART, b'{"entries":[1],"year":"a"}\n'), "line 2: not a version"),
    ("a part with an endless line", listed(PART, b'{"entries":[' + b"1," * 9_000 + b'1],"year":2026}\n'), "line 2: longer than 16384 bytes"),
]
# fmt: on


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(
    ("does", "make", "message"), ARCHIVES, ids=[one[0].replace(" ", "-") for one in ARCHIVES]
)
def test_an_archive_that_is_none_is_refused_with_a_message(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    make: Callable[[Path], Path],
    message: str,
) -> None:
    inbox = tmp_path / "inbox"
    temporary = tmp_path / "temporary"
    inbox.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    path = make(inbox)
    before = written(tmp_path)
    status, out, err = desk.run("archive", path)
    assert written(tmp_path) == before
    assert message in out + err
    assert status in (1, 3)
    assert status == 1 or (err.startswith("interlock-verify: ") and not out)


KEY = "interlock/tests+00000000+AQ=="


@pytest.mark.parametrize(
    ("does", "text", "message"),
    [
        ("an empty file", b"", "holds no verifier key"),
        ("comments alone", b"# hello\n", "holds no verifier key"),
        ("bytes", b"\xff\xfe", "not text"),
        ("a word", b"hello\n", "line 1: verifier key: expected name+keyid+key"),
        ("a short key", KEY.encode(), "line 1: verifier key"),
        ("a private key", b"PRIVATE+KEY+interlock/tests+00000000+AQ==\n", "this is a private key"),
        ("a PEM file", b"-----BEGIN PRIVATE KEY-----\n", "this is a private key"),
        ("a huge file", b"#" * 100_000, "too many for a key file"),
        ("another key id", b"LOG+1", "line 1"),
        ("a key of another log beside", b"BOTH", "of 2 logs"),
    ],
)  # fmt: skip
def test_a_key_file_that_is_none_is_refused(desk: Desk, does: str, text: bytes, message: str) -> None:
    vkey = desk.log.heads.key.text
    name, keyid, rest = vkey.split("+", 2)
    if text == b"LOG+1":
        text = f"{name}+{int(keyid, 16) ^ 1:08x}+{rest}".encode()
    if text == b"BOTH":
        text = f"{vkey}\n{desk.log.statements.key.text}\n".encode()
    (desk.folder / "log.vkey").write_bytes(text)
    status, out, err = desk.run("bucket", "tests")
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bucket", "tests", "--witness", "/none"], "No such file"),
        (["bucket", "tests", "--since", "/none"], "No such file"),
        (["bucket", "tests", "--since", "7", "--year", "2026"], "has no head of size 7"),
        (["bucket", "tests", "--days", "-1"], "--days takes"),
        (["receipt", "/none"], "No such file"),
        (["receipt", "/proc/self/environ"], "no receipt"),
        (["export", "tests", "--to", "/proc/x", "--day", "yesterday"], "is no day"),
        (["export", "tests", "--to", "/proc/x", "--period", "2026-02-02", "2026-02-01"], "before it begins"),
        (["export", "tests", "--to", "/proc/x", "--run", "train"], "expected DAG_ID/RUN_ID"),
        (["export", "tests", "--to", "NEW", "--train", "none"], "no statement of train none"),
        (["export", "tests", "--to", "FULL"], "not empty"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_said(desk: Desk, arguments: list[str], message: str) -> None:
    (desk.folder / "FULL").mkdir()
    (desk.folder / "FULL/file").write_text("")
    given = [str(desk.folder / one) if one in ("NEW", "FULL") else one for one in arguments]
    before = written(desk.folder)
    status, out, err = desk.run(given[0], *given[1:])
    assert status in (1, 2, 3)
    assert message in out + err or (message == "no receipt" and "receipt-malformed" in out)
    assert written(desk.folder) == before
