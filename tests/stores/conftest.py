"""One S3 server for all tests of stores."""

from collections.abc import Iterator

import pytest

from tests.stores.s3_server import S3, running


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """versitygw with an empty bucket; skipped where it is not to be had."""
    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between the tests and loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
