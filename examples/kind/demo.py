"""The demo on kind: the chart installed as a user would, a leaky and a hardened stack verified, both packs checked.

Safe to run again: what is there is used, both verifications are made anew. Everything it writes on this machine is in
demo-out/kind/, for a cluster of another name in demo-out/kind-NAME/. `--down` removes what it made in the cluster, and
the cluster if it made that too.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from installing import clear, images, install, load, start_scenarios, start_servers
from machine import Cluster, DemoError, missing_tools
from outcome import Run, fetch_and_verify, leave_traces, verify_both

ROOT = Path(__file__).resolve().parent.parent.parent
EXPECTED = {"leaky": "Leak", "hardened": "Pass"}
USUAL = "sectum"
WAIT_SECONDS = 1200
MADE_HERE = "sectum.ai/made-by-demo"


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
    parser.add_argument("--cluster", default=USUAL, metavar="NAME", help=f"kind's name of it  [default: {USUAL}]")
    parser.add_argument("--down", action="store_true", help="remove what the demo made")
    parser.add_argument("--servers", action="store_true", help="stop once the chart and the stacks are up")
    options = parser.parse_args()
    folder = "kind" if options.cluster == USUAL else f"kind-{options.cluster}"
    cluster = Cluster(options.cluster, ROOT / "demo-out" / folder)
    try:
        if problem := missing_tools():
            raise DemoError(problem)
        with alone(options.cluster):
            return down(cluster) if options.down else up(cluster, servers_only=options.servers)
    except DemoError as error:
        print(f"make demo-cluster: {error}", file=sys.stderr)
        if cluster.kubeconfig.exists():
            print(leave_traces(cluster), file=sys.stderr)
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
    return summary(cluster, clock, runs, packs_verify=good)


def bring_up(cluster: Cluster) -> None:
    """Use the cluster of that name, or make it, which its nodes then say."""
    made = not cluster.exists()
    if made:
        cluster.create()
    cluster.connect()
    if made:
        cluster.kubectl("label", "nodes", "--all", "--overwrite", f"{MADE_HERE}=true")


def summary(cluster: Cluster, clock: Clock, runs: dict[str, Run], *, packs_verify: bool) -> int:
    """What came out and how long it took."""
    verdicts = {build: str(each.get("status", {}).get("verdict", "none")) for build, each in runs.items()}
    print("\n━━ What you saw " + "━" * 80)
    for build, verdict in verdicts.items():
        print(f"  {build:9} {verdict}" + ("" if verdict == EXPECTED[build] else f"; expected was {EXPECTED[build]}"))
    packs = os.path.relpath(cluster.folder / "packs")
    print(f"  both packs verify: {'yes' if packs_verify else 'NO'}; they are in {packs}/")
    print("  " + ", ".join(f"{title} {seconds:.0f} s" for title, seconds in clock.seconds.items()), end="; ")
    print(f"all of it {sum(clock.seconds.values()):.0f} s")
    print(f"  look around: export KUBECONFIG={os.path.relpath(cluster.kubeconfig)}; kubectl get sectum -A")
    named = "" if cluster.name == USUAL else f" ARGS='--cluster {cluster.name}'"
    print(f"  remove it:   make demo-cluster-down{named}")
    if packs_verify and verdicts == EXPECTED:
        return 0
    print(f"  {leave_traces(cluster)}")
    return 1


def down(cluster: Cluster) -> int:
    """Remove what the demo made; the images stay, in Docker as on the node."""
    if not cluster.exists():
        print(f"there is no kind cluster {cluster.name}")
    elif made_here(cluster):
        cluster.delete()
        print(f"deleted the kind cluster {cluster.name}, which the demo had made")
    else:
        clear(cluster)
        print(f"the kind cluster {cluster.name} was there before the demo and stays, without what the demo put in")
    shutil.rmtree(cluster.folder, ignore_errors=True)
    return 0


def made_here(cluster: Cluster) -> bool:
    """Do its nodes say that the demo made it?"""
    cluster.connect()
    return bool(cluster.objects("nodes", "-l", MADE_HERE))


if __name__ == "__main__":
    sys.exit(main())
