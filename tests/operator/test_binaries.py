"""Where the control plane's binaries come from, and that their absence is said aloud."""

from pathlib import Path

import pytest

from tests.operator.binaries import KUBERNETES, MODULES, assets, cache, go_mod

NEEDED = ("etcd", "kube-apiserver")
THEIRS = """\
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
\tgo.etcd.io/etcd/client/v3 v3.6.8
\tk8s.io/api v0.0.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    return folder


def test_the_named_folder_comes_first_then_what_was_built(tmp_path: Path) -> None:
    named, cached = put(tmp_path / "named", *NEEDED), put(cache({"XDG_CACHE_HOME": str(tmp_path)}), *NEEDED)
    both = {"KUBEBUILDER_ASSETS": str(named), "XDG_CACHE_HOME": str(tmp_path)}
    assert assets(*NEEDED, environment=both) == named
    assert assets(*NEEDED, environment={"XDG_CACHE_HOME": str(tmp_path)}) == cached
    assert KUBERNETES in cached.name


@pytest.mark.parametrize("named", [True, False])
def test_where_a_binary_is_missing_the_tests_are_skipped_with_what_to_do(tmp_path: Path, *, named: bool) -> None:
    folder = put(tmp_path / "named", "etcd")
    environment = {"XDG_CACHE_HOME": str(tmp_path), **({"KUBEBUILDER_ASSETS": str(folder)} if named else {})}
    with pytest.raises(pytest.skip.Exception, match=r"NOT TESTED.*make test-control-plane") as skipped:
        assets(*NEEDED, environment=environment)
    assert (f"{folder} lacks one of etcd, kube-apiserver" if named else "is unset") in str(skipped.value)


def test_kubernetes_is_required_with_its_published_parts() -> None:
    major = KUBERNETES.partition(".")[2]
    assert go_mod(MODULES["kubernetes"], THEIRS).splitlines() == [
        "module sectum.test/control-plane",
        "go 1.26.0",
        "godebug default=go1.26",
        f"require k8s.io/kubernetes v{KUBERNETES}",
        f"replace k8s.io/api => k8s.io/api v0.{major}",
        f"replace k8s.io/kubelet => k8s.io/kubelet v0.{major}",
    ]
