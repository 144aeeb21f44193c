"""The demo on kind: the chart installed as a user would, a leaky and a hardened stack verified, both packs checked.

Safe to run again: what is there is used, both verifications are made anew. Everything it writes on this machine is in
demo-out/kind/. `--down` removes what it made in the cluster, and the cluster if it made that too.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from credentials import BUILDS, RUNS, SERVERS, SIGNER, made, manifest, taken_back
from machine import Cluster, DemoError, missing_tools, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "demo-out" / "kind"
CHART = ROOT / "charts" / "sectum-operator"
RELEASE, RELEASE_NAMESPACE = "sectum", "sectum-system"
STACKS = [HERE / "10-servers.yaml", HERE / "20-stack-leaky.yaml", HERE / "21-stack-hardened.yaml"]
SCENARIOS = [HERE / "30-scenario-leaky.yaml", HERE / "31-scenario-hardened.yaml"]
VERIFICATIONS = HERE / "40-runs.yaml"
DEPLOYMENTS = [(SERVERS, "s3"), (SERVERS, "moto"), ("demo-leaky", "assistant"), ("demo-hardened", "assistant")]
DEMO_NAMESPACES = [RUNS, SERVERS, *(f"demo-{build}" for build in BUILDS)]
EXPECTED = {"leaky": "Leak", "hardened": "Pass"}
DEMO_IMAGE = "sectum.local/demo:kind"
STARTED_WITH = "sectum.ai/demo-started-with"
RUN_SECONDS = 900
WAIT_SECONDS = 1200
ENDED = {"Complete", "Failed"}


@dataclass
class Clock:
    """How long each step took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        print(f"→ {title}", flush=True)
        began = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - began
        print(f"  {self.seconds[title]:.0f} s", flush=True)


def main() -> int:
    """0 only where the leaky stack's run says Leak, the hardened one's Pass, and both packs verify."""
    parser = argparse.ArgumentParser(prog="make demo-cluster", description=__doc__.split("\n")[0])
    parser.add_argument("--cluster", default="sectum", metavar="NAME", help="kind's name of it  [default: sectum]")
    parser.add_argument("--down", action="store_true", help="remove what the demo made")
    parser.add_argument("--servers", action="store_true", help="stop once the chart and the stacks are up")
    options = parser.parse_args()
    try:
        if problem := missing_tools():
            raise DemoError(problem)
        cluster = Cluster(options.cluster, OUT / "kubeconfig")
        with alone(options.cluster):
            return down(cluster) if options.down else up(cluster, servers_only=options.servers)
    except DemoError as error:
        print(f"make demo-cluster: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """One demo at a time works on a cluster, from whichever checkout; the lock goes with the process."""
    with (Path(tempfile.gettempdir()) / f"sectum-demo-{os.getuid()}-{name}.lock").open("w") as file:
        for waited in range(WAIT_SECONDS + 1):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited == 0:
                    print(f"another demo is at work on the cluster {name}; waiting for its end", flush=True)
                time.sleep(1)
        else:
            raise DemoError(f"another demo has been at work on the cluster {name} for {WAIT_SECONDS} s")
        yield


def up(cluster: Cluster, *, servers_only: bool) -> int:
    """All steps in order."""
    clock = Clock()
    with clock.step("cluster"):
        bring_up(cluster)
    with clock.step("images"):
        references = images()
    with clock.step("images into the cluster"):
        digests = load(cluster, references)
    with clock.step("servers, stacks and chart"):
        start_servers(cluster, references["demo"])
        install(cluster, references, digests)
        start_scenarios(cluster)
    if servers_only:
        print(f"the stacks are up: KUBECONFIG={os.path.relpath(cluster.kubeconfig)}")
        return 0
    with clock.step("both runs"):
        runs = verify_both(cluster)
    print(f"\n$ kubectl get sectum -A\n{cluster.kubectl('get', 'sectum', '-A')}", flush=True)
    with clock.step("packs"):
        good = fetch_and_verify(cluster, runs)
    return summary(clock, runs, packs_verify=good)


def bring_up(cluster: Cluster) -> None:
    """Use the cluster of that name, or make it and remember that we did."""
    if not cluster.exists():
        cluster.create()
        _made_by_us().parent.mkdir(parents=True, exist_ok=True)
        _made_by_us().write_text(cluster.name)
    cluster.connect()


def _made_by_us() -> Path:
    return OUT / "made-cluster"


def images() -> dict[str, str]:
    """Name -> reference, built where sources changed."""
    names = ("probes", "operator", "demo")
    environment = {key: value for key, value in os.environ.items() if key != "IMAGES"}
    said = run(str(ROOT / "scripts" / "images"), *names, seconds=1800, env=environment)
    return dict(line.split() for line in said.splitlines())


def load(cluster: Cluster, references: dict[str, str]) -> dict[str, str]:
    """Name -> digest, by which the chart's pods ask for them; the demo's own servers ask by a name that stays."""
    cluster.load(list(references.values()))
    cluster.tag(references["demo"], DEMO_IMAGE)
    return {name: cluster.digest(reference) for name, reference in references.items() if name != "demo"}


def start_servers(cluster: Cluster, image: str) -> None:
    """Namespaces, Secrets, then what mounts them: started anew where the image or a Secret is another than before."""
    cluster.apply_namespaces(*STACKS)
    taken_back(OUT / "secrets", {namespace: cluster.secrets(namespace) for namespace in DEMO_NAMESPACES})
    secrets = {namespace: named for namespace, named in made(OUT / "secrets").items() if namespace != RUNS}
    apply_secrets(cluster, secrets)
    before = started_with(cluster)
    cluster.apply(*STACKS)
    for namespace, name in DEPLOYMENTS:
        now = hashlib.sha256((image + manifest({namespace: secrets[namespace]})).encode()).hexdigest()
        deployment = (f"deployment/{name}", "--namespace", namespace)
        if before.get((namespace, name), now) != now:
            cluster.kubectl("rollout", "restart", *deployment)
        cluster.kubectl("annotate", "--overwrite", *deployment, f"{STARTED_WITH}={now}")


def started_with(cluster: Cluster) -> dict[tuple[str, str], str]:
    """The demo's Deployments that are there -> what they were started with."""
    there = [each["metadata"] for each in cluster.objects("deployments", "-A")]
    found = {(each["namespace"], each["name"]): each.get("annotations", {}).get(STARTED_WITH, "") for each in there}
    return {key: found[key] for key in DEPLOYMENTS if key in found}


def apply_secrets(cluster: Cluster, secrets: dict[str, Any]) -> None:
    # Server-side: else kubectl would keep a copy of the values in an annotation.
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=manifest(secrets))


def install(cluster: Cluster, references: dict[str, str], digests: dict[str, str]) -> None:
    """The chart: images by digest, and as the outer bound of egress the demo's three namespaces."""
    values = {
        "images": {
            name: {"repository": references[name].rpartition(":")[0], "digest": digests[name]} for name in digests
        },
        "egress": {"bound": [{"namespace": name} for name in (SERVERS, *(f"demo-{build}" for build in BUILDS))]},
    }
    file = OUT / "values.json"
    file.write_text(json.dumps(values, indent=2))
    release = (RELEASE, str(CHART), "--namespace", RELEASE_NAMESPACE, "--create-namespace", "--values", str(file))
    try:
        cluster.helm("upgrade", "--install", *release, "--wait", "--timeout", "120s")
    except DemoError as error:
        raise DemoError(f"{error}; {leave_traces(cluster)}") from None


def start_scenarios(cluster: Cluster) -> None:
    """Credentials of the runs, the scenarios, and everything ready."""
    apply_secrets(cluster, {RUNS: made(OUT / "secrets")[RUNS]})
    cluster.apply(*SCENARIOS)
    for namespace, name in DEPLOYMENTS:
        cluster.kubectl(
            "rollout", "status", f"deployment/{name}", "--namespace", namespace, "--timeout=180s", seconds=200
        )


def verify_both(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Build -> its VerificationRun at its end."""
    cluster.kubectl("delete", "-f", str(VERIFICATIONS), "--ignore-not-found", "--wait", "--timeout=120s", seconds=150)
    cluster.apply(VERIFICATIONS)
    began, shown = time.monotonic(), dict.fromkeys(BUILDS, "")
    while True:
        found = {each["spec"]["scenarioRef"]["name"]: each for each in cluster.objects("verificationruns", "-n", RUNS)}
        if not found.keys() >= set(BUILDS):
            raise DemoError("a run is gone: somebody else deleted it; is another demo at work on this cluster?")
        runs = {build: found[build] for build in BUILDS}
        for build, each in runs.items():
            if (now := standing(each)) != shown[build]:
                shown[build] = now
                print(f"  {time.monotonic() - began:5.0f} s  {build:9} {now}", flush=True)
        if all(phase(each) in ENDED for each in runs.values()):
            return runs
        if time.monotonic() - began > RUN_SECONDS:
            raise DemoError(f"the runs have not ended within {RUN_SECONDS} s; {leave_traces(cluster)}")
        time.sleep(1)


def phase(vrun: dict[str, Any]) -> str:
    return str(vrun.get("status", {}).get("phase", "Pending"))


def standing(vrun: dict[str, Any]) -> str:
    """One line on where a run is."""
    status = vrun.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    said = next(
        (conditions[kind] for kind in ("Complete", "Progressing", "Accepted") if kind in conditions),
        {"reason": "", "message": ""},
    )
    return "  ".join(
        word for word in (phase(vrun), status.get("verdict", ""), said["reason"], said.get("message", "")) if word
    )


def leave_traces(cluster: Cluster) -> str:
    """Put what helps to find a fault into demo-out/kind/traces; returns where."""
    folder = OUT / "traces"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = {
        "runs.yaml": ("get", "verificationruns", "-n", RUNS, "-o", "yaml"),
        "pods.txt": ("get", "jobs,pods", "-n", RUNS, "-o", "wide"),
        "events.txt": ("get", "events", "-n", RUNS),
        "operator.log": ("logs", "-n", RELEASE_NAMESPACE, "deployment/sectum-operator", "--tail=400"),
        "operator.txt": ("describe", "pods", "-n", RELEASE_NAMESPACE),
        "stages.log": ("logs", "-n", RUNS, "-l", "app.kubernetes.io/name=sectum", "--tail=100", "--prefix"),
    }
    for name, question in asked.items():
        with contextlib.suppress(DemoError):
            (folder / name).write_text(cluster.kubectl(*question))
    return f"what is known is in {os.path.relpath(folder)}/"


def fetch_and_verify(cluster: Cluster, runs: dict[str, dict[str, Any]]) -> bool:
    """Each run's pack, out of the store and checked on this machine, without the cluster."""
    packs = {
        each["spec"]["runRef"]["uid"]: each["metadata"]["name"] for each in cluster.objects("evidencepacks", "-n", RUNS)
    }
    shutil.rmtree(OUT / "packs", ignore_errors=True)
    good = True
    with cluster.forwarded(SERVERS, "s3", 9000) as port:
        for build, vrun in runs.items():
            name = packs.get(vrun["metadata"]["uid"])
            if name is None:
                print(f"  {build}: no pack; {standing(vrun)}; {leave_traces(cluster)}")
                good = False
                continue
            fetch(cluster, name, port)
            good &= verified(OUT / "packs" / name)
    return good


def fetch(cluster: Cluster, pack: str, port: int) -> None:
    """`kubectl sectum fetch`, with the credentials of the evidence bucket."""
    keys = {key: (OUT / "secrets" / f"s3-evidence.{key}").read_text() for key in ("accessKeyId", "secretAccessKey")}
    aws = {"AWS_ACCESS_KEY_ID": keys["accessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["secretAccessKey"]}
    command = [str(Path(sys.executable).with_name("kubectl-sectum")), "fetch", pack, "--namespace", RUNS]
    command += ["--endpoint", f"http://127.0.0.1:{port}", "--out", str(OUT / "packs")]
    run(*command, env={**cluster.environment, **aws})


def verified(stem: Path) -> bool:
    """`sectum verify` by the signer's public key."""
    command = ["verify", f"{stem}.zip", "--key", str(OUT / "secrets" / SIGNER / "private.pem.pub")]
    command += ["--open", f"{stem}.open.json", "--allow-unanchored"]
    shown = " ".join(os.path.relpath(word) if word.startswith(str(ROOT)) else word for word in command)
    print(f"\n$ sectum {shown}", flush=True)
    return subprocess.run([sys.executable, "-m", "sectum", *command], check=False, timeout=300).returncode == 0


def summary(clock: Clock, runs: dict[str, dict[str, Any]], *, packs_verify: bool) -> int:
    """What came out and how long it took."""
    verdicts = {build: str(each.get("status", {}).get("verdict", "none")) for build, each in runs.items()}
    print("\n━━ What you saw " + "━" * 80)
    for build, verdict in verdicts.items():
        print(
            f"  {build:9} {verdict}" + ("" if verdict == EXPECTED[build] else f", but {EXPECTED[build]} was expected")
        )
    print(f"  both packs verify: {'yes' if packs_verify else 'NO'}; they are in {os.path.relpath(OUT / 'packs')}/")
    print("  " + ", ".join(f"{title} {seconds:.0f} s" for title, seconds in clock.seconds.items()), end="; ")
    print(f"all of it {sum(clock.seconds.values()):.0f} s")
    print(f"  look around: export KUBECONFIG={os.path.relpath(OUT / 'kubeconfig')}; kubectl get sectum -A")
    print("  remove it:   make demo-cluster-down")
    return 0 if packs_verify and verdicts == EXPECTED else 1


def down(cluster: Cluster) -> int:
    """Remove what the demo made; the images stay, in Docker as on the node."""
    if not cluster.exists():
        print(f"there is no kind cluster {cluster.name}")
    elif _made_by_us().exists() and _made_by_us().read_text() == cluster.name:
        cluster.delete()
        print(f"deleted the kind cluster {cluster.name}, which the demo had made")
    else:
        clear(cluster)
        print(f"the kind cluster {cluster.name} was there before the demo and stays, without what the demo put in")
    shutil.rmtree(OUT, ignore_errors=True)
    return 0


def clear(cluster: Cluster) -> None:
    """Runs first, while the operator is there to end them; then the release, the namespaces and the kinds."""
    cluster.connect()
    kinds = cluster.kubectl("get", "crds", "-o", "name").split()
    ours = [each for each in kinds if each.endswith(".sectum.ai")]
    if ours:
        cluster.kubectl(
            "delete", "verificationruns", "--all", "-n", RUNS, "--ignore-not-found", "--timeout=120s", seconds=150
        )
    if RELEASE in cluster.helm("list", "--namespace", RELEASE_NAMESPACE, "--short").split():
        cluster.helm("uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait")
    cluster.kubectl(
        "delete", "namespaces", RELEASE_NAMESPACE, *DEMO_NAMESPACES, "--ignore-not-found", "--timeout=180s", seconds=200
    )
    if ours:
        cluster.kubectl("delete", *ours, "--timeout=60s")


if __name__ == "__main__":
    sys.exit(main())
