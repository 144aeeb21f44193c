"""What kubectl said on stderr -> what went wrong, what to do about it, and whether asking again may help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sectum.cli.settings import printable
from sectum.errors import SectumError

GROUP = "sectum.ai"
_LONGEST = 300
_KLOG = re.compile(r"^[IWEF]\d{4} ")
"""A line of kubectl's log, which stands above its error."""
_INSTALL = "install Sectum's chart there, which brings it, or choose another cluster with --context"


class ClusterFault(SectumError):
    """The cluster could not be asked; another attempt may succeed."""


class NotAllowed(ClusterFault):
    """The cluster, or this machine, does not let it be asked; another attempt will not help."""


class NotThere(SectumError):
    """There is no object of that name."""

    exit_status = 3


class NotTaken(SectumError):
    """The API server refuses an object."""

    exit_status = 3


class NameTaken(SectumError):
    """There is an object of that name already."""


@dataclass(frozen=True, slots=True)
class Question:
    """What kubectl was asked: `get` or `create`, of which kind and where."""

    verb: str
    plural: str
    name: str | None
    namespace: str | None
    everywhere: bool = False

    @property
    def kind(self) -> str:
        """The kind's full name, which no other product's short name can take."""
        return f"{self.plural}.{GROUP}"

    @property
    def right(self) -> str:
        """The verb that a Role has to name."""
        return "list" if self.verb == "get" and self.name is None else self.verb

    @property
    def there(self) -> str:
        """As an option of kubectl, for commands to copy."""
        return f" -n {self.namespace}" if self.namespace and not self.everywhere else ""


def fault(question: Question, stderr: str) -> SectumError:
    """The first rule that fits; else kubectl's own line."""
    said = own_line(stderr)
    for pattern, made in _RULES:
        if re.search(pattern, said):
            return made(question, said)
    return ClusterFault(f"kubectl {question.verb} failed: {said}; try `kubectl {question.verb} {question.kind}`")


def own_line(stderr: str) -> str:
    """The last line that is no log, without what a terminal would obey, no longer than a few lines."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _KLOG.match(line)]
    line = printable(lines[-1].removeprefix("error: ") if lines else "it said nothing")
    # A semicolon would divide it into what is wrong and what to do.
    return (line[:_LONGEST] + "…" if len(line) > _LONGEST else line).replace("; ", ", ")


def _unknown_kind(question: Question, _: str) -> SectumError:
    return NotAllowed(f"the cluster has no resource {question.kind}; {_INSTALL}")


def _no_namespace(question: Question, _: str) -> SectumError:
    return NotThere(f"there is no namespace {question.namespace!r}; `kubectl get namespaces` lists them")


def _not_found(question: Question, _: str) -> SectumError:
    return NotThere(f"there is no {question.kind} {question.name!r}; `kubectl get {question.kind}{question.there}`")


def _forbidden(question: Question, said: str) -> SectumError:
    if "cannot" not in said:  # a quota, an admission webhook, a namespace that is ending
        return NotTaken(f"the cluster refuses it: {said}")
    where = f" in namespace {question.namespace!r}" if question.namespace else ""
    where, kind = (" in all namespaces", "clusterrole") if question.everywhere else (where, "role")
    role = f"kubectl create {kind} sectum-user --verb={question.right} --resource={question.kind}{question.there}"
    return NotAllowed(
        f"you may not {question.right} {question.kind}{where}; an admin gives that right: {role} (and a {kind}binding)"
    )


def _login(_: Question, __: str) -> SectumError:
    return ClusterFault("the cluster does not know who you are; log in again, then try `kubectl auth whoami`")


def _invalid(_: Question, said: str) -> SectumError:
    return NotTaken(f"the API server refuses it: {said}")


def _taken(question: Question, _: str) -> SectumError:
    return NameTaken(f"there is a {question.kind} {question.name!r} already")


def _no_cluster(_: Question, __: str) -> SectumError:
    return NotAllowed("kubectl knows of no cluster; set KUBECONFIG, or give --kubeconfig")  # 8080 is where it guesses


def _unreached(_: Question, said: str) -> SectumError:
    return ClusterFault(f"no answer from the cluster: {said}; try `kubectl version`, or another --context")


def _configuration(_: Question, said: str) -> SectumError:
    return NotAllowed(f"kubectl: {said}; `kubectl config get-contexts` lists what there is")


_RULES = (
    (r"doesn't have a resource type|no matches for kind|could not find the requested resource", _unknown_kind),
    (r"\(NotFound\): namespaces ", _no_namespace),
    (r"\(NotFound\)", _not_found),
    (r"\(Forbidden\)|is forbidden", _forbidden),
    (r"\(AlreadyExists\)", _taken),
    (r"Unauthorized|must be logged in|provide credentials", _login),
    (r"\(Invalid\)|\(BadRequest\)| is invalid: ", _invalid),
    (r"localhost:8080 was refused", _no_cluster),
    (r"^The connection to the server|^Unable to connect|timed out|timeout|\(ServiceUnavailable\)|EOF", _unreached),
    (r"context .*does not exist|Error in configuration|no context exists|kubeconfig", _configuration),
    (r"\bstat .*no such file|error loading config", _configuration),
)
"""In this order: a missing namespace is a missing object, too."""
