"""The command `interlock onboarding`: a service's checklist, or the manifests that it lacks."""

from __future__ import annotations

import sys

from interlock.connections import connection
from interlock.onboarding.applying import COMMAND, as_yaml
from interlock.onboarding.checklist import Checklist
from interlock.project import environments_file
from interlock.trains.model import load_environments


def run(service: str, environment: str | None, *, manifests: bool) -> int:
    """Print the checklist, or its manifests; returns the exit status.

    Args:
        service: Its name.
        environment: Where it is looked at; None: as its file says, else the first.
        manifests: Whether to print the manifests alone; then the status is 0 even where items are missing.

    Raises:
        TrainFileError: A file can't be used.
        ConnectionMissing: There is no connection to the cluster.
    """
    checklist = look(service, environment)
    if manifests:
        print(as_yaml(checklist.manifests) if checklist.manifests else "", end="")
        print(f"interlock: {checklist.summary}", file=sys.stderr)
        return 0
    print(checklist.text())
    if checklist.manifests:
        print(f"\ninterlock onboarding {service} --manifests | {COMMAND}")
    return 0 if checklist.ready else 1


def look(service: str, environment: str | None) -> Checklist:
    """Look at a service with the connections of the shell's environment."""
    from interlock.clients.kubeconfig import KubernetesSettings
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.doctor.onboarding import Question, check_service, where

    environments = load_environments(environments_file())
    chosen = where(environments, service, environment or "")
    settings = KubernetesSettings.of_connection(connection(chosen.kubernetes))
    question = Question(
        service, chosen, environments.names, connection, lambda: KubernetesClient.of(settings)
    )
    return check_service(question)
