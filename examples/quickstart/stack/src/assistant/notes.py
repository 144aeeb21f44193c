"""Keep users' notes in mem0, on the stack's own PostgreSQL and with its own embedding model; nothing is inferred."""

from dataclasses import dataclass
from typing import Any, NoReturn

from mem0 import Memory
from mem0.embeddings.base import EmbeddingBase
from mem0.llms.base import LLMBase
from mem0.utils.factory import EmbedderFactory, LlmFactory
from psycopg_pool import ConnectionPool

from assistant import spaces, titled
from assistant.access import Identity
from assistant.config import Security
from assistant.embedding import DIMENSIONS, Embedder

TABLE = "notes"


class StackEmbedding(EmbeddingBase):
    """The stack's own model, in the shape that mem0 asks for; `config.model` is the embedder."""

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        vector: list[float] = titled.vectors(self.config.model, [text])[0].tolist()
        return vector


class NoModel(LLMBase):
    """mem0 wants a language model even where it is to infer nothing."""

    def generate_response(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("notes are kept as they are")


# Of the providers that mem0's settings name, this is the one that takes an object; mem0's own needs all of LangChain.
PROVIDER = "langchain"
EmbedderFactory.provider_to_class[PROVIDER] = f"{__name__}.{StackEmbedding.__name__}"
LlmFactory.register_provider(PROVIDER, f"{__name__}.{NoModel.__name__}")


@dataclass(frozen=True)
class Note:
    id: str
    title: str
    text: str


class Notes:
    """The notes of all users; one agent keeps them, and each belongs to a user."""

    def __init__(self, pool: ConnectionPool, *, embedder: Embedder, security: Security) -> None:
        self._security = security
        store = {"connection_pool": pool, "collection_name": TABLE, "embedding_model_dims": DIMENSIONS}
        self._memory = Memory.from_config(
            {
                "vector_store": {"provider": "pgvector", "config": store},
                "embedder": {"provider": PROVIDER, "config": {"model": embedder}},
                "llm": {"provider": PROVIDER, "config": {}},
                "history_db_path": ":memory:",
            }
        )

    def add(self, identity: Identity, *, title: str, text: str) -> str:
        added = self._memory.add(
            titled.join(title, text),
            user_id=spaces.note_owner(identity),
            agent_id=spaces.AGENT,
            metadata={"title": title},
            infer=False,
        )
        key: str = added["results"][0]["id"]
        return key

    def get(self, identity: Identity, key: str) -> Note | None:
        found = self._memory.get(key)
        if found is None or (self._security.note_owner_check and not _owned(found, identity)):
            return None
        return _note(found)

    def newest(self, identity: Identity, *, limit: int) -> list[Note]:
        found = self._memory.get_all(filters=spaces.own_notes(identity), top_k=10_000)["results"]
        newest = sorted(found, key=lambda item: str(item["created_at"]), reverse=True)
        return [_note(item) for item in newest[:limit]]

    def search(self, identity: Identity, query: str, *, limit: int) -> list[Note]:
        filters = spaces.searched_notes(identity, self._security)
        found = self._memory.search(query, filters=filters, top_k=limit, threshold=0.0)["results"]
        return [_note(item) for item in found]

    def delete(self, identity: Identity, key: str) -> bool:
        """Delete a note of one's own; False where there is none."""
        found = self._memory.get(key)
        if found is None or not _owned(found, identity):
            return False
        self._memory.delete(key)
        return True


def _owned(found: dict[str, Any], identity: Identity) -> bool:
    return bool(found["user_id"] == spaces.note_owner(identity))


def _note(found: dict[str, Any]) -> Note:
    title = found["metadata"]["title"]
    return Note(found["id"], title, titled.text_of(found["memory"], title))
