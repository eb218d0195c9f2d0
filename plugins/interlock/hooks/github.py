"""Turn Airflow's connection to GitHub into Interlock's client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.connections import of_airflow

if TYPE_CHECKING:
    from interlock.clients.github import GithubClient


class GithubHook(BaseHook):
    """Give Interlock's GitHub client, which only reads, for a connection of type `github` or `http`.

    Which of its fields are used is said at `GithubSettings.of_connection`.

    :param github_conn_id: id of the connection.
    """

    conn_name_attr = "github_conn_id"
    default_conn_name = "interlock_github"
    conn_type = "github"
    hook_name = "GitHub (Interlock)"

    def __init__(self, github_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.github_conn_id = github_conn_id

    def get_conn(self) -> GithubClient:
        """The client; use it with ``with``."""
        from interlock.clients.github import GithubClient
        from interlock.clients.github_settings import GithubSettings

        connection = self.get_connection(self.github_conn_id)
        return GithubClient(GithubSettings.of_connection(of_airflow(connection)))

    def test_connection(self) -> tuple[bool, str]:
        """Ask GitHub whose token it is."""
        from interlock.clients.github import GithubError
        from interlock.connections import ConnectionMissing

        try:
            with self.get_conn() as client:
                return True, f"the account is {client.get('/user')[0].get('login')}"
        except (GithubError, ConnectionMissing) as error:
            return False, str(error)
