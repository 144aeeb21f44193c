"""Give an answer again to a question that means the same: GPTCache on SQLite and Faiss, one instance for each space."""

import json
import shutil
import threading
import uuid
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import sqlalchemy
from gptcache import Cache, Config
from gptcache.adapter import api
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.post import first
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import SearchDistanceEvaluation

from assistant.config import CacheSettings
from assistant.embedding import DIMENSIONS, Embedder, Vector

LARGEST_DISTANCE = 4.0  # squared Euclidean distance of two opposite unit vectors


@dataclass(frozen=True)
class Source:
    id: str
    title: str


@dataclass(frozen=True)
class Answer:
    text: str
    sources: tuple[Source, ...]

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Answer":
        fields = json.loads(text)
        return cls(fields["text"], tuple(Source(**source) for source in fields["sources"]))


class SemanticCache:
    """All spaces below one directory, opened when first used. GPTCache is not thread-safe, so each has a lock."""

    def __init__(self, directory: Path, *, embedder: Embedder, settings: CacheSettings) -> None:
        # Answers are kept for one run of the service only.
        shutil.rmtree(directory, ignore_errors=True)
        self._directory = directory
        self._embedder = embedder
        self._settings = settings
        self._opening = threading.Lock()
        self._spaces: dict[PurePath, _Space] = {}

    def get(self, space: PurePath, question: str) -> Answer | None:
        return self._open(space).get(question)

    def put(self, space: PurePath, question: str, answer: Answer) -> None:
        self._open(space).put(question, answer)

    def forget(self, document_id: uuid.UUID) -> None:
        """Drop every answer that quotes a document."""
        with self._opening:
            spaces = list(self._spaces.values())
        for space in spaces:
            space.forget(str(document_id))

    def _open(self, space: PurePath) -> "_Space":
        with self._opening:
            if space not in self._spaces:
                self._spaces[space] = _Space(self._directory / space, self._embedder, self._settings)
            return self._spaces[space]


class _Space:
    def __init__(self, directory: Path, embedder: Embedder, settings: CacheSettings) -> None:
        directory.mkdir(parents=True, mode=0o700)
        self._lock = threading.Lock()
        self._quoted: set[str] = set()
        with warnings.catch_warnings():
            # GPTCache declares its tables in SQLAlchemy's older way; nobody who starts the service can mend that.
            warnings.simplefilter("ignore", sqlalchemy.exc.MovedIn20Warning)
            self._entries = CacheBase("sqlite", sql_url=f"sqlite:///{directory / 'answers.db'}")
        engine = self._entries.Session.kw["bind"]
        sqlalchemy.event.listen(engine, "connect", _without_waiting_for_the_disk)
        engine.dispose()  # the connection that made the tables was opened before
        self._vectors = VectorBase("faiss", dimension=DIMENSIONS, index_path=str(directory / "questions.faiss"))
        self._cache = Cache()
        self._cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=_embedding_function(embedder),
            data_manager=get_data_manager(self._entries, self._vectors, max_size=settings.entries),
            similarity_evaluation=SearchDistanceEvaluation(max_distance=LARGEST_DISTANCE),
            post_process_messages_func=first,
            config=Config(similarity_threshold=_threshold(settings.similarity), disable_report=True),
        )

    def get(self, question: str) -> Answer | None:
        with self._lock:
            found = api.get(question, cache_obj=self._cache)
        return None if found is None else Answer.decode(found)

    def put(self, question: str, answer: Answer) -> None:
        with self._lock:
            api.put(question, answer.encode(), cache_obj=self._cache)
            self._quoted.update(source.id for source in answer.sources)

    def forget(self, document_id: str) -> None:
        with self._lock:
            if document_id not in self._quoted:
                return
            self._quoted.discard(document_id)
            quoting = sqlalchemy.text("SELECT question_id FROM gptcache_answer WHERE answer LIKE '%' || :id || '%'")
            with self._entries.Session() as session:
                keys = list(session.execute(quoting, {"id": document_id}).scalars())
            if not keys:
                return
            self._entries.mark_deleted(keys)
            self._entries.clear_deleted_data()
            self._vectors.delete(keys)


def _without_waiting_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")


def _embedding_function(embedder: Embedder) -> Any:
    def embed(question: str, **_: object) -> Vector:
        return embedder.question(question)

    return embed


def _threshold(similarity: float) -> float:
    """Express a cosine similarity as GPTCache's share of the largest distance: d² = 2 - 2 cos for unit vectors."""
    return (1 + similarity) / 2
