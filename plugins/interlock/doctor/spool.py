"""The spool: can files be kept there, by whom can they be read, is there room, do all workers see it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Final

from interlock.doctor.line import Line
from interlock.settings import Settings

SETTING: Final = "setting [interlock] spool"
LIMIT: Final = "setting [interlock] spool_mib"
ONE_MACHINE: Final = ("LocalExecutor", "SequentialExecutor")
ONE: Final = "runs all tasks on one machine, so all of them see the folder"
SHARED: Final = "may have several workers: the folder has to be a volume that all of them mount"
_MIB: Final = 1024 * 1024


def examine_spool(settings: Settings, executor: str) -> Iterator[Line]:
    """One line each for writing, mode, room and workers.

    Args:
        settings: its folder, made if it isn't there, and how much may wait in it.
        executor: the name of Airflow's executor, or its path.
    """
    from interlock.clients.spool import Spool, SpoolError

    folder = settings.spool
    spool = Spool(folder)
    try:
        spool.probe()
        waiting, used = spool.count(), spool.used_bytes()
        mode = folder.stat().st_mode & 0o777
        free = shutil.disk_usage(folder).free
    except (SpoolError, OSError) as error:
        yield Line("spool", False, str(error), SETTING)
        return
    yield Line("spool", True, f"{folder} can be locked and written; {waiting} statements wait", SETTING)
    others = "other users may read or change it: chmod 700" if mode & 0o007 else ""
    group = "its group may read or change it" if mode & 0o070 else "private to its owner"
    yield Line(
        "spool's mode", not others, f"{mode:04o}, {others or group}", SETTING, warning=bool(mode & 0o070)
    )
    try:
        needed = max(settings.spool_limit - used, 0)
        room = f"{free // _MIB} MiB free; up to {needed // _MIB} MiB more may come to wait"
        yield Line("spool's room", free >= needed, room, SETTING)
    except ValueError as error:
        yield Line("spool's room", False, str(error), LIMIT)
    one = executor.rpartition(".")[2] in ONE_MACHINE
    yield Line("spool's workers", True, f"{executor} {ONE if one else SHARED}", SETTING, warning=not one)
