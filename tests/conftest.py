"""What every test shares: settled hypothesis, one torch thread, small models saved once a session, a browser."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from playwright.sync_api import Browser

from charlstm.predictor import Predictor
from tests.chromium import chromium
from tests.tiny import tiny_artifacts

# No deadline: a loaded machine is no fault of the code. In CI the same examples are drawn every time.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

torch.set_num_threads(1)  # tiny models: more threads only make timing and last digits less steady

# A shell that starts the tests in its background has them ignore Ctrl-C, and processes that they start ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a small character model of one layer; tests must not write into it."""
    return tiny_artifacts(tmp_path_factory.mktemp("tiny") / "artifacts")


@pytest.fixture(scope="session")
def tiny_predictor(tiny_directory: Path) -> Predictor:
    """Serve that model in this process, on the CPU."""
    return Predictor.load(tiny_directory, device="cpu")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser for the tests of a module."""
    with chromium() as browser:
        yield browser
