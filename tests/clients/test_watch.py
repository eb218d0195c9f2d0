"""A view on a real HTTP server that drops its watches, forgets its versions and refuses: waits go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from interlock.clients import watch
from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes import KubernetesClient, KubernetesError
from interlock.clients.scope import Scope, ViewEnded
from interlock.clients.watch import View, shared
from tests.clients.watched_pods import WatchedPods, pod, serving

SCOPE = Scope("test", "v1", "Pod", "payments")
SECONDS = 10.0


@pytest.fixture
def cluster() -> WatchedPods:
    return WatchedPods()


@pytest.fixture
def address(cluster: WatchedPods) -> Iterator[str]:
    with serving(cluster) as address:
        yield address


@asynccontextmanager
async def viewing(address: str) -> AsyncIterator[View]:
    async def connect() -> KubernetesClient:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        return KubernetesClient(KubernetesSettings(config=config).kubeconfig(), patience=1.0)

    async with shared(SCOPE, connect) as view:
        yield view


async def until(met: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.01)


async def woken(view: View, act: Callable[[], None], met: Callable[[], bool]) -> None:
    """Act, and wait by the view's event alone, as a trigger does."""
    changed = asyncio.Event()
    with view.waking(changed, "service-a", "service-b"):
        act()
        while not met():
            changed.clear()
            await asyncio.wait_for(changed.wait(), SECONDS)


async def test_changes_arrive_and_wake_who_waits(cluster: WatchedPods, address: str) -> None:
    cluster.put("service-a-1")
    async with viewing(address) as view:
        assert list(view.objects) == ["service-a-1"]
        await woken(view, lambda: cluster.put("service-b-1"), lambda: "service-b-1" in view.objects)
        await woken(view, lambda: cluster.delete("service-a-1"), lambda: "service-a-1" not in view.objects)
    assert cluster.asked.count("list") == 1


async def test_a_bookmark_moves_the_watch_on_and_costs_no_list(cluster: WatchedPods, address: str) -> None:
    async with viewing(address) as view:
        await woken(view, lambda: cluster.put("service-a-1"), lambda: "service-a-1" in view.objects)
        cluster.bookmark()
        cluster.drop_watches()
        await until(lambda: f"watch {cluster.version}" in cluster.asked)
    assert cluster.asked.count("list") == 1


async def test_a_dropped_watch_goes_on_where_it_was(cluster: WatchedPods, address: str) -> None:
    async with viewing(address) as view:
        await woken(view, lambda: cluster.put("service-a-1"), lambda: "service-a-1" in view.objects)
        seen = f"watch {cluster.version}"
        cluster.drop_watches()
        await until(lambda: seen in cluster.asked)
        await woken(view, lambda: cluster.put("service-a-2"), lambda: "service-a-2" in view.objects)
    assert cluster.asked.count("list") == 1


async def test_after_a_410_it_lists_anew_and_wakes_for_what_went_unseen(
    cluster: WatchedPods, address: str
) -> None:
    cluster.put("service-a-1")
    cluster.put("service-a-2")
    async with viewing(address) as view:
        await until(lambda: any(asked.startswith("watch") for asked in cluster.asked))

        def compacted() -> None:
            # All under one lock: the watch sees none of these changes, only its 410.
            with cluster.changed:
                cluster._events.clear()
                cluster.version += 5
                del cluster._pods["service-a-1"]
                cluster._pods["service-a-3"] = pod("service-a-3", cluster.version)
                cluster.forget()

        await woken(view, compacted, lambda: set(view.objects) == {"service-a-2", "service-a-3"})
        await woken(view, lambda: cluster.put("service-a-4"), lambda: "service-a-4" in view.objects)
    assert cluster.asked.count("list") == 2


async def test_while_the_server_is_away_it_keeps_trying(cluster: WatchedPods, address: str) -> None:
    async with viewing(address) as view:
        await until(lambda: any(asked.startswith("watch") for asked in cluster.asked))
        cluster.away = True
        cluster.drop_watches()
        await asyncio.to_thread(cluster.put, "service-a-1")
        cluster.away = False
        await until(lambda: "service-a-1" in view.objects)


async def test_an_identity_that_may_not_watch_looks_every_so_often(
    cluster: WatchedPods, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.05)
    cluster.forbidden = True
    async with viewing(address) as view:
        await woken(view, lambda: cluster.put("service-a-1"), lambda: "service-a-1" in view.objects)
    assert cluster.asked.count("list") >= 2


async def test_all_that_wait_for_a_scope_share_one_watch_which_ends_after_the_last_of_them(
    cluster: WatchedPods, address: str
) -> None:
    async with viewing(address) as one, viewing(address) as another:
        assert one is another
        await until(lambda: any(asked.startswith("watch") for asked in cluster.asked))
    await until(lambda: one.ended)
    async with viewing(address) as later:
        assert later is not one
    assert cluster.asked.count("list") == 2
    await until(lambda: later.ended)


async def test_a_view_lingers_for_whoever_asks_soon(
    cluster: WatchedPods, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LINGER_SECONDS", 2.0)
    async with viewing(address) as one:
        pass
    for _ in range(3):
        # A turn of the loop: a view that doesn't linger ends within it.
        await asyncio.sleep(0)
    async with viewing(address) as later:
        assert later is one
    await until(lambda: one.ended)
    assert cluster.asked.count("list") == 1


@pytest.mark.parametrize("how", ["each watch ends at once", "each watch is too old"])
async def test_watches_that_bring_nothing_are_taken_up_ever_more_slowly(
    cluster: WatchedPods, address: str, how: str
) -> None:
    if how == "each watch ends at once":
        cluster.curt = True
    else:
        cluster.oldest = 1_000_000
    async with viewing(address):
        await until(lambda: len(cluster.watched) >= 5)
    gaps = [after - before for before, after in pairwise(cluster.watched)]
    least = [0.5 * watch.FIRST_PAUSE_SECONDS * 2**futile for futile in (1, 2, 3, 4)]
    assert all(gap >= due for gap, due in zip(gaps, least, strict=False)), (gaps, least)


async def test_a_watch_that_brought_something_is_taken_up_soon(
    cluster: WatchedPods, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    futile: list[int] = []
    monkeypatch.setattr(watch, "pause", lambda count: futile.append(count) or 0.01)
    cluster.curt = True
    async with viewing(address) as view:
        await until(lambda: len(futile) >= 3)
        cluster.curt = False
        await woken(view, lambda: cluster.put("service-a-1"), lambda: "service-a-1" in view.objects)
        cluster.drop_watches()
        await until(lambda: futile[-1] == 0)
    assert futile[:3] == [1, 2, 3]


def test_pauses_grow_to_a_limit_and_no_two_views_keep_step() -> None:
    many = [watch.pause(3) for _ in range(50)]
    assert all(0.4 <= one <= 0.8 for one in many)
    assert len(set(many)) > 1
    assert all(2.5 <= watch.pause(futile) <= 5.0 for futile in (6, 10, 10_000))


async def test_a_view_that_died_says_so_to_all_who_wait_and_shows_nothing_old(
    cluster: WatchedPods, address: str
) -> None:
    cluster.put("service-a-1")
    async with viewing(address) as view, viewing(address) as same:
        one, another = asyncio.Event(), asyncio.Event()
        with view.waking(one, "service-a"), same.waking(another, "service-z"):
            cluster.garble()
            await asyncio.wait_for(asyncio.gather(one.wait(), another.wait()), SECONDS)
        said = "watch of Pod in namespace payments has ended: KeyError"
        for look in (lambda: view.objects, lambda: view.group("service-a")):
            with pytest.raises(ViewEnded, match=said):
                look()
        with pytest.raises(ViewEnded, match=said):
            await view.present()
        with cluster.changed:
            cluster._events.clear()
        async with viewing(address) as anew:
            assert list(anew.objects) == ["service-a-1"]
            await until(lambda: len(cluster.watched) >= 2)


async def test_who_asks_what_is_there_now_shares_a_list_that_was_begun_after_the_question(
    cluster: WatchedPods, address: str
) -> None:
    cluster.put("service-a-1")
    async with viewing(address) as view:
        before = cluster.asked.count("list")
        with cluster.held():
            first = [asyncio.create_task(view.present()) for _ in range(20)]
            await until(lambda: cluster.asked.count("list") == before + 1)
            # These ask while a list is under way that may have missed what they want to know.
            later = [asyncio.create_task(view.present()) for _ in range(20)]
            await asyncio.sleep(0)
            cluster.put("service-a-2")
        await asyncio.gather(*first)
        assert all(list(found) == ["service-a-1", "service-a-2"] for found in await asyncio.gather(*later))
        assert cluster.asked.count("list") == before + 2
        cluster.away = True
        with pytest.raises(KubernetesError):
            await view.present()


async def test_a_client_that_cannot_be_made_is_told_to_all_who_wait() -> None:
    async def connect() -> KubernetesClient:
        raise LookupError("no connection `k`")

    async def wait() -> None:
        async with shared(SCOPE, connect):
            pytest.fail("there is nothing to see")

    ends = await asyncio.gather(wait(), wait(), return_exceptions=True)
    assert [str(end) for end in ends] == [
        "the watch of Pod in namespace payments has ended: LookupError: no connection `k`"
    ] * 2


async def test_a_change_wakes_those_alone_who_wait_for_its_workload(
    cluster: WatchedPods, address: str
) -> None:
    concerned, namesake, stranger = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with viewing(address) as view:
        with (
            view.waking(concerned, "service-a"),
            view.waking(namesake, "service"),
            view.waking(stranger, "service-a-b"),
        ):
            cluster.put("service-a-1")
            await asyncio.wait_for(concerned.wait(), SECONDS)
            assert not namesake.is_set()
            assert not stranger.is_set()
            cluster.put("service-a-b-1")
            await asyncio.wait_for(stranger.wait(), SECONDS)
            assert not namesake.is_set()
        assert [pod.name for pod in view.group("service-a")] == ["service-a-1"]
        cluster.delete("service-a-1")
        await until(lambda: view.group("service-a") == [])


async def test_after_a_list_those_alone_are_woken_whose_objects_changed(
    cluster: WatchedPods, address: str
) -> None:
    cluster.put("service-a-1")
    cluster.put("service-b-1")
    unchanged, gone = asyncio.Event(), asyncio.Event()
    async with viewing(address) as view:
        await until(lambda: bool(cluster.watched))

        def compacted() -> None:
            with cluster.changed:
                cluster._events.clear()
                del cluster._pods["service-b-1"]
                cluster.forget()

        with view.waking(unchanged, "service-a"), view.waking(gone, "service-b"):
            compacted()
            await asyncio.wait_for(gone.wait(), SECONDS)
            assert not unchanged.is_set()


@pytest.fixture(autouse=True)
def _no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)
