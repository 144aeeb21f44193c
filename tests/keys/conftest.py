"""One AWS for all tests of keys."""

from collections.abc import Iterator

import pytest

from tests.keys.kms_server import Kms, running


@pytest.fixture(scope="session")
def kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kms]:
    """moto with a key and three identities; IAM is enforced."""
    with running(tmp_path_factory.mktemp("kms")) as server:
        yield server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between the tests and loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
