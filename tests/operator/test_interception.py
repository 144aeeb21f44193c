"""The line between a caller and a real API server passes everything on, and can be cut at each write."""

import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.operator.control_plane import ControlPlane, control_plane
from tests.operator.interception import Call, Interception, Moment

MAPS = "/api/v1/namespaces/default/configmaps"
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("cluster")) as plane:
        yield plane


@pytest.fixture
def line(plane: ControlPlane) -> Iterator[Interception]:
    with Interception(plane) as line:
        yield line


@pytest.fixture
def caller(line: Interception, plane: ControlPlane) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {plane.token}"}
    with httpx.Client(base_url=line.url, headers=headers, trust_env=False, timeout=10) as client:
        yield client


def made(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b" * 5000}}


def there(plane: ControlPlane, name: str) -> bool:
    return plane.client.get(f"{MAPS}/{name}").is_success


def test_calls_pass_and_writes_are_counted(line: Interception, caller: httpx.Client, plane: ControlPlane) -> None:
    assert caller.post(MAPS, json=made("passing")).status_code == httpx.codes.CREATED
    assert caller.post(MAPS, json=made("passing")).status_code == httpx.codes.CONFLICT
    assert caller.get(f"{MAPS}/passing").json()["data"] == {"a": "b" * 5000}
    assert caller.patch(f"{MAPS}/passing", json={}, headers={"Content-Type": "application/merge-patch+json"}).is_success
    assert caller.delete(f"{MAPS}/passing").is_success
    assert not there(plane, "passing")
    seen = [(call.number, call.method, call.status) for call in line.writes]
    assert seen == [(1, "POST", 201), (2, "POST", 409), (3, "PATCH", 200), (4, "DELETE", 200)]
    assert line.writes[0].body["metadata"]["name"] == "passing"


def test_the_line_adds_no_rights(line: Interception) -> None:
    with httpx.Client(base_url=line.url, trust_env=False) as nobody:
        assert nobody.get(MAPS).status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


@pytest.mark.parametrize("moment", Moment)
def test_a_write_is_cut_off_before_or_after_it_is_done(
    line: Interception, caller: httpx.Client, plane: ControlPlane, moment: Moment
) -> None:
    asked: list[tuple[Call, Moment]] = []

    def judge(call: Call, at: Moment) -> bool:
        asked.append((call, at))
        return call.number == 2 and at is moment

    line.judge = judge
    names = [f"{moment.value}-{number}" for number in (1, 2, 3)]
    caller.post(MAPS, json=made(names[0])).raise_for_status()
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post(MAPS, json=made(names[1]))
    caller.post(MAPS, json=made(names[2])).raise_for_status()
    assert [there(plane, name) for name in names] == [True, moment is Moment.AFTER, True]
    assert [at for call, at in asked if call.number == 2] == list(Moment)[: 1 if moment is Moment.BEFORE else 2]


def test_a_watch_flows_while_it_is_open(caller: httpx.Client, plane: ControlPlane) -> None:
    came = threading.Event()
    version = plane.client.get(MAPS).json()["metadata"]["resourceVersion"]
    asked = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "8"}
    with caller.stream("GET", MAPS, params=asked) as answer:
        plane.client.post(MAPS, json=made("watched")).raise_for_status()
        event = json.loads(next(answer.iter_lines()))
        came.set()
    assert came.is_set()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "watched")
