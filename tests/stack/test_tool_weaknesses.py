"""Each setting of the tools and the vectors, switched off alone, shows exactly what it guards, and nothing else."""

import pytest

from tests.stack.running import running_stack
from tests.stack.test_weaknesses import exposures
from tests.stack.tool_exposures import BAD_TOKENS, VECTOR_LOOKS, Exposures, tool_exposures

BOTH = ("same", "other")


def seen(*looks: str, by: tuple[str, ...]) -> Exposures:
    return {(look, asker) for look in looks for asker in by}


NAMED = ("get note of alice", "list notes of alice", "find notes of alice")
EXPECTED: dict[str, Exposures] = {
    "tools_token_verified": seen(*(f"token {kind}" for kind in BAD_TOKENS), by=("anybody",)),
    "tools_exchange_token": seen(
        "token for the API", "tools token at the API", "tools token at the vectors", by=("anybody",)
    ),
    # A user without a tenant is a colleague, and a tenant without a user is all of another tenant.
    "tools_tenant_from_token": seen(*NAMED, by=BOTH)
    | seen("list notes of user", by=("same",))
    | seen("list notes of tenant", by=("other",)),
    "tools_session_bound": seen("session", by=BOTH),
    "tools_replies_per_session": seen("equal ids", by=BOTH),
    "vectors_database_checked": seen(*(f"{look} of alice" for look in VECTOR_LOOKS), by=BOTH),
    "vectors_collection_per_user": seen(*VECTOR_LOOKS, *(f"{look} by foreign id" for look in VECTOR_LOOKS), by=BOTH),
}


@pytest.mark.parametrize("switch", EXPECTED)
def test_a_setting_switched_off_alone_exposes_exactly_what_it_guards(switch: str) -> None:
    with running_stack(set={f"security.{switch}": False}) as stack:
        assert tool_exposures(stack) == EXPECTED[switch]
        assert exposures(stack) == set()


def test_the_hardened_build_exposes_nothing() -> None:
    with running_stack() as stack:
        assert tool_exposures(stack) == set()


def test_the_leaky_build_exposes_all_of_it() -> None:
    with running_stack(config="leaky") as stack:
        assert tool_exposures(stack) >= set().union(*EXPECTED.values())
