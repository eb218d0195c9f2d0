"""The journal: what a run needs to go back, in Secrets that Interlock alone reads.

Going back must not depend on the evidence store, on Vault, on XCom or on a worker's disk. So before
each mutation the intent and the full object as it was are written here, and the outcome after it.

One run has a head Secret (which run, which plan, open or closed, the stop flag) and one journal for
each service. A service's journal that exceeds `CHUNK_BYTES` continues in further Secrets. These are
named after their content and never change; the first Secret lists them with their digests. Write
the Secrets in the order in which `encode_service` gives them: the first one comes last and is the
commit point, so that a crash in between leaves the former journal as it was.

Pure: these functions turn values into Secrets and back. Writing with the resourceVersion of the read,
so that two writers don't overwrite each other, is the caller's part.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from interlock.manifest import PREFIX, Manifest
from interlock.trains.entries import (
    Head,
    ServiceJournal,
    Stop,
    head_name,
    service_name,
)
from interlock.trains.entry_json import as_map, as_str, service_from, service_json, time_text

FORMAT = 1
CHUNK_BYTES = 900_000
"""A Secret holds at most 1,048,576 bytes (Kubernetes, MaxSecretSize); the rest is for names and labels."""

SECRET_TYPE = f"{PREFIX}journal"
KIND_LABEL = f"{PREFIX}journal"
RUN_LABEL = f"{PREFIX}run"
STATE_LABEL = f"{PREFIX}state"
VERDICT_LABEL = f"{PREFIX}verdict"
"""On the head of a run that ended: where it left its services, `all-new`, `all-old` or `not-whole`."""
SERVICE_LABEL = f"{PREFIX}service"
STOP_ANNOTATION = f"{PREFIX}stop"
PAUSED_ANNOTATION = f"{PREFIX}paused-since"
"""Since when the DAG of an open run was seen paused: such a run neither goes on nor goes back."""
CLOSED_ANNOTATION = f"{PREFIX}closed-at"
"""When the journal was closed; it is removed some days later."""

_SERVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class JournalError(Exception):
    """A journal can't be read: which Secret, what was expected, what was found."""


def encode_head(head: Head, namespace: str, resource_version: str = "") -> Manifest:
    """The head as a Secret; `resource_version` is that of the Secret it replaces."""
    body = {
        "dag_id": head.dag_id,
        "run_id": head.run_id,
        "train": head.train,
        "environment": head.environment,
        "plan": dict(head.plan),
        "opened_at": time_text(head.opened_at),
        "clear_number": head.clear_number,
    }
    state = "closed" if head.closed else "open"
    labels = {KIND_LABEL: "run", RUN_LABEL: head.run, STATE_LABEL: state}
    annotations = {STOP_ANNOTATION: encode_stop(head.stop)} if head.stop else {}
    data = {"format": str(FORMAT).encode(), "head": _json(body)}
    return _secret(head_name(head.run), namespace, labels, data, annotations, resource_version)


def decode_head(secret: Manifest) -> Head:
    """The head in a Secret.

    Raises:
        JournalError: it is of another format, or damaged.
    """
    body = _object(secret, _data(secret, "head"))
    try:
        return Head(
            dag_id=as_str(body, "dag_id"),
            run_id=as_str(body, "run_id"),
            train=as_str(body, "train"),
            environment=as_str(body, "environment"),
            plan=as_map(body["plan"]),
            opened_at=datetime.fromisoformat(as_str(body, "opened_at")),
            closed=secret.labels.get(STATE_LABEL) == "closed",
            stop=stop_in(secret),
            paused_since=secret.annotations.get(PAUSED_ANNOTATION, ""),
            clear_number=_number(body.get("clear_number")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(secret, error) from error


def encode_stop(stop: Stop) -> str:
    """The value of the stop annotation."""
    return json.dumps({"by": stop.by, "why": stop.why, "at": stop.at}, sort_keys=True, ensure_ascii=False)


def stop_in(head: Manifest) -> Stop | None:
    """The stop flag on a head Secret.

    Any value stops the line, also one that somebody typed and that isn't JSON.
    """
    value = head.annotations.get(STOP_ANNOTATION)
    if value is None:
        return None
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return Stop(by="unknown", why=value, at="")
    return Stop(
        *(str(found.get(key, default)) for key, default in (("by", "unknown"), ("why", ""), ("at", "")))
    )


def encode_service(
    run: str, journal: ServiceJournal, namespace: str, resource_version: str = ""
) -> tuple[Manifest, ...]:
    """A service's journal as Secrets, in the order in which to write them.

    All but the last never change: "exists already" is success for them. The last one replaces
    the Secret of that name, whose resourceVersion is `resource_version` (empty: create it).
    """
    if not _SERVICE_NAME.fullmatch(journal.service):
        raise ValueError(f"service {journal.service!r}: expected a DNS label (RFC 1123)")
    body = _json(service_json(journal))
    chunks = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
    labels = {KIND_LABEL: "service", RUN_LABEL: run, SERVICE_LABEL: journal.service}
    name = service_name(run, journal.service)
    # A service's name has no dot, so the further Secrets of "a" never meet the first one of "a-1".
    names = [name, *(f"{name}.{_digest(chunk)[:16]}" for chunk in chunks[1:])]
    index = [{"name": n, "sha256": _digest(c)} for n, c in zip(names, chunks, strict=True)]
    version = str(FORMAT).encode()
    further = {
        name: _secret(name, namespace, labels, {"format": version, "chunk": chunk})
        for name, chunk in zip(names[1:], chunks[1:], strict=True)
    }
    first = {"format": version, "index": _json(index), "chunk": chunks[0]}
    return (*further.values(), _secret(name, namespace, labels, first, {}, resource_version))


def decode_service(secrets: Iterable[Manifest], run: str, service: str) -> ServiceJournal | None:
    """A service's journal from the Secrets of its run; others among them are passed over.

    Returns:
        None if the service has no journal.

    Raises:
        JournalError: a Secret is missing, damaged, or of another format.
    """
    by_name = {secret.name: secret for secret in secrets}
    first = by_name.get(service_name(run, service))
    if first is None:
        return None
    body = b""
    try:
        index = json.loads(_data(first, "index"))
        listed = [(as_str(item, "name"), as_str(item, "sha256")) for item in index]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(first, error) from error
    for number, (name, digest) in enumerate(listed, start=1):
        where = f"chunk {number} of {len(listed)} of the journal of {service}, Secret {name}"
        secret = by_name.get(name)
        if secret is None:
            raise JournalError(f"{where}: is missing")
        chunk = _data(secret, "chunk")
        if _digest(chunk) != digest:
            raise JournalError(f"{where}: is damaged: expected sha256 {digest}, found {_digest(chunk)}")
        body += chunk
    try:
        return service_from(_object(first, body))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(first, error) from error


def _secret(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    data: Mapping[str, bytes],
    annotations: Mapping[str, str] | None = None,
    resource_version: str = "",
) -> Manifest:
    metadata: dict[str, object] = {"name": name, "namespace": namespace, "labels": dict(labels)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": SECRET_TYPE,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
    )


def _data(secret: Manifest, key: str) -> bytes:
    data = secret.raw.get("data") or {}
    version = _decoded(secret, data, "format").decode(errors="replace")
    if version != str(FORMAT):
        raise JournalError(
            f"Secret {secret.name} has journal format {version!r}; this Interlock reads format {FORMAT}: "
            "use the version of Interlock that wrote it"
        )
    return _decoded(secret, data, key)


def _decoded(secret: Manifest, data: Mapping[str, object], key: str) -> bytes:
    value = data.get(key)
    if not isinstance(value, str):
        raise JournalError(f"Secret {secret.name} is no journal of Interlock: it has no data {key!r}")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise JournalError(f"Secret {secret.name} is damaged: data {key!r} is no base64") from error


def _object(secret: Manifest, body: bytes) -> Mapping[str, object]:
    try:
        return as_map(json.loads(body))
    except ValueError as error:
        raise _damaged(secret, error) from error


def _damaged(secret: Manifest, error: Exception) -> JournalError:
    what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    return JournalError(f"Secret {secret.name} is damaged: {what}")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(chunk: bytes) -> str:
    return hashlib.sha256(chunk).hexdigest()
