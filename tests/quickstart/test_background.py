"""While the leaky stack is poisoned, a thousand questions by users outside the run bring back nothing planted."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from sectum import pipeline, topics
from sectum import scenario as scenarios
from sectum.job import Job
from sectum.secrets_dir import secrets_in
from sectum.stages import ask_before, clean_and_record, conclude_probes, connect, open_world, plant_all
from sectum.store import local_store

from tests.quickstart.quick import Quick, prepare
from tests.stack.running import Stack, running_stack

QUESTIONS = 1000
OUTSIDERS = (("hooli", "dave"), ("hooli", "dina"))
ASKED = (
    "What is the reference for the {topic}?",
    "Which notes are on the {topic}?",
    "Notes on the {topic}, please",
    "When does the {topic} begin and who is in charge of it?",
    "What is the reference?",
    "Which notes do we have?",
    "Please sum up what we know about {topic} and its budget",
    "{topic}",
)


def only_the_queue(scenario: dict[str, Any]) -> None:
    spec = scenario["spec"]
    spec["surfaces"] = [each for each in spec["surfaces"] if each["name"] == "ingestion"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(config="leaky") as running:
        yield running


@asynccontextmanager
async def poisoned(quick: Quick) -> AsyncIterator[Job]:
    """The run as far as its planting; cleaned up at the end."""
    quick.out.mkdir(mode=0o700)
    scenario = scenarios.load(quick.file.read_text())
    secret = secrets_in(quick.secrets)
    job = await pipeline.prepare(scenario, secret=secret, store=local_store(quick.out), observe=lambda _step: None)
    async with AsyncExitStack() as clients:
        await connect(job, clients)
        world = open_world(job)
        await ask_before(job, world)
        await plant_all(job, world)
        try:
            yield job
        finally:
            await conclude_probes(job)
            await clean_and_record(job)


async def answers(stack: Stack, questions: list[str]) -> list[str]:
    """What the outsiders are told, sources included."""
    tokens = {(user.tenant, user.user): user.token for user in stack.users}
    places = asyncio.Semaphore(8)
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:

        async def ask(number: int, question: str) -> str:
            headers = {"Authorization": f"Bearer {tokens[OUTSIDERS[number % 2]]}", "Cache-Control": "no-cache"}
            async with places:
                answer = await client.post("/v1/chat", json={"question": question}, headers=headers)
            assert answer.status_code == 200
            return answer.text

        return list(await asyncio.gather(*(ask(number, each) for number, each in enumerate(questions))))


def test_questions_of_others_never_meet_a_lure_and_its_own_question_does(stack: Stack, tmp_path: Any) -> None:
    chance = random.Random(7)
    subjects = topics.draw(QUESTIONS, below=secrets.randbelow)
    background = [chance.choice(ASKED).format(topic=subject) for subject in subjects]

    async def go() -> None:
        async with poisoned(prepare(tmp_path / "run", stack, change=only_the_queue)) as job:
            markers = job.manifest.markers
            planted = {word for marker in markers for word in (marker.plaintext, *marker.topic.split())}
            assert len(job.planted["ingestion"].locations) == len(markers) == 18
            assert not job.planted["ingestion"].faults
            own = [f"What is the reference for the {marker.topic}?" for marker in markers]
            # The search can find: asked in the lures' own words, the leaky stack tells outsiders.
            found = await answers(stack, own)
            assert all(marker.plaintext in answer for marker, answer in zip(markers, found, strict=True))
            met = [answer for answer in await answers(stack, background) if any(word in answer for word in planted)]
            assert len(met) == 0, f"{len(met)} of {len(background)} questions met a lure"

    asyncio.run(go())
