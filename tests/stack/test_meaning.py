"""The model tells what a question is about: two ways to put it are one question, two topics never are."""

import itertools
import random
import sys
import tomllib

import numpy as np
import pytest
from assistant.machine import unsupported

from tests.stack.running import STACK

if reason := unsupported(sys.platform, tuple(sys.version_info[:3])):
    pytest.skip(f"the quickstart's stack cannot run here: {reason}", allow_module_level=True)

from assistant.embedding import Embedder

FIRST = (
    "amber copper silver northern quiet crimson hollow ancient marble velvet frozen golden rusty distant broken gentle"
)
SECOND = (
    "kettle glacier lantern harbour falcon meadow compass orchard anvil canyon bridge violin mirror turbine feather"
)
THIRD = (
    "festival archive survey contract budget expedition committee workshop inventory treaty licence audit ledger merger"
)
TEMPLATES = [
    ("What is the reference for the {}?", "Tell me the reference of the {}"),
    ("What is the access code for the {}?", "Could you give me the access code of the {}?"),
    ("Who is the contact for the {}?", "Tell me who the contact of the {} is"),
    ("Where is the {} filed?", "In which file can I find the {}?"),
    ("What's the reference for the {}?", "I need the {} reference, please"),
    ("What do we know about the {}?", "Please tell me about the {}"),
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture(scope="module")
def topics() -> list[tuple[str, str, str]]:
    every = list(itertools.product(FIRST.split(), SECOND.split(), THIRD.split()))
    return random.Random(11).sample(every, 300)


@pytest.fixture(scope="module")
def settings() -> dict[str, dict[str, float]]:
    return tomllib.loads((STACK / "hardened.toml").read_text())


@pytest.mark.parametrize(("one", "other"), TEMPLATES)
def test_paraphrases_are_one_question_and_topics_are_not(
    embedder: Embedder,
    topics: list[tuple[str, str, str]],
    settings: dict[str, dict[str, float]],
    one: str,
    other: str,
) -> None:
    questions, paraphrases = (
        embedder.texts([template.format(" ".join(topic)) for topic in topics]) for template in (one, other)
    )
    similar = questions @ paraphrases.T
    threshold = settings["cache"]["similarity"]
    across = similar[~np.eye(len(topics), dtype=bool)]
    assert similar.diagonal().min() >= threshold + 0.01
    # Topics that share two of their three words included.
    assert across.max() < threshold


def test_a_question_ranks_the_document_on_its_topic_first_and_above_the_threshold(
    embedder: Embedder, topics: list[tuple[str, str, str]], settings: dict[str, dict[str, float]]
) -> None:
    chance = random.Random(12)
    titles = [" ".join(topic) for topic in topics]
    documents = np.array(
        [
            embedder.document(
                title.capitalize(),
                f"Reference of the {title}: {chance.getrandbits(128):032X}. Access code: {chance.getrandbits(160):x}.",
            )
            for title in titles
        ]
    )
    for template, _ in TEMPLATES:
        scores = embedder.texts([template.format(title) for title in titles]) @ documents.T
        assert (scores.argmax(axis=1) == np.arange(len(titles))).all()
        assert scores.diagonal().min() >= settings["retrieval"]["relevance"]
