"""What goes wrong -> one tree of exceptions, each with the exit status that the command line gives it.

No message here ever carries a string that a server supplied, a marker, a planted location or a credential: messages are
made of enumerations, names out of the scenario and numbers (product.md, promise 3).
"""

from __future__ import annotations


class SectumError(Exception):
    """The root of the tree; a subclass says what to do next in its message."""

    exit_status = 1


class UsageError(SectumError):
    """The command line is wrong: a missing option, a folder that is not there."""

    exit_status = 2


class ScenarioError(SectumError):
    """The scenario is wrong: names the field and the fix.

    Attributes:
        field: path of the field in the YAML, for example ``spec.surfaces[0].adapter.http.origin``.
    """

    exit_status = 3

    def __init__(self, field: str, problem: str, fix: str = "") -> None:
        super().__init__(f"{field}: {problem}" + (f"; {fix}" if fix else ""))
        self.field = field


class SecretMissing(ScenarioError):
    """A secretRef of the scenario points at nothing that this process can read."""


class NotVerified(SectumError):
    """Evidence did not verify; the message names the step."""

    exit_status = 12


class SealBroken(NotVerified):
    """A sealed manifest, intent or receipt does not open: wrong key, wrong context or changed bytes."""


class KeyUnavailable(SectumError):
    """The keeper of the manifest's key refused or failed; the message names the permission that is missing.

    Attributes:
        temporary: may it go better in a while?
    """

    def __init__(self, problem: str, *, temporary: bool = False) -> None:
        super().__init__(problem)
        self.temporary = temporary


class AlreadyStored(SectumError):
    """A create-only put met an object of that name."""


class StoreFault(SectumError):
    """The store refused, failed, or gave back other bytes; names the object, does not repeat the store's words.

    Attributes:
        temporary: may it go better in a while?
    """

    def __init__(self, problem: str, *, temporary: bool = True) -> None:
        super().__init__(problem)
        self.temporary = temporary


class NotStored(SectumError):
    """There is no object of that name."""


class SurfaceFault(SectumError):
    """A surface could not be used; `reason` is one of `Reason`'s names, never the server's words."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason + (f": {hint}" if hint else ""))
        self.reason = reason
        self.hint = hint
