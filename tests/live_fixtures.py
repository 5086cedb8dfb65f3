"""What the tests of live sessions share: a reader without an engine, a client's memory, a WebSocket without a port."""

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fastapi import FastAPI
from starlette.types import Message

from charlstm.artifacts import load_artifacts
from charlstm.readout import FloatArray
from service.connection import ServedModel, served_model
from service.loaded_model import LoadedModel, describe
from service.protocol import Traced
from tests.service_fixtures import PATIENCE

PROTOCOL = "charlstm.v1"
STEPS = ("tokens", "token_ids", "offsets", "probability_so_far")


def as_subprotocol(key: str) -> str:
    """Write a key as a browser has to show it."""
    return "bearer." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class DirectReader:
    """Reads with the network itself, in this thread.

    Attributes:
        model: As the engine would describe it.
        asked: How many tokens were read, each time.
        errors: What to raise instead, one each time.
    """

    model: ServedModel

    def __init__(self, artifacts: Path) -> None:
        self.asked: list[int] = []
        self.errors: list[Exception] = []
        self.load(artifacts)

    def load(self, artifacts: Path) -> None:
        sound = load_artifacts(artifacts)
        self._loaded = LoadedModel(sound, torch.device("cpu"), "float32")
        self.model = served_model(describe(sound, "cpu", "float32"))

    def find(self, name: str | None) -> ServedModel:
        assert name is None
        return self.model

    async def read_on(self, model: ServedModel, token_ids: Sequence[int], states: FloatArray | None) -> Traced:
        if self.errors:
            raise self.errors.pop(0)
        assert model is self.model
        self.asked.append(len(token_ids))
        config = self._loaded.network.config
        logits, signals = self._loaded.trace(np.array(token_ids, np.int32), states)
        return Traced(0, logits, signals, config.num_layers, config.hidden_size, 0.0, 0.0)


class Transcript:
    """What a client knows that puts each answer behind those of before."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}

    def hear(self, answer: dict[str, Any]) -> None:
        start = answer["start"]
        known = self.answer if start else {}
        joined = {name: _joined(known.get(name, []), answer[name], start) for name in STEPS}
        if "layers" in answer:
            layers = known["layers"] if start else [{}] * len(answer["layers"])
            rows = [_joined_layer(old, new, start) for old, new in zip(layers, answer["layers"], strict=True)]
            joined["layers"] = rows
        self.answer = answer | joined


def _joined_layer(old: dict[str, Any], new: dict[str, Any], start: int) -> dict[str, Any]:
    if start:
        assert [old[name] for name in ("layer", "units")] == [new[name] for name in ("layer", "units")]
        assert old.keys() == new.keys()
    return {
        name: value if name in {"layer", "units"} else _joined(old.get(name), value, start)
        for name, value in new.items()
    }


def _joined(old: Any, new: Any, start: int) -> Any:
    if isinstance(new, dict):
        return {name: _joined(old and old[name], value, start) for name, value in new.items()}
    assert start <= len(old or [])
    return (old or [])[:start] + new


def assert_close(found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Compare what JSON can hold, numbers within a tolerance."""
    if isinstance(expected, dict):
        assert found.keys() >= expected.keys()
        for name, value in expected.items():
            assert_close(found[name], value, tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, tolerance)
    elif isinstance(expected, float):
        assert abs(found - expected) <= tolerance * max(1.0, abs(expected)), (found, expected)
    else:
        assert found == expected


class Closed(NamedTuple):
    """How a WebSocket ended."""

    code: int
    reason: str


class Socket:
    """A WebSocket to an application in this process; its event loop runs only while something is waited for.

    Args:
        app: The application.
        runner: Of the event loop.
        subprotocols: That the client offers.
        headers: Of the handshake.
        client: The address that it comes from.

    Attributes:
        subprotocol: The one that the service chose.
        fault: What the server raises when something is sent, if anything.
    """

    subprotocol: str | None = None
    fault: Exception | None = None

    def __init__(
        self,
        app: FastAPI,
        runner: asyncio.Runner,
        *,
        subprotocols: Sequence[str] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        client: str = "127.0.0.1",
    ) -> None:
        self._runner = runner
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "path": "/gates/live",
            "raw_path": b"/gates/live",
            "root_path": "",
            "query_string": b"",
            "headers": list(headers),
            "subprotocols": list(subprotocols),
            "client": (client, 1),
        }
        runner.run(self._begin(app, scope))

    def say(self, message: object) -> None:
        """Send JSON; a string or bytes as they are."""
        if isinstance(message, bytes):
            self._incoming.put_nowait({"type": "websocket.receive", "bytes": message})
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def hear(self) -> Any:
        """Return the next answer, or how it ended."""
        message = self._runner.run(self._next())
        if message["type"] == "websocket.close":
            return Closed(message["code"], message["reason"])
        return json.loads(message["text"])

    def ask(self, **message: object) -> Any:
        self.say(message)
        return self.hear()

    def leave(self) -> None:
        """Close it, and wait until the service has taken note."""
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        self.wait()

    def wait(self) -> None:
        """Wait for the end of the application's part."""
        self._runner.run(asyncio.wait_for(self._task_done(), PATIENCE))

    async def _begin(self, app: FastAPI, scope: Any) -> None:
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(app(scope, self._incoming.get, self._send))
        accepted = await self._next()
        assert accepted["type"] == "websocket.accept", accepted
        self.subprotocol = accepted["subprotocol"]

    async def _send(self, message: Message) -> None:
        if self.fault is not None:
            raise self.fault
        self._outgoing.put_nowait(message)

    async def _next(self) -> Message:
        return await asyncio.wait_for(self._outgoing.get(), PATIENCE)

    async def _task_done(self) -> None:
        await asyncio.wait([self._task])
        await self._task
