"""One replica acts: the Lease against an API server in memory, and processes that share one on a real API server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from sectum_operator.api import LEASES, RUNS, TryAgain
from sectum_operator.lease import Lease, Lost

from tests.operator import cluster
from tests.operator.control_plane import _free_ports
from tests.operator.fake_api import FakeApi
from tests.operator.test_operate_applied import Server, applied, condition, end_jobs, namespace, server, until

__all__ = ["namespace", "server"]
STEP = 0.02


def lease(api: FakeApi, holder: str) -> Lease:
    """In hundredths of the real times."""
    return Lease(api, cluster.NAMESPACE, "sectum-operator", holder, lasts=1, gives_up=0.3, every=STEP)


def held_by(api: FakeApi) -> str:
    return str(api.objects["leases", "sectum-operator"]["spec"]["holderIdentity"])


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 20))


def test_of_two_one_holds_it_and_the_other_waits_while_it_is_renewed() -> None:
    async def story() -> None:
        api = FakeApi()
        first, second = lease(api, "a"), lease(api, "b")
        await first.acquire()
        keeping, waiting = asyncio.create_task(first.keep()), asyncio.create_task(second.acquire())
        await asyncio.sleep(1.5)  # longer than it lasts
        assert (held_by(api), keeping.done(), waiting.done()) == ("a", False, False)
        keeping.cancel()
        stopped = time.monotonic()
        await waiting
        assert held_by(api) == "b"
        assert time.monotonic() - stopped > 0.7  # not before it had run out
        assert api.objects["leases", "sectum-operator"]["spec"]["leaseTransitions"] == 2

    run(story())


def test_what_is_let_go_is_taken_at_once_and_by_others_only_what_is_theirs() -> None:
    async def story() -> None:
        api = FakeApi()
        first, second = lease(api, "a"), lease(api, "b")
        await first.acquire()
        await second.release()
        assert held_by(api) == "a"
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(5 * STEP)
        await first.release()
        await asyncio.wait_for(waiting, 10 * STEP)
        assert held_by(api) == "b"

    run(story())


def test_a_holder_that_cannot_renew_ends_before_another_may_take_it() -> None:
    async def story() -> None:
        api = FakeApi()
        first = lease(api, "a")
        await first.acquire()
        began = time.monotonic()
        api.fail = lambda: True
        with pytest.raises(Lost, match="could not be renewed"):
            await first.keep()
        assert time.monotonic() - began < first.lasts

    run(story())


def test_a_call_that_hangs_does_not_keep_a_holder_alive() -> None:
    class Hangs(FakeApi):
        async def get(self, *_: Any) -> Any:
            if self.objects:
                await asyncio.sleep(60)

    async def story() -> None:
        first = lease(Hangs(), "a")
        await first.acquire()
        with pytest.raises(Lost, match="could not be renewed"):
            await asyncio.wait_for(first.keep(), 2)

    run(story())


def test_a_holder_that_slept_while_another_took_it_ends_and_does_not_take_it_back() -> None:
    async def story() -> None:
        api = FakeApi()
        first, second = lease(api, "a"), lease(api, "b")
        await first.acquire()
        await second.acquire()  # nobody renews it meanwhile
        with pytest.raises(Lost, match="b has taken"):
            await first.keep()
        assert held_by(api) == "b"

    run(story())


def test_of_two_that_take_it_at_the_same_moment_one_gets_it() -> None:
    class Slow(FakeApi):
        async def get(self, *args: Any) -> Any:
            found = await super().get(*args)
            await asyncio.sleep(STEP)  # both have read it before either writes
            return found

    async def story() -> None:
        api = Slow()
        replicas = [lease(api, name) for name in "abc"]
        waiting = [asyncio.create_task(each.acquire()) for each in replicas]
        await asyncio.sleep(0.5)
        assert sum(each.done() for each in waiting) == 1
        for each in waiting:
            each.cancel()

    run(story())


def test_a_failing_server_is_waited_for() -> None:
    async def story() -> None:
        api = FakeApi()
        answers = iter([True, True, False, False, False])
        get = api.get

        async def sometimes(*args: Any) -> Any:
            if next(answers):
                raise TryAgain("503")
            return await get(*args)

        api.get = sometimes  # type: ignore[method-assign]
        await lease(api, "a").acquire()
        assert held_by(api) == "a"

    run(story())


class Replica:
    """`sectum-operator operate` with a lease, as its container starts it."""

    def __init__(self, server: Server, namespace: str, folder: Path, name: str) -> None:
        port, self.port = _free_ports(2)
        self.health, self.log = f"http://127.0.0.1:{port}/healthz", folder / f"{name}.log"
        environment = {
            **os.environ, "KUBECONFIG": str(server.kubeconfig), "SECTUM_NAMESPACES": namespace, "HOSTNAME": name,
            "SECTUM_HEALTH": self.health, "SECTUM_LEASE_NAMESPACE": namespace, "SECTUM_METRICS_PORT": str(self.port),
            "SECTUM_OPERATOR_IMAGE": cluster.IMAGES.operator, "SECTUM_PROBES_IMAGE": cluster.IMAGES.probes,
        }  # fmt: skip
        with self.log.open("wb") as output:
            command = [str(Path(sys.executable).parent / "sectum-operator"), "operate"]
            self.process = subprocess.Popen(command, env=environment, stderr=output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def ready(self) -> bool:
        try:
            return httpx.get(self.health, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def says(self, *prefixes: str) -> list[str]:
        """What its metrics say, of those whose names begin so."""
        told = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        return sorted(line for line in told.splitlines() if line.startswith(prefixes))


@pytest.mark.timeout(180)
def test_a_second_replica_is_ready_takes_over_from_one_that_is_killed_and_ends_once_it_has_lost_the_lease(
    server: Server, namespace: str, tmp_path: Path
) -> None:
    def holder() -> str:
        return str(server.get(LEASES, namespace, "sectum-operator").get("spec", {}).get("holderIdentity", ""))

    with ExitStack() as stack:
        first = stack.enter_context(Replica(server, namespace, tmp_path, "first"))
        until(lambda: holder().startswith("first"))
        second = stack.enter_context(Replica(server, namespace, tmp_path, "second"))
        until(second.ready)
        assert holder().startswith("first")

        applied(server, namespace)
        until(lambda: bool(server.get(RUNS, namespace, "nightly-1").get("status", {}).get("phase")))
        first.process.kill()
        killed = time.monotonic()
        until(lambda: holder().startswith("second"))
        assert time.monotonic() - killed > 5  # not before the first had certainly ended

        def ended() -> bool:
            end_jobs(server, namespace)
            return condition(server.get(RUNS, namespace, "nightly-1"), "Complete") is not None

        until(ended)
        third = stack.enter_context(Replica(server, namespace, tmp_path, "third"))
        until(third.ready)
        of_objects = ("sectum_scenario_", "sectum_runs_active", "sectum_runs_not_cleaned", "sectum_objects")
        until(lambda: any("last_verdict" in line and line.endswith(" 1.0") for line in third.says(*of_objects)))
        until(lambda: second.says(*of_objects) == third.says(*of_objects))
        assert [each.says("sectum_leader")[0][-3:] for each in (second, third)] == ["1.0", "0.0"]
        assert (len(second.says("sectum_runs_ended_total")), third.says("sectum_runs_ended_total")) == (1, [])
        second.process.send_signal(signal.SIGSTOP)  # as a machine that stands still
        until(lambda: holder().startswith("third"))
        second.process.send_signal(signal.SIGCONT)
        assert second.process.wait(30) != 0
        lines = second.log.read_text().splitlines()
        assert [line for line in lines if not line.startswith("{")][-1].startswith("error: ")
        assert "lease" in lines[-1]
        assert not [line for line in lines if "Unclosed" in line]
        third.process.send_signal(signal.SIGTERM)
        assert third.process.wait(30) == 0
        assert holder() == ""  # let go, for whoever comes next
