"""The stages of a run -> who runs them, in which order, and how their Jobs are named and labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

GROUP, VERSION = "sectum.ai", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/clean"
"""Stands from the first plant to the end of the run: a deletion waits for cleaning, and for a pack under way."""
LET_GO = f"{GROUP}/let-go"
"""Annotation: the finalizer was taken off before its time, since the operator was taken away."""
RUN, RUN_UID, STAGE, SURFACE, ATTEMPT = (
    f"{GROUP}/{name}" for name in ("run", "run-uid", "stage", "surface", "attempt")
)
"""Labels of Jobs and their pods."""
_NAME_LENGTH = 32


class Stage(StrEnum):
    """In order; each begins when all Jobs of the one before have ended, either way."""

    PREPARE = "prepare"
    OPEN = "open"
    BASELINE = "baseline"
    PLANT = "plant"
    PROBE = "probe"
    CLEAN = "clean"
    ASSEMBLE = "assemble"

    @property
    def of_surface(self) -> bool:
        """Is there one Job for each surface?"""
        return self in ON_SURFACES

    @property
    def account(self) -> str:
        """The service account of its pods."""
        return _ACCOUNTS.get(self, "sectum-probe")


ON_SURFACES = (Stage.BASELINE, Stage.PLANT, Stage.PROBE, Stage.CLEAN)
PROBING = (Stage.BASELINE, Stage.PLANT, Stage.PROBE)
"""What a cancel and the timeout stop."""
_ACCOUNTS = {Stage.PREPARE: "sectum-prepare", Stage.OPEN: "sectum-sign", Stage.ASSEMBLE: "sectum-sign"}


@dataclass(frozen=True, slots=True, order=True)
class Work:
    """What one Job does: an attempt at a stage, of one surface where the stage has one Job a surface."""

    stage: Stage
    surface: str
    """Empty where there is one Job for all."""
    attempt: int

    def __str__(self) -> str:
        return f"{self.stage} {self.surface}".strip() + (f" (attempt {self.attempt})" if self.attempt > 1 else "")


@dataclass(frozen=True, slots=True)
class RunId:
    """A VerificationRun, as its children name it."""

    namespace: str
    name: str
    uid: str


def child_name(run: RunId, kind: str, *distinct: object) -> str:
    """A name that is the same whenever it is made again: `<run, cut>-<kind>-<first 8 hex digits of a hash>`."""
    told = "/".join((run.uid, *map(str, distinct)))
    digest = hashlib.sha256(told.encode()).hexdigest()
    return f"{run.name[:_NAME_LENGTH].rstrip('-.')}-{kind}-{digest[:8]}"


def job_name(run: RunId, work: Work) -> str:
    """The Job's name."""
    return child_name(run, work.stage, work.stage, work.surface, work.attempt)


def owned_labels(run: RunId) -> dict[str, str]:
    """Labels of everything that the operator makes for a run."""
    return {
        "app.kubernetes.io/name": "sectum",
        "app.kubernetes.io/managed-by": "sectum-operator",
        RUN: run.name,
        RUN_UID: run.uid,
    }


def job_labels(run: RunId, work: Work) -> dict[str, str]:
    """Labels of a Job and of its pod."""
    surface = {SURFACE: work.surface} if work.surface else {}
    return {
        **owned_labels(run),
        "app.kubernetes.io/component": work.stage,
        STAGE: work.stage,
        ATTEMPT: str(work.attempt),
        **surface,
    }


def work_of(labels: Mapping[str, str]) -> Work | None:
    """What a Job with these labels does; None for one that is not of a run."""
    try:
        return Work(Stage(labels[STAGE]), labels.get(SURFACE, ""), int(labels[ATTEMPT]))
    except (KeyError, ValueError):
        return None
