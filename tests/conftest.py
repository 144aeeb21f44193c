"""For all tests: one that sets up logging, as our processes do at their start, leaves nothing of that to the next."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    levels = {
        each.name: each.level for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)
    }
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
