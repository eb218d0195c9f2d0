"""Roll out an image without a train, and take it back; the wait costs no worker.

These operators take no lock and keep no journal: use a train where services depend on each other. While a
train holds a service's lock they refuse to write to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import ObjectRef
from interlock.project import environments_file, train_files
from interlock.trains.image import Image, ImageError
from interlock.trains.images import BEFORE, ImagesError, apply_object, images_in, left_by
from interlock.trains.lock import guarding, holder_in
from interlock.trains.model import (
    Environment,
    Train,
    TrainFileError,
    load_environments,
    load_train,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.clients.kubernetes import KubernetesClient

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
AFTER = "after"
ATTEMPTS = 10


class _ImagesOperator(BaseOperator):
    """What setting images and taking them back have in common: one write, then the wait in the triggerer."""

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        kind: str = "Deployment",
        deadline: float = 300.0,
        kubernetes_conn_id: str = InterlockKubernetesHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} has no rollout; expected {', '.join(KINDS)}")
        if not deadline > 0:
            raise ValueError(f"deadline {deadline!r}: expected seconds, more than 0")
        self.namespace = namespace
        self.name = name
        self.kind = kind
        self.deadline = deadline
        self.kubernetes_conn_id = kubernetes_conn_id

    @property
    def ref(self) -> ObjectRef:
        """The workload."""
        return ObjectRef("apps/v1", self.kind, self.namespace, self.name)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Never reached: the wait ends the task in the triggerer."""
        raise AirflowFailException("a wait for a rollout resumed in a worker, which it never should")

    def _wait(self, generation: int) -> None:
        from interlock.triggers.kubernetes import RolloutTrigger

        self.defer(
            trigger=RolloutTrigger(
                kubernetes_conn_id=self.kubernetes_conn_id,
                namespace=self.namespace,
                kind=self.kind,
                name=self.name,
                generation=generation,
                deadline=(datetime.now(UTC) + timedelta(seconds=self.deadline)).isoformat(),
                heed_stop=False,
            ),
            method_name="execute_complete",
        )

    async def _refuse_when_locked(self, client: KubernetesClient) -> None:
        """A train that moves this workload goes first."""
        for lease in guarding(self.ref, self.kubernetes_conn_id, *known()):
            found = await client.get(lease)
            if found is not None and (holder := holder_in(found)):
                raise AirflowException(
                    f"{self.ref} belongs to a train under way: {lease} is held by {holder}. "
                    "Nothing was written; try again when that run has ended"
                )

    async def _set(
        self, images: Mapping[str, str], *, task: str = "", only_from: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str]]:
        """Set images by one server-side apply.

        Args:
            images: the image of each container.
            task: who rolls out; leaves what it found on the workload. Empty: leaves nothing.
            only_from: the images that may be replaced; None: any.

        Returns:
            The generation to wait for, and the images that this task found at its first write.
        """
        from interlock.clients.kubernetes import Conflict

        async with InterlockKubernetesHook(self.kubernetes_conn_id).get_conn() as client:
            first: dict[str, str] | None = None
            for _ in range(ATTEMPTS):
                live = await client.get(self.ref)
                try:
                    found = images_in(live, self.ref, images)
                except ImagesError as error:
                    raise AirflowFailException(str(error)) from None
                assert live is not None
                # After the read: a train that locks later finds what we write, or makes our write fail.
                await self._refuse_when_locked(client)
                if first is not None and found != first:
                    raise AirflowFailException(
                        f"{self.ref}: somebody changed its images in between, from {first} to {found}; "
                        "nothing was written"
                    )
                first = found
                for container, image in found.items():
                    if only_from is not None and image not in (only_from[container], images[container]):
                        raise AirflowFailException(
                            f"{self.ref}: container {container} runs {image}, expected "
                            f"{only_from[container]}: somebody changed it since; nothing was written"
                        )
                    if image != images[container]:
                        self.log.info("%s %s: %s → %s", self.ref, container, image, images[container])
                before = left_by(task, live) or found
                try:
                    after = await client.apply(apply_object(live, images, task, before), force=True)
                except Conflict:
                    continue
                return after.generation, before
        raise AirflowException(f"{self.ref} changed {ATTEMPTS} times while it was being written")


class RolloutOperator(_ImagesOperator):
    """Set the image of one container by server-side apply and wait until the rollout is complete.

    Pushes `before` and `after`, each an object of container and image, for `RollbackOperator` to restore
    from; at the end the wait pushes `rollout`. The field is taken over from whoever owns it, but a workload
    that Argo CD, Flux or Helm manages is refused, for they would undo it.

    :param namespace: of the workload.
    :param name: of the workload.
    :param container: whose image is set.
    :param image: the image, with a tag or a digest.
    :param kind: Deployment, StatefulSet or DaemonSet.
    :param deadline: seconds until the wait gives up.
    :param kubernetes_conn_id: id of the connection to the cluster.
    """

    template_fields: Sequence[str] = ("kubernetes_conn_id", "namespace", "name", "container", "image")

    def __init__(self, *, container: str, image: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.container = container
        self.image = image

    def execute(self, context: Context) -> None:
        """Write, then defer; the wait ends the task."""
        wanted = {self.container: checked(self.image)}
        ti: Any = context["ti"]
        task = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
        generation, before = asyncio.run(self._set(wanted, task=task))
        ti.xcom_push(key=BEFORE, value=before)
        ti.xcom_push(key=AFTER, value=wanted)
        self._wait(generation)


class RollbackOperator(_ImagesOperator):
    """Set images back and wait until the rollout is complete.

    By task id it restores what that `RolloutOperator` found, and refuses when somebody has set yet another
    image since.

    :param namespace: of the workload.
    :param name: of the workload.
    :param images: the image of each container, or the task id of a `RolloutOperator`.
    :param kind: Deployment, StatefulSet or DaemonSet.
    :param deadline: seconds until the wait gives up.
    :param kubernetes_conn_id: id of the connection to the cluster.
    """

    template_fields: Sequence[str] = ("kubernetes_conn_id", "namespace", "name", "images")

    def __init__(self, *, images: Mapping[str, str] | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.images = images

    def execute(self, context: Context) -> None:
        """Write, then defer; the wait ends the task."""
        only_from = None
        images = self.images
        if isinstance(images, str):
            ti: Any = context["ti"]
            before, after = (ti.xcom_pull(task_ids=images, key=key) for key in (BEFORE, AFTER))
            if not before or not after:
                raise AirflowFailException(
                    f"task {images!r} pushed no `{BEFORE}`: it rolled nothing out, or is no RolloutOperator"
                )
            images, only_from = before, after
        if not images:
            raise AirflowFailException("images is empty: expected the image of each container to set back")
        wanted = {container: checked(image) for container, image in images.items()}
        generation, _ = asyncio.run(self._set(wanted, only_from=only_from))
        self._wait(generation)


def known() -> tuple[list[Environment], list[Train]]:
    """The project's environments and trains; a train whose file is wrong has no DAG and moves nothing."""
    if not environments_file().exists():
        return [], []
    environments = load_environments(environments_file())
    if environments.problems:
        # One of them may have a lock on what is about to be written.
        raise AirflowFailException("\n".join(map(str, environments.problems)))
    trains = []
    for path in train_files():
        with suppress(TrainFileError):
            trains.append(load_train(path, environments))
    return list(environments.values()), trains


def checked(image: str) -> str:
    """The image, if it names a release.

    Raises:
        AirflowFailException: it doesn't, or is no image reference.
    """
    try:
        parsed = Image.parse(image)
    except ImageError as error:
        raise AirflowFailException(f"image {image!r}: {error}") from None
    if not parsed.tag and not parsed.digest:
        raise AirflowFailException(
            f"image {image!r}: expected a tag or a digest, as without one it would be whatever is latest"
        )
    return image
