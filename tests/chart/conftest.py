"""One control plane for the tests that ask a real API server what the chart allows."""

from collections.abc import Iterator

import httpx
import pytest

from tests.chart import samples
from tests.chart.cluster import OPERATOR, TRIGGER, Cluster, publish_api_server, wait_until, write_kubeconfig
from tests.chart.helm import CHART, NAMESPACE, RELEASE, VALUES, helm
from tests.operator.control_plane import running

WIDE = '[{"cidr":"10.20.0.0/16"},{"cidr":"fd00:20::/32"},{"cidr":"168.0.0.0/7"},{"cidr":"126.0.0.0/7"},' \
       '{"cidr":"fe00::/8"},{"cidr":"192.168.0.0/16"},{"cidr":"10.30.0.0/16"},{"namespace":"demo"}]'  # fmt: skip
"""An outer bound by an admin who was not careful: loopback, link-local and metadata addresses lie within it."""


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server with the chart installed as a user would, and its fences at work."""
    helm("version")  # skips before a control plane is started
    folder = tmp_path_factory.mktemp("control-plane")
    with running(folder) as client:
        publish_api_server(client)
        made = Cluster(client, write_kubeconfig(folder, client))
        agent = ("--set", "egress.workloadIdentity.cidr=169.254.170.23/32")
        bound = (*agent, "--set-json", f"egress.bound={WIDE}", "--set-json", 'egress.never=["192.168.7.0/24"]')
        given = ("--namespace", NAMESPACE, "--create-namespace", "--values", str(VALUES), *bound)
        result = helm("install", RELEASE, str(CHART), *given, kubeconfig=made.kubeconfig)
        assert result.returncode == 0, result.stderr
        bad = samples.job("probe", uid="nonsense")
        policy = samples.network_policy(stage="nonsense")
        schedule = samples.cron_job()
        schedule["spec"]["suspend"] = True
        triggered = samples.triggered()
        triggered["spec"]["timeout"] = "1h"
        wait_until(
            lambda: made.create(bad, OPERATOR).status_code == made.create(policy, OPERATOR).status_code
            == made.create(schedule, OPERATOR).status_code == made.create(triggered, TRIGGER).status_code
            == httpx.codes.UNPROCESSABLE_ENTITY,
            "the fences are at work",
        )  # fmt: skip
        yield made
