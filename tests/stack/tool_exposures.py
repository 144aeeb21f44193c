"""Plant a note and a vector record, look for them in every way as everybody, and return the looks that found them."""

import threading
import time
import uuid
from collections.abc import Callable

import httpx

from tests.stack.running import Stack
from tests.stack.tooling import Tools, collections, http, minted, records, tools_token, vector

OWNER = ("acme", "alice")
ASKERS = {"owner": OWNER, "same": ("acme", "amir"), "other": ("globex", "bob")}
ATTEMPTS = 10

Exposures = set[tuple[str, str]]

# Tokens that say they are the owner's, for the tools, and are not good.
BAD_TOKENS: dict[str, Callable[[Stack], str]] = {
    "for the API": lambda stack: stack.user(*OWNER).token,
    "for nobody": lambda stack: minted(stack, OWNER, aud="somebody-else"),
    "of another issuer": lambda stack: minted(stack, OWNER, iss="https://elsewhere.example"),
    "expired": lambda stack: minted(stack, OWNER, exp=int(time.time()) - 10),
    "unsigned": lambda stack: minted(stack, OWNER, key=b""),
    "by another key": lambda stack: minted(stack, OWNER, key=b"x" * 32),
}

ToolLook = Callable[[Tools, str], httpx.Response]
TOOL_LOOKS: dict[str, ToolLook] = {
    "get note": lambda tools, key: tools.call("get_note", id=key),
    "list notes": lambda tools, _: tools.call("list_notes"),
    "find notes": lambda tools, _: tools.call("find_notes", query="copper kettle festival"),
    "get note of alice": lambda tools, key: tools.call("get_note", id=key, tenant="acme", user="alice"),
    "list notes of alice": lambda tools, _: tools.call("list_notes", tenant="acme", user="alice"),
    "list notes of user": lambda tools, _: tools.call("list_notes", user="alice"),
    "list notes of tenant": lambda tools, _: tools.call("list_notes", tenant="acme"),
    "find notes of alice": lambda tools, _: tools.call(
        "find_notes", query="copper kettle festival", tenant="acme", user="alice"
    ),
}

# A way to look for a record: client, the address of a collection, the record's id.
VectorLook = Callable[[httpx.Client, str, str], httpx.Response]
VECTOR_LOOKS: dict[str, VectorLook] = {
    "get record": lambda client, at, key: client.post(f"{at}/get", json={"ids": [key]}),
    "get all records": lambda client, at, _: client.post(f"{at}/get", json={}),
    "query records": lambda client, at, _: client.post(
        f"{at}/query", json={"query_embeddings": [vector(1)], "n_results": 5}
    ),
}


def tool_exposures(stack: Stack) -> Exposures:
    """The owner must find his note and his record in each way that is open to him."""
    found = note_exposures(stack) | record_exposures(stack)
    own = {look for look, asker in found if asker == "owner"}
    assert own == {*TOOL_LOOKS, *VECTOR_LOOKS, *(f"{look} of alice" for look in VECTOR_LOOKS)}
    return {(look, asker) for look, asker in found if asker != "owner"}


def note_exposures(stack: Stack) -> Exposures:
    secret = f"ref{uuid.uuid4().hex}"
    found: Exposures = set()
    with Tools(stack, tools_token(stack, OWNER)) as owner:
        text = f"The reference for the copper kettle festival is {secret}."
        key = str(owner.result("save_note", title="Copper kettle festival", text=text)["id"])
        for asker, who in ASKERS.items():
            token = tools_token(stack, who)
            with Tools(stack, token) as tools:
                found |= {(look, asker) for look, look_for in TOOL_LOOKS.items() if secret in look_for(tools, key).text}
                if asker != "owner" and secret in by_equal_ids(owner, tools):
                    found.add(("equal ids", asker))
            with Tools(stack, token, session=owner.session) as tools:
                if asker != "owner" and secret in tools.call("list_notes").text:
                    found.add(("session", asker))
        for kind, token_of in BAD_TOKENS.items():
            with Tools(stack, token_of(stack)) as tools:
                found |= {(f"token {kind}", "anybody")} if secret in tools.call("list_notes").text else set()
        owner.result("delete_note", id=key)
    with http(stack, tools_token(stack, OWNER)) as client:
        for place, path in (("API", "/v1/me"), ("vectors", "/chroma/api/v2/auth/identity")):
            found |= {(f"tools token at the {place}", "anybody")} if client.get(path).is_success else set()
    return found


def by_equal_ids(owner: Tools, asker: Tools) -> str:
    """Have both ask at the same moment, with the same id; return all that the asker was given."""
    given = ""
    for attempt in range(ATTEMPTS):
        together = threading.Barrier(2)

        def ask(tools: Tools, request_id: int, together: threading.Barrier = together) -> str:
            together.wait()
            return tools.call("list_notes", request_id=request_id).text

        other = threading.Thread(target=ask, args=(owner, 70_000 + attempt))
        other.start()
        given += ask(asker, 70_000 + attempt)
        other.join()
    return given


def record_exposures(stack: Stack) -> Exposures:
    secret = f"ref{uuid.uuid4().hex}"
    found: Exposures = set()
    with stack.http(*OWNER) as owner:
        owners = records(owner, OWNER)
        record = {"ids": [secret[:20]], "embeddings": [vector(1)], "documents": [f"The reference is {secret}."]}
        assert owner.post(f"{owners}/add", json=record).status_code == 201
        for asker, who in ASKERS.items():
            with stack.http(*who) as client:
                foreign = f"{collections(who)}/{owners.rpartition('/')[2]}"
                places = {"": records(client, who), " of alice": owners, " by foreign id": foreign}
                for where, at in places.items():
                    for look, look_for in VECTOR_LOOKS.items():
                        if where == " by foreign id" and asker == "owner":
                            continue
                        if secret in look_for(client, at, secret[:20]).text:
                            found.add((f"{look}{where}", asker))
    return found
