"""The notifiers of the setting `notifiers`: which of Airflow's notifiers are told, and with which arguments.

A JSON list in the form of Airflow's own lists of classes (`[dag_processor] dag_bundle_config_list`):

    [{"classpath": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "kwargs": {
      "to": "trains@example.com", "subject": "{{ notice.text }}", "html_content": "{{ notice.link }}"}}]

Arguments are templates where the notifier has them as template fields; besides Airflow's context they see
`notice`, a `Notice`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.module_loading import import_string


class NotifiersError(ValueError):
    """The setting can't be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class NotifierConfig:
    """One entry of the setting: the class's import path, and its arguments."""

    classpath: str
    kwargs: dict[str, Any]

    def make(self) -> BaseNotifier:
        """A new notifier.

        Raises:
            NotifiersError: the class can't be imported, is no notifier, or doesn't take the arguments.
        """
        try:
            made = import_string(self.classpath)(**self.kwargs)
        except ImportError as error:
            raise NotifiersError(f"[interlock] notifiers: {self.classpath}: {error}") from error
        except TypeError as error:
            raise NotifiersError(f"[interlock] notifiers: {self.classpath}: its kwargs: {error}") from error
        if not isinstance(made, BaseNotifier):
            raise NotifiersError(
                f"[interlock] notifiers: {self.classpath} is no BaseNotifier of Airflow's SDK"
            )
        return made


def parse(text: str) -> tuple[NotifierConfig, ...]:
    """The entries of the setting's text; none if it is empty.

    Raises:
        NotifiersError: it isn't a list of objects with `classpath` and, perhaps, `kwargs`.
    """
    if not text.strip():
        return ()
    wanted = '[{"classpath": "package.module.Class", "kwargs": {…}}, …]'
    try:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError(f"found {type(entries).__name__}")
        found = tuple(
            NotifierConfig(entry["classpath"], dict(entry.get("kwargs") or {})) for entry in entries
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotifiersError(f"[interlock] notifiers: expected {wanted}: {error!r}") from error
    unknown = sorted({key for entry in entries for key in entry} - {"classpath", "kwargs"})
    if unknown:
        raise NotifiersError(f"[interlock] notifiers: expected {wanted}, found the keys {', '.join(unknown)}")
    return found
