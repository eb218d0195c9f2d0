"""An Airflow variable as a witness: it keeps the evidence log's last head outside the bucket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError

from interlock.hooks.evidence import connection
from interlock.hooks.settings import settings

if TYPE_CHECKING:
    from interlock.clients.witnesses import Witness


class HeadVariable:
    """The variable `CONNECTION_head`, after the connection to the bucket.

    It is independent of the bucket and its store, not of who runs Airflow.
    """

    def __init__(self, evidence_conn_id: str) -> None:
        """Keep the name; nothing is read."""
        self._name = f"{evidence_conn_id}_head"

    @property
    def place(self) -> str:
        """The variable, for people."""
        return f"Airflow variable {self._name}"

    def probe(self) -> None:
        """Whoever may run a task may set it."""

    def read(self) -> bytes | None:
        """The signed note that it holds; None where there is no such variable, or an empty one."""
        from interlock.clients.witnesses import WitnessAway

        try:
            return str(Variable.get(self._name, default="") or "").encode() or None
        except AirflowRuntimeError as error:
            raise WitnessAway(f"{self.place}: {error}") from error

    def keep(self, note: bytes, year: int, size: int) -> None:
        """Set the variable."""
        from interlock.clients.witnesses import WitnessAway

        said = f"The last head of the evidence log, {size} entries of {year}: not to be changed by hand"
        try:
            Variable.set(self._name, note.decode(), description=said)
        except AirflowRuntimeError as error:
            raise WitnessAway(f"{self.place}: {error}") from error


def kept_by(evidence_conn_id: str, bucket: str) -> Sequence[Witness]:
    """The witnesses of the log in a connection's bucket: its variable, and those that the settings name."""
    from interlock.clients.witnesses import witnesses

    found = settings()
    named = witnesses(found, connection, found.log_of(bucket))
    return [HeadVariable(evidence_conn_id), *named]
