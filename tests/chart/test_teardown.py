"""What was installed goes again, with runs in flight: no namespace is held up, and no uninstallation wedged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sectum_operator.stages import FINALIZER

from tests.chart.helm import RUNS
from tests.chart.running_operator import ROLES, Release, release, until

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
        until(lambda: here.run("nightly") is None, 5, log.read_text)
        until(lambda: here.get(NAMESPACE_OF_RUNS) is None, 30, log.read_text)


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
        until(lambda: here.get(NAMESPACE_OF_RUNS) is None, 30, log.read_text)


def test_a_run_that_is_deleted_in_a_namespace_that_stays_is_held_for_its_cleaning(
    here: Release, tmp_path: Path
) -> None:
    with here.operator(tmp_path) as log:
        here.in_flight("nightly")
        until(lambda: here.jobs("nightly"), said=log.read_text)
        here.delete(f"/apis/sectum.ai/v1alpha1/namespaces/{RUNS}/verificationruns/nightly")
        until(lambda: log.read_text().count("clean") > 2, said=log.read_text)
        assert held(here, "nightly")
