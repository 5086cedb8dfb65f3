"""The application without an engine: whatever it is asked, a stub answers as it is told to."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from charlstm.trace import Prediction
from service.app import create_app
from service.protocol import Reloaded, Statistics
from service.results import Judged
from service.settings import Settings
from tests.service_fixtures import Client


class StubInference:
    """Answers every text alike, or with an error."""

    ready = True
    draining = False
    supervisor = None
    error: Exception | None = None
    reloaded = Reloaded(0, ["new"], None)

    def __init__(self) -> None:
        self.model: Any = SimpleNamespace(name="tiny", version="old", device="cpu", precision="float32")
        self.statistics: Statistics | None = Statistics(3, 40, 2, 10, 60, 80, 100, 600, 800)

    @property
    def models(self) -> list[Any]:
        return [self.model]

    def check_count(self, texts: int) -> None:
        """Take any number."""

    async def judge(self, texts: dict[str, str], name: str | None = None, *, truncate: bool) -> Judged:
        assert name is None
        if self.error is not None:
            raise self.error
        predictions = [Prediction(0.9, len(text), 0, truncate) for text in texts.values()]
        return Judged(self.model, predictions, 0.001, 0.02)

    async def reload(self) -> Reloaded:
        return self.reloaded


@contextmanager
def stubbed(**settings: Any) -> Iterator[tuple[Client, StubInference]]:
    """Serve the application over a stub."""
    app = create_app(Settings(**settings))
    inference = StubInference()
    app.state.inference, app.state.settings = inference, Settings(**settings)
    with asyncio.Runner() as runner:
        yield Client(app, runner), inference


def figures(client: Client) -> dict[str, float]:
    """Read `/metrics`: each sample's value under its name and labels, as they are written."""
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
