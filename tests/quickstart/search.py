"""Everything that a run wrote -> where a secret of it stands, in whatever form and however deeply packed."""

import base64
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ahocorasick
import pypdf

SHORT = 8
"""A location with fewer characters is looked for as a whole JSON value and inside its filled-in path only."""
DEEPEST = 6
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(rb"[0-9a-f]+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Secret:
    """What must not be there: what kind of thing, its name, and its bytes."""

    kind: str
    name: str
    value: bytes

    @property
    def short(self) -> bool:
        return self.kind == "location" and len(self.value) < SHORT


@dataclass(frozen=True)
class Found:
    """A secret that stands somewhere; `place` is a path, with `!` between a container and its member."""

    place: str
    kind: str
    name: str
    form: str


class Search:
    """Looks for all secrets at once."""

    def __init__(self, secrets: Iterable[Secret], *, paths: Iterable[str] = ("/v1/documents/{location}",)) -> None:
        self._short = {secret.value.decode(): secret for secret in secrets if secret.short}
        self._paths = {path.replace("{location}", text): each for path in paths for text, each in self._short.items()}
        self._folded, self._exact = ahocorasick.Automaton(), ahocorasick.Automaton()
        for secret in secrets:
            if secret.short:
                continue
            for form, text in _forms(secret.value):
                words, word = (self._exact, text) if form.startswith("base64") else (self._folded, text.lower())
                if not words.exists(word):
                    words.add_word(word, (secret, form))
        self._folded.make_automaton()
        self._exact.make_automaton()

    def folder(self, folder: Path) -> list[Found]:
        """Every file below it; their names, too."""
        found = []
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            found += self.data(f"{name} (its name)", name.encode())
            if path.is_file():
                found += self.data(name, path.read_bytes())
        return found

    def data(self, place: str, data: bytes, depth: int = 0) -> list[Found]:
        """One file, and what is inside of it."""
        found = self._text(place, data.decode("latin-1"))
        if depth == DEEPEST:
            return found
        for inner, content in _inside(data):
            found += self.data(f"{place}!{inner}", content, depth + 1)
        return list(dict.fromkeys(found))

    def _text(self, place: str, text: str) -> list[Found]:
        folded = text.lower()
        found = []
        # Lines may have been broken anywhere, by a table or by a PDF.
        for words, whole in ((self._folded, folded), (self._exact, text)):
            for view in (whole, _SPACE.sub("", whole)) if len(words) else ():
                found += [Found(place, each.kind, each.name, form) for _, (each, form) in words.iter(view)]
        return list(dict.fromkeys([*found, *self._shorts(place, text)]))

    def _shorts(self, place: str, text: str) -> Iterator[Found]:
        for path, secret in self._paths.items():
            if re.search(re.escape(path) + r"(?![\w-])", text):
                yield Found(place, secret.kind, secret.name, "path")
        if not self._short:
            return
        for document in _documents(text):
            for value in _values(document):
                if str(value) in self._short:
                    secret = self._short[str(value)]
                    yield Found(place, secret.kind, secret.name, "JSON value")


def _forms(value: bytes) -> Iterator[tuple[str, str]]:
    """The forms in which it may stand there, as text of one byte a character."""
    yield "plain", value.decode("latin-1")
    if squeezed := _SPACE.sub("", value.decode("latin-1")):
        yield "plain, without its blanks", squeezed
    yield "hex", value.hex()
    yield "URL, where needed", quote(value, safe="")
    yield "URL, form", quote(value, safe=" ").replace(" ", "+")
    yield "URL, throughout", "".join(f"%{byte:02x}" for byte in value)
    for offset in range(3):
        # Those characters that depend on nothing but the value, whatever stands before and after it.
        start = -(-offset * 8 // 6)
        end = (offset + len(value)) * 8 // 6
        text = base64.b64encode(b"\0" * offset + value).decode()[start:end]
        yield f"base64, offset {offset}", text
        yield f"base64 for URLs, offset {offset}", text.replace("+", "-").replace("/", "_")


def _inside(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Members of a zip, text and streams of a PDF, and what runs of base64 (payloads of envelopes) stand for."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield "comment", archive.comment
            for member in archive.infolist():
                yield f"{member.filename} (its name)", member.filename.encode() + b"\n" + member.comment + member.extra
                yield member.filename, archive.read(member)
    elif data.startswith(b"%PDF"):
        reader = pypdf.PdfReader(io.BytesIO(data))
        yield "metadata", json.dumps({str(key): str(value) for key, value in (reader.metadata or {}).items()}).encode()
        for number, page in enumerate(reader.pages):
            yield f"page {number + 1}", page.extract_text().encode()
            content = page.get_contents()
            if content is not None:
                yield f"stream of page {number + 1}", content.get_data()
    else:
        for number, match in enumerate(_BASE64.finditer(data)):
            text = match.group().rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
            if len(text) % 4 != 1 and not _HEX.fullmatch(text):
                yield f"base64 {number}", base64.b64decode(text + b"=" * (-len(text) % 4))


def _documents(text: str) -> Iterator[Any]:
    """The JSON documents in it: the whole, or one a line."""
    for part in [text, *(text.splitlines() if "\n" in text else [])]:
        try:
            yield json.loads(part)
        except ValueError:
            continue


def _values(document: Any) -> Iterator[str | int | float]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from _values(value)
    elif isinstance(document, list):
        for value in document:
            yield from _values(value)
    elif isinstance(document, (str, int, float)) and not isinstance(document, bool):
        yield document
