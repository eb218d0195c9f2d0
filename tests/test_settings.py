"""The settings are the same through Airflow's configuration and through its variables alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from interlock.hooks.settings import settings
from interlock.settings import SECTION, Settings


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for option in Settings.__dataclass_fields__:
        monkeypatch.delenv(f"AIRFLOW__{SECTION.upper()}__{option.upper()}", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


def test_without_any_the_spool_is_in_airflows_home(home: Path) -> None:
    assert settings() == Settings.of_environment() == Settings(spool=home / "spool")


def test_each_comes_from_its_option(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(home / "elsewhere"))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__TRANSIT_KEY", "ours")
    monkeypatch.setenv("AIRFLOW__INTERLOCK__JOURNAL_DAYS", "7")
    wanted = Settings(spool=home / "elsewhere", transit_key="ours", journal_days="7")
    assert settings() == Settings.of_environment() == wanted
    assert wanted.journals_kept == timedelta(days=7)


@pytest.mark.parametrize("days", ["0", "-1", "a month", "1.5", "100000", "\u0663"])
def test_days_that_are_no_days_are_refused_where_they_are_used_alone(
    monkeypatch: pytest.MonkeyPatch, home: Path, days: str
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__JOURNAL_DAYS", days)
    found = Settings.of_environment()
    assert found == settings()
    assert found.spool == home / "spool"
    with pytest.raises(ValueError, match=r"\[interlock\] journal_days is .*set it to a whole number"):
        _ = found.journals_kept


@pytest.mark.parametrize("size", ["0", "much", "1000000"])
def test_the_spools_size_is_a_number_of_mib(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    assert settings().spool_limit == 256 * 1024 * 1024
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL_MIB", "7")
    assert settings().spool_limit == 7 * 1024 * 1024
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL_MIB", size)
    with pytest.raises(ValueError, match=r"\[interlock\] spool_mib is .*whole number of MiB, 1 to 999999"):
        _ = settings().spool_limit
