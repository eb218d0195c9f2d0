"""What the doctor says of a real store."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.clients.object_store import StoreSettings
from interlock.connections import Connection
from interlock.doctor.line import Line
from interlock.doctor.store import examine_store
from interlock.trains.model import Environment
from tests.clients.real_parts import UNBOUND, WRITER, secret_of

ENVIRONMENT = Environment("sandbox", "kubernetes", "payments", "interlock", "vault", "require", "store")


def lines(settings: StoreSettings, access_key: str = WRITER, **told: Any) -> list[Line]:
    service = {"bucket_name": "evidence", **told}
    connection = Connection(
        "store",
        login=access_key,
        password=secret_of(access_key),
        extra={"endpoint_url": settings.endpoint_url, "service_config": {"s3": service}},
    )
    return list(examine_store(ENVIRONMENT, lambda name: connection))


def test_the_doctor_says_of_a_fit_store_one_line(store_settings: StoreSettings) -> None:
    (line,) = lines(store_settings)
    assert (line.ok, line.warning, line.said) == (
        True,
        False,
        "bucket evidence is fit for evidence: 15 things were tried",
    )


@pytest.mark.parametrize(
    ("access_key", "told", "said"),
    [
        ("nobody", {}, "refused (InvalidAccessKeyId)"),
        (WRITER, {"bucket_name": "plain"}, "made without Object Lock"),
        (UNBOUND, {}, "accepted, and the version is GONE"),
    ],
)
def test_the_doctor_names_each_reason_with_its_file(
    store_settings: StoreSettings, access_key: str, told: dict[str, str], said: str
) -> None:
    first, *reasons = lines(store_settings, access_key, **told)
    assert "UNFIT" in first.said
    assert reasons
    assert not any(line.ok for line in (first, *reasons))
    assert any(said in line.said for line in reasons)
    assert all("include/deploy/s3/" in line.given_by for line in reasons)


@pytest.mark.parametrize(("days", "warned"), [(1094, True), (1095, False), (3650, False)])
def test_the_doctor_is_loud_about_a_short_retention(
    store_settings: StoreSettings, days: int, warned: bool
) -> None:
    found = [line for line in lines(store_settings, retention_days=days) if line.warning]
    assert [line.what for line in found] == ["retention of evidence"] * warned
    assert all(f"ONLY {days} DAYS" in line.said and "retention_days" in line.given_by for line in found)
