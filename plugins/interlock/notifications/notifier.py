"""The notifier that Interlock's DAGs carry: it hands each notice to the notifiers of the setting.

Where Airflow 3.3 calls it: a DAG's `on_failure_callback` runs in the DAG processor, once for each run that
ends failed, whichever task failed and wherever (a task that fails in the triggerer calls no listener, and
one that a person marks calls no callback); `notifiers` of an approval run in its task's worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import BaseNotifier

from interlock.hooks.settings import settings
from interlock.notifications.configured import NotifierConfig, NotifiersError, parse
from interlock.notifications.notice import Notice, What, verdict_of


class InterlockNotifier(BaseNotifier):
    """Tells people through the notifiers of the setting `[interlock] notifiers`; nobody if there is none.

    What goes wrong is logged and never raised: an approval doesn't fail because a chat is away.

    :param what: what happened: `failed` or `approval`.
    :param first: of a scheduled DAG, tell of what the failed run before this one has not said already.
    """

    def __init__(self, what: What, *, first: bool = False) -> None:
        super().__init__()
        self.what = what
        self.first = first

    def notify(self, context: Any) -> None:
        """Tell each of the configured notifiers."""
        if self.first and _said_before(context):
            self.log.info("the run before this one failed for the same reason, and that was told")
            return
        tell(Notice.of_context(self.what, context), context, self.log)


def tell(notice: Notice, context: Mapping[str, Any], log: Any) -> int:
    """Hand a notice to each configured notifier; returns how many took it. Raises nothing."""
    told = 0
    try:
        configured = parse(settings().notifiers)
    except NotifiersError as error:
        log.error("nobody is told of %s: %s", notice.text, error)
        return 0
    for config in configured:
        told += _tell_one(config, notice, context, log)
    return told


def _tell_one(config: NotifierConfig, notice: Notice, context: Mapping[str, Any], log: Any) -> bool:
    try:
        # A notifier renders its templates into itself, so each notice has one of its own.
        send: Callable[[dict[str, Any]], None] = config.make()
        send({**context, "notice": notice})
    except Exception:
        log.exception("%s was not told of: %s", config.classpath, notice.text)
        return False
    log.info("%s was told: %s", config.classpath, notice.text)
    return True


def _said_before(context: Mapping[str, Any]) -> bool:
    """Whether the scheduled run before this one failed and said all of this; no if that is unknown."""
    ti = context.get("ti")
    before = ti.get_previous_dagrun() if ti is not None else None
    if before is None or str(getattr(before.state, "value", before.state)) != "failed":
        return False
    said, now = verdict_of(context, before.run_id), verdict_of(context)
    return set(now.splitlines()) <= set(said.splitlines()) if now else not said
