"""Whether a bucket's configuration can keep evidence: Object Lock, a default retention, versioning.

That is what one may know without writing: it is looked at before the first write, once in a process. What the
store really does with a locked object is tried by `interlock.clients.store_probe`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from interlock.clients.store_errors import ObjectMissing, StoreUntrusted, asked
from interlock.clients.store_settings import RETENTION_DAYS, StoreSettings

LOCK: Final = "include/deploy/s3/object-lock.json"
CREATE: Final = "include/deploy/s3/create-bucket.sh"
_YEAR_DAYS: Final = 365

_trusted: set[tuple[str | None, str, str | None]] = set()


@dataclass(frozen=True)
class Finding:
    """What was tried on a store, and what it did.

    Attributes:
        tried: what was tried.
        ok: whether the store did what evidence needs.
        expected: what it has to do.
        found: what it did.
        change: what makes it right: a file of include/deploy, or a setting.
        warning: whether somebody should look although it can keep evidence.
    """

    tried: str
    ok: bool
    expected: str
    found: str
    change: str
    warning: bool = False

    def __str__(self) -> str:
        word = "unfit" if not self.ok else "warning" if self.warning else "fit"
        more = "" if self.ok and not self.warning else f", expected {self.expected}; change {self.change}"
        return f"{word}: {self.tried}: {self.found}{more}"


def trust(s3: Any, settings: StoreSettings) -> None:
    """Check a bucket's configuration before the first write; a good answer is remembered in this process.

    Raises:
        StoreUntrusted: it can't keep evidence, with each reason.
        StoreError: the store could not be asked.
    """
    key = (settings.endpoint_url, settings.bucket, settings.access_key)
    if key in _trusted:
        return
    if wrong := unfit(configuration(s3, settings)):
        raise StoreUntrusted(f"bucket {settings.bucket}: {wrong}")
    _trusted.add(key)


def unfit(findings: Iterable[Finding]) -> str:
    """What keeps a bucket from keeping evidence, with what changes it; empty if nothing does."""
    return "; ".join(f"{one.found}, expected {one.expected} ({one.change})" for one in findings if not one.ok)


def configuration(s3: Any, settings: StoreSettings) -> list[Finding]:
    """What a bucket's configuration says; the first is whether it has Object Lock at all.

    Raises:
        StoreError: the store could not be asked, or doesn't allow it.
    """
    bucket = settings.bucket
    where = f"bucket {bucket}: reading its "
    rule: dict[str, Any] = {}
    try:
        answer = asked(lambda: s3.get_object_lock_configuration(Bucket=bucket), f"{where}Object Lock")
        lock = answer.get("ObjectLockConfiguration", {})
        enabled = lock.get("ObjectLockEnabled")
        rule = lock.get("Rule", {}).get("DefaultRetention", {})
        found = f"Object Lock is {enabled!r}"
    except ObjectMissing:
        enabled, found = None, "it doesn't exist, or was made without Object Lock"
    findings = [Finding("Object Lock", enabled == "Enabled", "Object Lock 'Enabled'", found, CREATE)]
    try:
        answer = asked(lambda: s3.get_bucket_versioning(Bucket=bucket), f"{where}versioning")
    except ObjectMissing:
        return findings
    found = f"versioning is {answer.get('Status')!r}"
    right = answer.get("Status") == "Enabled"
    findings.append(Finding("versioning", right, "versioning 'Enabled'", found, CREATE))
    findings.append(_default(rule))
    return findings


def _default(rule: dict[str, Any]) -> Finding:
    days = int(rule.get("Days") or 0) + _YEAR_DAYS * int(rule.get("Years") or 0)
    expected = f"a default retention of {RETENTION_DAYS} days"
    mode = rule.get("Mode")
    if mode not in ("GOVERNANCE", "COMPLIANCE") or days < 1:
        return Finding("default retention", False, expected, "it has no default retention", LOCK)
    found = f"the default retention is {mode}, {days} days"
    return Finding("default retention", True, expected, found, LOCK, warning=days < RETENTION_DAYS)
