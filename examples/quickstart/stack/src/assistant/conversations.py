"""Keep conversations in LangGraph's checkpoints: a graph that takes a message and answers from the user's memories."""

import sqlite3
import threading
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore

from assistant import spaces
from assistant.access import Identity
from assistant.config import Security
from assistant.memories import Memories

REMEMBERED = 200  # messages of one conversation; the oldest go first


def _appended(known: list[str], new: list[str]) -> list[str]:
    return (known + new)[-REMEMBERED:]


class State(TypedDict):
    """What a checkpoint holds."""

    messages: Annotated[list[str], _appended]


@dataclass(frozen=True)
class Context:
    """On whose behalf the graph runs; in no checkpoint."""

    identity: Identity


@dataclass(frozen=True)
class Conversation:
    id: str
    messages: list[str]


class Conversations:
    """Threads of messages, each under the key that the settings give it; safe to use from several threads."""

    def __init__(self, *, memories: Memories, security: Security, relevance: float) -> None:
        self._memories = memories
        self._security = security
        self._relevance = relevance
        self._saver = SqliteSaver(sqlite3.connect(":memory:", check_same_thread=False))
        self._started = InMemoryStore()  # whose threads are whose
        self._graph = self._compiled()
        # Two messages in one thread at once would each be appended to what the other has not seen.
        self._lock = threading.Lock()

    def say(self, identity: Identity, thread_id: str, text: str) -> str:
        """Append a message and return the reply, which is appended too."""
        config = self._config(identity, thread_id)
        with self._lock:
            if self._messages(config) is None:
                self._started.put(spaces.own_threads(identity), thread_id, {})
            state = self._graph.invoke({"messages": [text]}, config, context=Context(identity), durability="exit")
        reply: str = state["messages"][-1]
        return reply

    def get(self, identity: Identity, thread_id: str) -> Conversation | None:
        with self._lock:
            messages = self._messages(self._config(identity, thread_id))
        return None if messages is None else Conversation(thread_id, messages)

    def own(self, identity: Identity, *, limit: int) -> list[Conversation]:
        """Return the threads that the user started, the newest first."""
        with self._lock:
            started = self._started.search(spaces.own_threads(identity), limit=1_000_000)
            newest = sorted(started, key=lambda item: item.created_at, reverse=True)[:limit]
            threads = [(item.key, self._messages(self._config(identity, item.key))) for item in newest]
        return [Conversation(thread_id, messages) for thread_id, messages in threads if messages is not None]

    def delete(self, identity: Identity, thread_id: str) -> bool:
        """Delete a thread that the user started; False where there is none."""
        own = spaces.own_threads(identity)
        with self._lock:
            if self._started.get(own, thread_id) is None:
                return False
            self._started.delete(own, thread_id)
            self._saver.delete_thread(spaces.thread_key(identity, self._security, thread_id))
        return True

    def _config(self, identity: Identity, thread_id: str) -> RunnableConfig:
        return {"configurable": {"thread_id": spaces.thread_key(identity, self._security, thread_id)}}

    def _messages(self, config: RunnableConfig) -> list[str] | None:
        checkpoint = self._saver.get(config)
        return None if checkpoint is None else list(checkpoint["channel_values"].get("messages", []))

    def _compiled(self) -> Any:
        graph = StateGraph(State, context_schema=Context)
        graph.add_node("answer", self._answer)
        graph.add_edge(START, "answer")
        graph.add_edge("answer", END)
        return graph.compile(checkpointer=self._saver)

    def _answer(self, state: State, runtime: Runtime[Context]) -> dict[str, list[str]]:
        """Quote the user's own note on the matter, or the message itself where there is none."""
        text = state["messages"][-1]
        note = self._memories.nearest_note(runtime.context.identity, text, relevance=self._relevance)
        reply = f"I remember nothing about “{text}”." if note is None else f"{note.title}: {note.text}"
        return {"messages": [reply]}
