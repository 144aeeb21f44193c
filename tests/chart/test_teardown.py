"""What was installed goes again, with runs in flight: no namespace is held up, and no uninstallation wedged."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sectum_operator.stages import FINALIZER, LET_GO

from tests.chart.cluster import collection
from tests.chart.helm import CHART, NAMESPACE, RUNS
from tests.chart.running_operator import ROLES, Release, release, until
from tests.chart.samples import OPERATOR_IMAGE
from tests.operator.kubelet import Kubelet

pytestmark = pytest.mark.timeout(300)
NAMESPACE_OF_RUNS = f"/api/v1/namespaces/{RUNS}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Nothing is installed on it."""
    with release(tmp_path_factory.mktemp("control-plane")) as here:
        yield here


@pytest.fixture
def here(bare: Release) -> Iterator[Release]:
    """With the chart; taken away afterwards, with the namespace of runs."""
    bare.install()
    yield bare
    bare.helm("uninstall", "--no-hooks")
    if bare.get(NAMESPACE_OF_RUNS) is None:
        return
    for run in bare.plane.client.get(f"/apis/sectum.ai/v1alpha1/namespaces/{RUNS}/verificationruns").json()["items"]:
        bare.patch(run["metadata"]["name"], {"metadata": {"finalizers": None}})
    bare.plane.client.delete(NAMESPACE_OF_RUNS)
    until(lambda: bare.get(NAMESPACE_OF_RUNS) is None)


def held(here: Release, name: str) -> bool:
    """Is there such a run with our finalizer?"""
    run = here.run(name)
    return run is not None and FINALIZER in run["metadata"].get("finalizers", ())


def without_pods(here: Release) -> None:
    """Jobs get none, so that the deletion of the namespace, which sees to pods first, need not wait for their grace."""
    here.delete(f"{NAMESPACE_OF_RUNS}/serviceaccounts/sectum-probe")


def take_rights_away(here: Release) -> None:
    """As the namespace's deletion does, in an order of its own."""
    for kind in ("rolebindings", "roles"):
        here.delete(ROLES.format(RUNS, kind) + "/sectum-operator")


def test_a_namespace_is_not_held_up_by_a_run_in_flight_whose_operator_lost_its_rights(
    here: Release, tmp_path: Path
) -> None:
    without_pods(here)
    with here.operator(tmp_path) as log:
        here.in_flight("nightly")
        until(lambda: here.jobs("nightly"), said=log.read_text)
        take_rights_away(here)
        assert held(here, "nightly"), "or nothing would hold it up"
        here.delete(NAMESPACE_OF_RUNS)
        until(lambda: "deletionTimestamp" in (here.run("nightly") or {"metadata": "deletionTimestamp"})["metadata"])
        until(lambda: here.run("nightly") is None, 20, log.read_text)
        until(lambda: here.get(NAMESPACE_OF_RUNS) is None, 60, log.read_text)


def test_an_operator_that_was_not_there_lets_the_run_go_when_it_comes_back(here: Release, tmp_path: Path) -> None:
    without_pods(here)
    with here.operator(tmp_path) as log:
        here.in_flight("nightly")
        until(lambda: here.jobs("nightly"), said=log.read_text)
    take_rights_away(here)
    here.delete(NAMESPACE_OF_RUNS)
    until(lambda: "deletionTimestamp" in (here.run("nightly") or {}).get("metadata", ()))
    until(lambda: not here.jobs("nightly"))
    assert held(here, "nightly"), "nobody was there to let it go"
    with here.operator(tmp_path) as log:
        until(lambda: here.get(NAMESPACE_OF_RUNS) is None, 60, log.read_text)


def test_a_run_that_is_deleted_in_a_namespace_that_stays_is_held_for_its_cleaning(
    here: Release, tmp_path: Path
) -> None:
    with here.operator(tmp_path) as log:
        here.in_flight("nightly")
        until(lambda: here.jobs("nightly"), said=log.read_text)
        here.delete(f"/apis/sectum.ai/v1alpha1/namespaces/{RUNS}/verificationruns/nightly")
        until(lambda: log.read_text().count("clean") > 2, said=log.read_text)
        assert held(here, "nightly")


OTHERS = "example.com/another"
COMPLETE = {"type": "Complete", "status": "True", "reason": "Cancelled", "lastTransitionTime": "2026-11-24T12:00:00Z"}
PROBING = {"phase": "Probing", "surfaces": [{"name": "api"}, {"name": "search"}]}


def cancelled(here: Release, name: str) -> bool:
    """Was it told to stop?"""
    run = here.run(name)
    return run is not None and bool(run["spec"]["cancel"])


def end(here: Release, name: str) -> None:
    """As an operator does, once the run is told to stop."""
    until(lambda: cancelled(here, name))
    here.patch(name, {"status": {"phase": "Failed", "conditions": [COMPLETE]}}, "status")
    here.patch(name, {"metadata": {"finalizers": None}})


def come_later(here: Release) -> None:
    """Somebody who knows nothing of an uninstallation begins one more."""
    until(lambda: cancelled(here, "ends"))
    here.in_flight("late", planted=False)
    end(here, "late")


def test_draining_waits_for_runs_in_flight_and_lets_go_what_does_not_end(here: Release, tmp_path: Path) -> None:
    for name in ("ends", "stuck", "deleted", "waits"):
        here.in_flight(name, planted=name != "waits")
        here.patch(name, {"status": PROBING if name != "waits" else {"phase": "Pending"}}, "status")
    here.patch("stuck", {"metadata": {"finalizers": [FINALIZER, OTHERS]}})
    here.delete(f"{collection('VerificationRun')}/deleted")
    here.in_flight("over", planted=False)
    here.patch("over", {"status": {"phase": "Complete", "conditions": [COMPLETE]}}, "status")
    over = here.run("over")
    threads = [threading.Thread(target=end, args=(here, "ends")), threading.Thread(target=come_later, args=(here,))]
    for each in threads:
        each.start()
    drained = here.drain(tmp_path, "15s")
    for each in threads:
        each.join()
    assert drained.returncode == 0, drained.stderr
    for name in ("ends", "late"):
        assert f"{RUNS}/{name}: has ended" in drained.stdout
        assert f"LEFT {RUNS}/{name}" not in drained.stdout
    stuck: Any = here.run("stuck")
    assert stuck["metadata"]["finalizers"] == [OTHERS], "another's stays"
    assert LET_GO in stuck["metadata"]["annotations"]
    assert here.run("deleted") is None
    assert here.run("over") == over
    for name, left in (("stuck", "(Probing): what it planted may still be on the surfaces api, search"),
                       ("deleted", "(Probing): what it planted may still be on the surfaces api, search"),
                       ("waits", "(Pending): nothing was planted")):  # fmt: skip
        assert f"LEFT {RUNS}/{name} {left}" in drained.stdout
    assert cancelled(here, "waits")
    assert "install the chart again" in drained.stdout
    here.patch("stuck", {"metadata": {"finalizers": None}})


def test_with_no_time_to_wait_runs_are_told_to_stop_and_let_go_at_once(here: Release, tmp_path: Path) -> None:
    here.in_flight("nightly")
    begun = time.monotonic()
    drained = here.drain(tmp_path, "0")
    assert drained.returncode == 0, drained.stderr
    assert time.monotonic() - begun < 60, "no more than it takes"
    assert not held(here, "nightly")
    assert cancelled(here, "nightly")
    again = here.drain(tmp_path, "0")
    assert f"LEFT {RUNS}/nightly" in again.stdout, "it is still there, and nobody sees to it"


def test_where_the_rights_went_before_there_is_nothing_to_wait_for(here: Release, tmp_path: Path) -> None:
    here.in_flight("nightly")
    here.delete(ROLES.format(RUNS, "roles") + "/sectum-drain")
    drained = here.drain(tmp_path, "10m")
    assert drained.returncode == 0, drained.stderr
    assert f"{RUNS}: no run can be looked at" in drained.stdout


AS_A_POD = """
import os, sys
os.environ["KUBECONFIG"] = os.environ["SECTUM_KUBECONFIG"]
from sectum_operator.main import main
sys.exit(main())
"""
PODS = {OPERATOR_IMAGE: [sys.executable, "-c", AS_A_POD]}


def test_helm_uninstall_ends_with_a_run_in_flight_and_nothing_is_wedged(here: Release, tmp_path: Path) -> None:
    upgraded = here.helm("upgrade", str(CHART), "--reuse-values", "--set", "uninstall.drain.timeout=6s")
    assert upgraded.returncode == 0, upgraded.stderr
    with Kubelet(here.plane, tmp_path / "node", images=PODS) as node, here.operator(tmp_path) as log:
        here.in_flight("nightly")
        until(lambda: len(here.jobs("nightly")) == 2, said=log.read_text)  # cleaning, which waits for its Secrets
        removed = here.helm("uninstall")
        assert removed.returncode == 0, removed.stderr
        [drained] = [run for run in node.runs if "drain" in run.command]
        assert drained.exit_code == 0, drained.log
        assert f"LEFT {RUNS}/nightly (Cleaning)" in drained.log
        assert not held(here, "nightly")
        for path in (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/sectum-drain",
                     f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/sectum-drain",
                     ROLES.format(RUNS, "roles") + "/sectum-drain"):  # fmt: skip
            until(lambda: here.get(path) is None, said=lambda: path)  # noqa: B023
        here.delete(f"{collection('VerificationRun')}/nightly")
        until(lambda: here.run("nightly") is None, 20)
        until(lambda: not here.plane.client.get(collection("Pod")).json()["items"])


def test_helm_uninstall_ends_after_the_namespace_of_runs_has_gone(here: Release, tmp_path: Path) -> None:
    here.delete(NAMESPACE_OF_RUNS)
    until(lambda: here.get(NAMESPACE_OF_RUNS) is None)
    with Kubelet(here.plane, tmp_path / "node", images=PODS) as node:
        removed = here.helm("uninstall")
        assert removed.returncode == 0, removed.stderr
        assert [run.exit_code for run in node.runs] == [0]
