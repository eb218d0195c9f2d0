"""The witnesses: can each be read, and can the next head be kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import Line
from interlock.settings import Settings
from interlock.trains.model import Environment

SETTING: Final = "setting [interlock] witnesses"


def examine_witnesses(
    environment: Environment, settings: Settings, read: Callable[[str], Connection]
) -> Iterator[Line]:
    """One line each; none where the setting names no witness, or the log's own bucket isn't known."""
    from interlock.clients.store_settings import StoreSettings
    from interlock.clients.witnesses import WitnessAway, witnesses

    try:
        bucket = StoreSettings.of_connection(read(environment.store)).bucket
    except ConnectionMissing:
        return
    for witness in witnesses(settings, read, settings.log_of(bucket)):
        what = f"witness ({witness.place})"
        try:
            witness.probe()
            said = "a head is kept there" if witness.read() else "no head is kept there yet"
        except WitnessAway as error:
            yield Line(what, False, str(error), SETTING)
        else:
            yield Line(what, True, said, SETTING)
