"""Questions to a cluster -> JSON, by the user's own kubectl, which brings configuration, contexts and log-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from shlex import join
from typing import Any, TypeVar

import click

from sectum.cli.cluster_faults import GROUP, ClusterFault, NotAllowed, NotThere, Question, fault
from sectum.errors import UsageError

PLUGIN = "kubectl sectum"
"""What the program is called when it runs as a plug-in."""
SCENARIOS, RUNS, PACKS = "isolationscenarios", "verificationruns", "evidencepacks"
_WORDS = {SCENARIOS: "scenario", RUNS: "run", PACKS: "pack"}
LATEST = "@latest"
SECONDS = 120
"""For one call of kubectl: its plug-ins may ask somebody to log in."""

_META = "sectum.cluster"
_MISSING = "kubectl is not on the PATH; see https://kubernetes.io/docs/tasks/tools/"
Function = TypeVar("Function", bound=Callable[..., Any] | click.Command)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The user's kubectl with the cluster and namespace that he named, if he did."""

    namespace: str | None = None
    all_namespaces: bool = False
    context: str | None = None
    kubeconfig: str | None = None

    def get(self, plural: str, name: str | None = None, *, fields: str | None = None) -> Any:
        """One object, or the list of all (that match the field selector); raises what `fault` makes."""
        words = ["--request-timeout=30s", *([f"--field-selector={fields}"] if fields else [])]
        everywhere = self.all_namespaces and name is None
        question = Question("get", plural, name, self.namespace, everywhere)
        return self._ask(question, [*words, *(["--all-namespaces"] if everywhere else [])])

    def create(self, plural: str, document: Mapping[str, Any], *, dry_run: bool = False) -> Any:
        """The object as the API server stored it, or would; raises what `fault` makes."""
        words = ["--filename=-", "--validate=strict", *(["--dry-run=server"] if dry_run else [])]
        question = Question("create", plural, document["metadata"]["name"], self.namespace)
        return self._ask(question, words, stdin=json.dumps(document).encode())

    def pinned(self, namespace: str) -> Kubectl:
        """To this namespace and the context of now: either may be switched in another window while a run goes on."""
        return replace(self, namespace=namespace or self.namespace, context=self.context or self._current())

    def options(self) -> list[str]:
        """As the user gave them, for commands to copy."""
        given = {"-n": self.namespace, "--context": self.context, "--kubeconfig": self.kubeconfig}
        return [word for option, value in given.items() if value for word in (option, value)]

    def plugin(self, *words: str) -> str:
        """A command of this plug-in, to copy."""
        return f"{PLUGIN} {join([*words, *self.options()])}"

    def _ask(self, question: Question, words: list[str], stdin: bytes | None = None) -> Any:
        what = [question.kind] if question.verb == "get" else []
        name = [question.name] if question.verb == "get" and question.name else []
        done = _called([question.verb, *what, *name, "--output=json", *self._where(), *words], stdin)
        if done.returncode:
            raise fault(question, done.stderr.decode(errors="replace"))
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise ClusterFault(f"kubectl {question.verb} printed no JSON; is that kubectl, on the PATH?") from None

    def _current(self) -> str | None:
        """The context of now; None where there is none, as inside a pod."""
        given = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        done = _called(["config", "current-context", *given])
        return done.stdout.decode(errors="replace").strip() or None if done.returncode == 0 else None

    def _where(self) -> list[str]:
        given = {"namespace": self.namespace, "context": self.context, "kubeconfig": self.kubeconfig}
        return [f"--{option}={value}" for option, value in given.items() if value]


def _called(words: list[str], stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("kubectl")
    if program is None:
        raise NotAllowed(_MISSING)
    try:
        return subprocess.run(  # noqa: S603  (the user's own kubectl; an array, no shell)
            [program, *words], input=stdin, capture_output=True, timeout=SECONDS, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise ClusterFault(f"kubectl did not answer in {SECONDS} s; does it wait for a log-in? Try it") from None
    except OSError as error:
        raise NotAllowed(f"{program}: {os.strerror(error.errno or 0)}") from None


def _environment() -> dict[str, str]:
    """With kubectl's messages in English, by which a fault is recognised."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""}


def nearest(kubectl: Kubectl, plural: str, name: str) -> NotThere:
    """The fault for a name that is not there, with the names that are; raises what `fault` makes."""
    items = kubectl.get(plural).get("items", [])
    names = sorted(item["metadata"]["name"] for item in items)
    where = f" in namespace {kubectl.namespace!r}" if kubectl.namespace else ""
    close = get_close_matches(name, names, n=3) or [each for each in names if name in each or each in name][:3]
    if close:
        hint = f"did you mean {' or '.join(map(repr, close))}?"
    elif names:
        hint = f"there are: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
    else:
        hint = f"there is none there. Look into other namespaces: kubectl get {plural}.{GROUP} -A"
    return NotThere(f"no {_WORDS[plural]} is named {name!r}{where}; {hint}")


def options(*, everywhere: bool) -> Callable[[Function], Function]:
    """-n, --context, --kubeconfig and perhaps -A, which may stand before and after the verb."""

    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value and parameter.name:
            ctx.meta.setdefault(_META, {})[parameter.name] = value

    def decorate(function: Function) -> Function:
        shared: dict[str, Any] = {"expose_value": False, "callback": keep}
        made = [
            click.option("-n", "--namespace", metavar="NS", help="Namespace; kubectl's own if left out.", **shared),
            click.option("--context", metavar="C", help="Context of the kubeconfig.", **shared),
            click.option("--kubeconfig", metavar="FILE", help="The kubeconfig, as with $KUBECONFIG.", **shared),
        ]
        if everywhere:
            text = "In all namespaces."
            made.insert(1, click.option("-A", "--all-namespaces", is_flag=True, help=text, **shared))
        for option in reversed(made):
            function = option(function)
        return function

    return decorate


def kubectl_of(ctx: click.Context, *, everywhere: bool = False) -> Kubectl:
    """With what the command line says; raises UsageError."""
    given = Kubectl(**ctx.meta.get(_META, {}))
    if given.all_namespaces and not everywhere:
        raise UsageError(f"-A makes no sense for {ctx.info_name}; name the namespace with -n")
    for name, value in (("--namespace", given.namespace), ("--context", given.context)):
        if value and not value.isprintable():
            raise UsageError(f"{name}: control characters in it")
    return given
