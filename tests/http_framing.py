"""HTTP/1.1's framing: where a message begins and ends. Nothing is decoded, chunks stay as they were sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """A message's head.

    Attributes:
        raw: all its bytes, with the empty line.
        words: those of its first line.
        fields: the header fields that matter here, by their names in small letters.
    """

    raw: bytes
    words: tuple[str, ...]
    fields: dict[bytes, bytes]

    @classmethod
    def of(cls, raw: bytes) -> Head:
        first, *lines = raw[:-4].split(b"\r\n")
        words = tuple(first.decode("latin-1").split(" ", 2))
        if len(words) < 2:
            raise ValueError(f"no HTTP: {first[:80]!r}")
        fields: dict[bytes, bytes] = {}
        for line in lines:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        return cls(raw, words, fields)

    @property
    def closes(self) -> bool:
        return self.fields.get(b"connection", b"").lower() == b"close"

    def without(self, name: bytes) -> Head:
        """The same head without a field."""
        lines = [line for line in self.raw.split(b"\r\n") if not line.lower().startswith(name + b":")]
        fields = {key: value for key, value in self.fields.items() if key != name}
        return Head(b"\r\n".join(lines), self.words, fields)


class Peer:
    """One side's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Head | None:
        """The next message's head, or None where the peer is done."""
        try:
            return Head.of(await self.reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        except asyncio.LimitOverrunError as error:
            raise ValueError("a head without an end") from error

    async def chunks(self) -> bytes:
        """A chunked body with its trailer."""
        found = bytearray()
        while True:
            line = await self.reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            found += line
            if size == 0:
                break
            found += await self.reader.readexactly(size + 2)
        while True:
            line = await self.reader.readuntil(b"\r\n")
            found += line
            if line == b"\r\n":
                return bytes(found)

    def close(self) -> None:
        self.writer.close()


async def read_request(client: Peer) -> tuple[Head, bytes] | None:
    """A whole request, or None where the client is done."""
    head = await client.head()
    if head is None:
        return None
    if b"expect" in head.fields:
        await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = head.without(b"expect")
    if head.fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return head, await client.chunks()
    return head, await client.reader.readexactly(int(head.fields.get(b"content-length", b"0")))


async def read_answer(server: Peer, method: str) -> tuple[Head, bytes]:
    """The whole answer to a request."""
    while True:
        head = await server.head()
        if head is None:
            raise EOFError("the server closed the connection")
        status = int(head.words[1])
        if status >= 200:
            break
    if method == "HEAD" or status in (204, 304):
        return head, b""
    if head.fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return head, await server.chunks()
    if b"content-length" in head.fields:
        return head, await server.reader.readexactly(int(head.fields[b"content-length"]))
    body = await server.reader.read()
    return head, body
