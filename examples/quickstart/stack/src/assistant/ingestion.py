"""File documents in the background: queues of uploads, each with a worker that embeds and stores what it takes."""

import contextlib
import logging
import queue
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from assistant.access import Identity
from assistant.config import Security
from assistant.documents import Documents
from assistant.embedding import Embedder

EVERYBODY = ""  # the name of the queue that all tenants share; no tenant is called so

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """An upload; without a tenant it is knowledge for everybody, which its uploader may still delete."""

    id: uuid.UUID
    tenant: str | None
    uploader: Identity
    title: str
    text: str


class Ingestion:
    """Takes uploads and answers at once; a worker for each queue files them, one after another."""

    def __init__(self, *, documents: Documents, embedder: Embedder, security: Security) -> None:
        self._documents = documents
        self._embedder = embedder
        self._per_tenant = security.ingest_queue_per_tenant
        self._queues: dict[str, queue.Queue[Job | None]] = {}
        self._workers: list[threading.Thread] = []
        self._waiting: dict[uuid.UUID, Identity] = {}
        # Held while a document is filed, so that what is deleted before cannot turn up after.
        self._lock = threading.Lock()

    def submit(self, identity: Identity, *, title: str, text: str) -> uuid.UUID:
        """Return the id that the document will have."""
        job = Job(uuid.uuid4(), identity.tenant if self._per_tenant else None, identity, title, text)
        with self._lock:
            self._waiting[job.id] = identity
            self._queue(job.tenant or EVERYBODY).put(job)
        return job.id

    def cancel(self, identity: Identity, document_id: uuid.UUID) -> bool:
        """Drop an upload of one's own that is not filed yet; False where there is none."""
        with self._lock:
            if self._waiting.get(document_id) != identity:
                return False
            del self._waiting[document_id]
        return True

    def finish(self) -> None:
        """Wait until all is filed and the workers have ended."""
        for each in self._queues.values():
            each.put(None)
        for worker in self._workers:
            worker.join()

    def _queue(self, name: str) -> "queue.Queue[Job | None]":
        if name not in self._queues:
            self._queues[name] = queue.Queue()
            worker = threading.Thread(target=self._work, args=(self._queues[name],), name=f"ingest {name}", daemon=True)
            self._workers.append(worker)
            worker.start()
        return self._queues[name]

    def _work(self, jobs: "queue.Queue[Job | None]") -> None:
        while (job := jobs.get()) is not None:
            try:
                self._file(job)
            except psycopg.Error:
                log.exception("document %s could not be filed", job.id)

    def _file(self, job: Job) -> None:
        embedding = self._embedder.document(job.title, job.text)
        with self._lock:
            if self._waiting.pop(job.id, None) is None:
                return
            self._documents.file(
                job.uploader,
                job.id,
                shared=job.tenant is None,
                title=job.title,
                body=job.text,
                embedding=embedding,
            )


@contextlib.contextmanager
def running_ingestion(*, documents: Documents, embedder: Embedder, security: Security) -> Iterator[Ingestion]:
    """Workers start with the first upload of their queue and end, when they have filed all, with the block."""
    ingestion = Ingestion(documents=documents, embedder=embedder, security=security)
    try:
        yield ingestion
    finally:
        ingestion.finish()
