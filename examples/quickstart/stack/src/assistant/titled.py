"""Turn a title and a text into the one string that a library keeps and embeds, and such strings into vectors."""

import numpy as np

from assistant.embedding import Embedder, Vector

BREAK = "\n\n"


def join(title: str, text: str) -> str:
    return f"{title}{BREAK}{text}"


def text_of(joined: str, title: str) -> str:
    return joined[len(title) + len(BREAK) :]


def vectors(embedder: Embedder, texts: list[str]) -> list[Vector]:
    """Return one unit vector for each: a title counts as much as its text, as in a document; a question has none."""
    halves = [text.partition(BREAK)[::2] for text in texts]
    titles = embedder.texts([title for title, _ in halves])
    bodies = embedder.texts([body or title for title, body in halves])
    both = titles + bodies
    lengths = np.linalg.norm(both, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return list(both / lengths)
