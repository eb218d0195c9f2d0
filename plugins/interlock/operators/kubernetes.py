"""Roll out an image without a train, and take it back; the wait costs no worker.

These operators take no lock and keep no journal: use a train where services depend on each other, and neither
of these on a service that a train moves at the same time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import FIELD_MANAGER, PREFIX, Manifest, ObjectRef
from interlock.trains.fields import FieldPath, ListKey, get, put
from interlock.trains.image import Image, ImageError
from interlock.trains.model import Service
from interlock.trains.obstacles import obstacles
from interlock.trains.ownership import owner

if TYPE_CHECKING:
    from airflow.sdk import Context

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
BEFORE = "before"
AFTER = "after"
ATTEMPTS = 10
ROLLOUT = f"{PREFIX}rollout"
"""Annotation on a workload: which task rolled it out, and the images it found, so that a retry knows them."""


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
                found = images_in(live, self.ref, images)
                assert live is not None
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
                before = _left_by(task, live) or found
                try:
                    after = await client.apply(_wanted(live, images, task, before), force=True)
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


def images_in(live: Manifest | None, ref: ObjectRef, containers: Mapping[str, str]) -> dict[str, str]:
    """The images that these containers have.

    Raises:
        AirflowFailException: the workload is not there, or can't be rolled out; the message has all reasons.
    """
    if live is None:
        raise AirflowFailException(f"no {ref} in namespace {ref.namespace}")
    problems: list[str] = []
    for container in containers:
        problems += [p for p in obstacles(_service(ref, container), live) if p not in problems]
    if problems:
        raise AirflowFailException("; ".join(problems))
    return {container: str(get(live.raw, _image_path(container))) for container in containers}


def _service(ref: ObjectRef, container: str) -> Service:
    return Service(
        name=ref.name,
        image="",
        kind=ref.kind,
        workload=ref.name,
        container=container,
        after=(),
        deadline=timedelta(0),
        soak=timedelta(0),
    )


def _image_path(container: str) -> FieldPath:
    return FieldPath.of("spec", "template", "spec", "containers", ListKey("name", container), "image")


def _left_by(task: str, live: Manifest) -> dict[str, str] | None:
    """The images that this task found at its first write, if it has written already."""
    try:
        left = json.loads(live.annotations.get(ROLLOUT, "null"))
    except ValueError:
        return None
    if not task or not isinstance(left, dict) or left.get("task") != task:
        return None
    before = left.get(BEFORE)
    return {str(name): str(image) for name, image in before.items()} if isinstance(before, dict) else None


def _wanted(live: Manifest, images: Mapping[str, str], task: str, before: Mapping[str, str]) -> Manifest:
    """The apply object: the images, and those of other containers that would be lost if we let go of them."""
    metadata: dict[str, Any] = {
        "name": live.name,
        "namespace": live.namespace,
        "uid": live.uid,
        "resourceVersion": live.resource_version,
    }
    if task:
        left = {"task": task, BEFORE: dict(before)}
        metadata["annotations"] = {ROLLOUT: json.dumps(left, sort_keys=True)}
    raw: dict[str, Any] = {"apiVersion": live.api_version, "kind": live.kind, "metadata": metadata}
    for container in live.raw["spec"]["template"]["spec"]["containers"]:
        path = _image_path(container["name"])
        if container["name"] in images:
            raw = put(raw, path, images[container["name"]])
        elif owner(live, path) == FIELD_MANAGER:
            raw = put(raw, path, container["image"])
    return Manifest.of(raw)
