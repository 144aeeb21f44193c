"""Turn a question into an answer that quotes the documents found for it, or says that there are none."""

import re
import uuid
from dataclasses import dataclass
from pathlib import PurePath

from assistant.access import Scope
from assistant.cache import Answer, SemanticCache, Source
from assistant.config import Retrieval
from assistant.documents import Documents, Match
from assistant.embedding import Embedder, Vector

PASSAGE_CHARACTERS = 600
NOTHING_FOUND = "I found nothing about that in your documents."
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n{2,}")


@dataclass(frozen=True)
class Reply:
    answer: Answer
    cached: bool


class Assistant:
    """Answers from the cache where it may, and else from the documents."""

    def __init__(self, *, documents: Documents, embedder: Embedder, cache: SemanticCache, retrieval: Retrieval) -> None:
        self._documents = documents
        self._embedder = embedder
        self._cache = cache
        self._retrieval = retrieval

    def ask(self, question: str, *, scope: Scope, space: PurePath | None) -> Reply:
        """Answer within `scope`; `space` is the cache to use, None for none."""
        if space is not None:
            known = self._cache.get(space, question)
            if known is not None:
                return Reply(known, cached=True)
        answer = self._from_documents(question, scope)
        # A document may be added a moment later: that there was none is not worth keeping.
        if space is not None and answer.sources:
            self._cache.put(space, question, answer)
        return Reply(answer, cached=False)

    def forget(self, document_id: uuid.UUID) -> None:
        self._cache.forget(document_id)

    def _from_documents(self, question: str, scope: Scope) -> Answer:
        embedding = self._embedder.question(question)
        nearest = self._documents.nearest(scope, embedding, limit=self._retrieval.passages, shared=True)
        relevant = [match for match in nearest if match.score >= self._retrieval.relevance]
        if not relevant:
            return Answer(NOTHING_FOUND, ())
        quotes = [f"{match.title}: {self._best_passage(match, embedding)}" for match in relevant]
        return Answer("\n\n".join(quotes), tuple(Source(str(match.id), match.title) for match in relevant))

    def _best_passage(self, match: Match, embedding: Vector) -> str:
        passages = split_passages(match.body)
        if len(passages) == 1:
            return passages[0]
        scores = self._embedder.texts(passages) @ embedding
        return passages[int(scores.argmax())]


def split_passages(text: str) -> list[str]:
    """Cut a text at sentence ends into passages; a sentence longer than a passage stays whole."""
    passages = [""]
    for sentence in filter(None, SENTENCE_END.split(text.strip())):
        if passages[-1] and len(passages[-1]) + len(sentence) >= PASSAGE_CHARACTERS:
            passages.append("")
        passages[-1] = f"{passages[-1]} {sentence}".strip()
    return passages
