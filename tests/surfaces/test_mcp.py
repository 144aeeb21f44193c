"""The mcp adapter against servers by the official SDK: each verb, each way of calling, and each kind of refusal."""

import asyncio
import subprocess
import sys
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError
from sectum.actions import Action, AnswerKind, Delete, Fetch, List, Search, Verb, WhoAmI, Write
from sectum.errors import SurfaceFault
from sectum.ports import Access
from sectum.surfaces.mcp import McpSpec
from sectum.web.tokens import Tokens

from tests.surfaces.mcp_servers import (
    HELLO,
    KEY,
    REF,
    SCENARIO,
    TOKENS,
    NoteServer,
    Talk,
    access,
    bearer,
    encoded,
    hear,
    perform,
    says,
    serving,
    spec,
)
from tests.surfaces.raw_server import ALICE, BOB, CREDENTIAL

MARKER = "KX7-quartz-heron-2291"
MINTED = {**TOKENS, "issuerKey": {"secretRef": REF}}
WRITE = Write(title="Reference for the harbour survey", text=MARKER, wanted="w")


def talk(notes: NoteServer, *actions: Action, who: Any = ALICE, credential: str | None = None, **fields: Any) -> Talk:
    """One client of a real server."""

    async def run() -> Talk:
        async with serving(notes):
            return await perform(spec(url=notes.url, **fields), access(who, credential), *actions)

    return asyncio.run(run())


def owned(**knobs: Any) -> NoteServer:
    """A server with one note of bob's."""
    notes = NoteServer(**knobs)
    notes.notes["note-000001"] = (BOB, WRITE.title, MARKER)
    return notes


FOREIGN = Fetch("note-000001")


# --- verbs


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_every_verb_of_a_real_server(as_json: bool, structured: bool) -> None:
    notes = NoteServer(as_json=as_json, structured=structured)
    mine = Fetch("note-000001")
    heard = talk(notes, WhoAmI(), WRITE, mine, List(), Search("harbour"), Delete("note-000001"), List(), mine)
    who, written, fetched, listed, found, deleted, empty, gone = heard.replies
    assert (who.kind, who.identity) == (AnswerKind.ITEMS, True)
    assert (written.kind, written.location) == (AnswerKind.ITEMS, "note-000001")
    for reply in (fetched, listed, found):
        assert reply.kind is AnswerKind.ITEMS
        assert [(item.location, MARKER in item.text) for item in reply.items or ()] == [("note-000001", True)]
    assert deleted.kind is AnswerKind.EMPTY
    assert (empty.kind, empty.items) == (AnswerKind.EMPTY, ())
    assert (gone.kind, gone.items) == (AnswerKind.DENIED, ())
    assert MARKER in heard.text
    assert "mcp-session-id" in heard.text.lower()  # header fields are scanned too


def test_whoami_is_not_taken_for_proof_when_it_names_somebody_else() -> None:
    heard = talk(NoteServer(), WhoAmI(), credential=bearer(BOB))
    assert (heard.reply.kind, heard.reply.identity) == (AnswerKind.ITEMS, False)


def test_verbs_are_those_of_the_tools_and_of_the_ways_to_call_them() -> None:
    tools = {Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.SEARCH, Verb.DELETE}
    ways = {Verb.CALL, Verb.CORRELATE, Verb.REUSE_SESSION}
    assert spec().verbs() == tools | ways
    assert spec(sessions=False).verbs() == tools | ways - {Verb.REUSE_SESSION}
    assert spec(tokens=TOKENS).verbs() == tools | ways | {Verb.PRESENT_TOKEN}
    assert spec(tokens=TOKENS).token_names() == ("none", "unsigned", "foreign-key")
    assert spec(tokens=MINTED).token_names()[3:] == ("wrong-audience", "wrong-issuer", "expired")
    assert [ref.name for ref in spec(tokens=MINTED).secret_refs()] == [REF["name"]]
    assert spec().claim_names() == ("tenant-argument",)
    with pytest.raises(ValueError, match="gives no fetch"):
        hear(says({}), FOREIGN, tools={"whoami": SCENARIO["tools"]["whoami"]})


# --- refusals


def test_what_a_tool_denies_is_a_clean_answer_and_its_words_are_scanned() -> None:
    heard = talk(owned(), FOREIGN)
    assert (heard.reply.kind, heard.reply.items) == (AnswerKind.DENIED, ())
    assert "no note note-000001 of yours" in heard.text


REFUSALS: list[tuple[str, AnswerKind]] = [
    ("401 Unauthorized", AnswerKind.UNAUTHENTICATED),
    ("403 Forbidden", AnswerKind.DENIED),
    ("404 Not Found", AnswerKind.NOT_FOUND),
    ("400 Bad Request", AnswerKind.REJECTED),
    ("429 Too Many Requests", AnswerKind.THROTTLED),
    ("500 Oops", AnswerKind.SERVER_ERROR),
    ("307 Temporary Redirect", AnswerKind.REDIRECTED),
    ("202 Accepted", AnswerKind.MALFORMED),
]


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
@pytest.mark.parametrize("at", ["on_call", "on_hello"])
def test_every_status_has_its_kind_at_a_call_and_at_the_handshake(status: str, kind: AnswerKind, at: str) -> None:
    told = says(b'{"error": "' + MARKER.encode() + b'"}', "Location: /elsewhere", status=status)
    heard = hear(told, FOREIGN) if at == "on_call" else hear(says({}), FOREIGN, on_hello=told)
    assert (heard.reply.kind, heard.reply.items) == (kind, ())
    assert MARKER in heard.text
    assert heard.left == set()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-32602, AnswerKind.REJECTED),
        (-32601, AnswerKind.REJECTED),
        (-32603, AnswerKind.SERVER_ERROR),
        (-32700, AnswerKind.MALFORMED),
        (-32000, AnswerKind.MALFORMED),
    ],
)
def test_every_protocol_error_has_its_kind_and_its_words_are_scanned(code: int, kind: AnswerKind) -> None:
    async def error(asked: Any, write: Any) -> None:
        await says(encoded({"jsonrpc": "2.0", "id": asked.json["id"], "error": {"code": code, "message": MARKER}}))(
            asked, write
        )

    heard = hear(error, FOREIGN)
    assert heard.reply.kind is kind
    assert MARKER in heard.text


@pytest.mark.parametrize(
    "result",
    [
        {"content": []},
        {"content": [{"type": "text", "text": "no JSON"}]},
        {"structuredContent": {"no": "id"}},
        {"structuredContent": {"id": ["a"]}},
        {"structuredContent": 5},
        {"content": "a"},
        {"content": [5]},
    ],
)
def test_a_result_that_is_not_what_the_scenario_says_is_malformed(result: dict[str, Any]) -> None:
    assert hear(says(result), FOREIGN).reply.kind is AnswerKind.MALFORMED


def test_numbers_are_locations_as_they_are_spelt() -> None:
    [item] = hear(says({"structuredContent": {"id": 12345678901234567890}}), FOREIGN).reply.items or ()
    assert item.location == "12345678901234567890"


def test_json_in_text_is_scanned_unescaped_and_several_texts_are_a_list() -> None:
    texts = [{"type": "text", "text": f'{{"id": "{number}", "a": "\\u004bX7-quartz-heron-2291"}}'} for number in (1, 2)]
    tools = {**SCENARIO["tools"], "list": {"tool": "l", "items": "$[*]"}}
    heard = hear(says({"content": texts}), List(), tools=tools)
    assert [item.location for item in heard.reply.items or ()] == ["1", "2"]
    assert MARKER in heard.text


@pytest.mark.parametrize("version", ["2026-07-28", "1.0", 7, None])
def test_a_version_of_the_protocol_without_handshake_is_malformed(version: Any) -> None:
    heard = hear(says({}), FOREIGN, on_hello=says({**HELLO, "protocolVersion": version}))
    assert heard.reply.kind is AnswerKind.MALFORMED


def test_a_server_that_is_not_there_is_unreachable() -> None:
    heard = asyncio.run(perform(spec(), access(ALICE), WhoAmI()))
    assert (heard.reply.kind, heard.reply.identity, heard.left) == (AnswerKind.UNREACHABLE, False, set())


# --- ways to call


def test_a_claim_names_the_owner_in_the_arguments() -> None:
    claimed = Fetch("note-000001", claim="tenant-argument", as_if=BOB)
    assert talk(owned(), claimed).reply.kind is AnswerKind.DENIED
    heard = talk(owned(believes_arguments=True), claimed, List(claim="tenant-argument", as_if=BOB))
    assert [reply.kind for reply in heard.replies] == [AnswerKind.ITEMS] * 2


def test_a_correlation_is_the_id_of_the_call() -> None:
    notes = NoteServer()
    talk(notes, List(correlation="slot-foreign"), List())
    [first, second] = [message["id"] for _, _, message in notes.seen if message and message["method"] == "tools/call"]
    assert first == "slot-foreign"
    assert len(second) == 32


@pytest.mark.parametrize("trusts", [False, True])
def test_anothers_session_is_used_with_ones_own_credential(trusts: bool) -> None:
    notes = owned(trusts_sessions=trusts)

    async def run() -> list[AnswerKind]:
        async with serving(notes):
            there = spec(url=notes.url)
            async with there.session(access(BOB)) as bob, there.session(access(ALICE)) as alice:
                await bob.perform(WhoAmI(), str)
                await alice.perform(WhoAmI(), str)
                assert bob.session_id != alice.session_id
                stolen = Fetch("note-000001", session_of=BOB, session=bob.session_id)
                kinds = [(await alice.perform(stolen, str)).kind, (await alice.perform(FOREIGN, str)).kind]
                calls = [fields for method, fields, _ in notes.seen if method == "POST"][-2:]
                assert [each["mcp-session-id"] for each in calls] == [bob.session_id, alice.session_id]
                assert {each["authorization"] for each in calls} == {f"Bearer {bearer(ALICE)}"}
                return kinds

    first, second = asyncio.run(run())
    assert first is (AnswerKind.ITEMS if trusts else AnswerKind.DENIED)
    assert second is AnswerKind.DENIED


def test_a_session_that_nobody_has_is_not_found_and_one_without_a_name_is_no_evidence() -> None:
    heard = talk(NoteServer(), List(session_of=BOB, session="nobodys"), List(session_of=BOB, session=None))
    assert [reply.kind for reply in heard.replies] == [AnswerKind.NOT_FOUND, AnswerKind.MALFORMED]


def test_a_session_is_ended_at_the_server_too() -> None:
    notes = NoteServer()
    heard = talk(notes, WhoAmI())
    assert notes.seen[-1][0] == "DELETE"
    assert heard.left == set()


# --- forged tokens

NEEDED = [
    ("none", {"anonymous": BOB}),
    ("unsigned", {"ignores": ("verify_signature", "verify_aud", "verify_iss", "verify_exp")}),
    ("foreign-key", {"ignores": ("verify_signature", "verify_aud", "verify_iss", "verify_exp")}),
    ("wrong-audience", {"ignores": ("verify_aud",)}),
    ("wrong-issuer", {"ignores": ("verify_iss",)}),
    ("expired", {"ignores": ("verify_exp",)}),
]


@pytest.mark.parametrize(("name", "weakness"), NEEDED)
def test_a_forged_token_is_taken_for_the_owners_where_its_fault_is_overlooked(name: str, weakness: Any) -> None:
    forged = Fetch("note-000001", token=name, as_if=BOB)
    for knobs, kind in ((weakness, AnswerKind.ITEMS), ({}, AnswerKind.UNAUTHENTICATED)):
        notes = owned(**knobs)
        heard = talk(notes, WhoAmI(), forged, FOREIGN, tokens=MINTED)
        own, reply, after = heard.replies
        assert (own.identity, reply.kind, after.kind) == (True, kind, AnswerKind.DENIED)
        assert heard.left == set()
        presented = [fields.get("authorization") for _, fields, _ in notes.seen]
        assert (None in presented) == (name == "none")
        # what was opened for the token is ended, and our own session still is ours
        assert kind is AnswerKind.UNAUTHENTICATED or [method for method, *_ in notes.seen].count("DELETE") >= 2


def test_each_forged_token_is_wrong_in_one_way_and_short_lived() -> None:
    tokens = Tokens.model_validate({**MINTED, "keyId": "k1", "lifetimeSeconds": 90})
    right = {"sub": "bob", "tenant": "globex", "iss": TOKENS["issuer"], "aud": TOKENS["audience"], "iat": 10_000}
    wrong = {
        "unsigned": {},
        "foreign-key": {},
        "wrong-audience": {"aud": TOKENS["otherAudience"]},
        "wrong-issuer": {"iss": "https://other-issuer.invalid"},
        "expired": {"iat": 10_000 - 3600 - 90},
    }
    for name, changed in wrong.items():
        token = tokens.forged(name, BOB, key=KEY, now=10_000)
        claims = jwt.decode(token, options={"verify_signature": False})
        assert len(claims.pop("jti")) == 32
        assert claims.pop("exp") == claims["iat"] + 90
        assert claims == right | changed
        header = jwt.get_unverified_header(token)
        assert header == {"alg": "none" if name == "unsigned" else "HS256", "typ": "JWT", "kid": "k1"}
        signed = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
        if name in ("unsigned", "foreign-key"):
            with pytest.raises(jwt.PyJWTError):
                jwt.decode(token, KEY, algorithms=["HS256"], options=signed)  # type: ignore[arg-type]
        else:
            jwt.decode(token, KEY, algorithms=["HS256"], options=signed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("ES256", ec.generate_private_key(ec.SECP256R1())), ("RS256", rsa.generate_private_key(65537, 2048))],
)
def test_asymmetric_keys_sign_too(algorithm: str, key: Any) -> None:
    tokens = Tokens.model_validate({**MINTED, "algorithm": algorithm})
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    options: Any = {"verify_exp": False, "verify_iat": False}
    jwt.decode(
        tokens.forged("wrong-audience", BOB, key=pem, now=0),
        public,
        [algorithm],
        options,
        audience=TOKENS["otherAudience"],
    )
    foreign = tokens.forged("foreign-key", BOB, key=pem, now=0)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(foreign, public, [algorithm], options, audience=TOKENS["audience"])


@pytest.mark.parametrize(
    "changed", [{"claims": {"sub": "{user}-x", "tenant": "{tenant}"}}, {"issuer": "https://x.invalid"}]
)
def test_where_a_token_minted_right_is_not_taken_for_ours_a_refusal_shows_nothing(changed: dict[str, Any]) -> None:
    heard = talk(owned(), Fetch("note-000001", token="expired", as_if=BOB), tokens={**MINTED, **changed})
    assert heard.reply.kind is AnswerKind.MALFORMED


def test_a_key_that_cannot_sign_is_a_fault_of_the_surface_and_not_shown() -> None:
    there = spec(tokens={**MINTED, "algorithm": "RS256"})
    assert isinstance(there, McpSpec)

    async def opened() -> None:
        async with there.session(Access(ALICE, CREDENTIAL, secret=lambda _name, _key: MARKER.encode())):
            raise AssertionError

    with pytest.raises(SurfaceFault, match=r"Denied: tokens\.issuerKey") as caught:
        asyncio.run(opened())
    assert MARKER not in repr(caught.value)
    assert caught.value.__cause__ is None


# --- the scenario

BAD: list[tuple[dict[str, Any], str]] = [
    ({"url": "https://me:secret@tools.example/mcp"}, "scheme, host, port and path"),
    ({"url": "https://tools.example/mcp?api_key=1"}, "scheme, host, port and path"),
    ({"url": "ftp://tools.example/mcp"}, "scheme, host, port and path"),
    ({"headers": {"Authorization": "Bearer abc"}}, "looks like a credential"),
    ({"tools": {"fetch": {"tool": "f", "arguments": {"token": "abc"}}}}, "looks like a credential"),
    ({"tools": {"fetch": {"tool": "f", "arguments": {"a": ["{credential}"]}}}}, "arguments mentions {credential}"),
    ({"tools": {"list": {"tool": "f", "arguments": {"a": "{location}"}}}}, "arguments mentions {location}"),
    ({"tools": {"whoami": {"tool": "f", "expect": {"$.t": "{tenant}"}}}}, "expect proves no user"),
    ({"tools": {"write": {"tool": "f", "arguments": {"t": "{text}"}}}}, "location is missing"),
    ({"tools": {"fetch": {"tool": "f", "items": "$..x"}}}, "no filters"),
    ({"claims": [{"name": "a", "arguments": {"t": "{tenant}"}}]}, "claims nothing"),
    ({"claims": SCENARIO["claims"] * 2}, "two have one name"),
    ({"tokens": TOKENS, "headers": {}}, "no header takes a {credential}"),
    ({"tokens": {**TOKENS, "claims": {"sub": "{user}"}}}, "claims name no tenant"),
    ({"tokens": {**TOKENS, "claims": {**TOKENS["claims"], "aud": "x"}}}, "claims.aud is not yours"),
    ({"tokens": {**TOKENS, "otherAudience": TOKENS["audience"]}}, "otherAudience is the right one"),
    ({"tokens": {**TOKENS, "issuerKey": "c2VjcmV0"}}, "issuerKey"),
]


@pytest.mark.parametrize(("fields", "problem"), BAD)
def test_a_scenario_that_cannot_be_meant_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**fields)
    assert problem in str(caught.value)


def test_who_only_looks_at_a_scenario_does_not_wait_for_the_sdk_to_be_imported() -> None:
    look = "import sys, sectum.catalog as c; print('mcp' in c.adapters(), {'mcp', 'mcp_types'} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", "set()"]
