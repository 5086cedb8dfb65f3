"""What the tests that do the service harm share: load with the right answers beside it, and a look at its processes."""

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from charlstm.predictor import Predictor
from tests.served import Served
from tests.service_fixtures import PATIENCE
from tests.tiny import TEXTS

RETRYABLE = {429: {"overloaded"}, 503: {"not-ready", "engine-lost"}}
"""Which answers beside the right one a request may get, and what kinds of problems they are."""
LONG = 4 * PATIENCE
"""Seconds for processes to start in while the machine has much else to do."""
_CLIENTS = 4
_PAUSE = 0.02  # seconds; there are to be requests under way at any time, and time left for what they disturb
_RETRY_SECONDS = 0.3  # sooner than the service asks for, so that the tests are done sooner


@dataclass
class Outcomes:
    """What became of the requests so far.

    Attributes:
        right: How many got the predictor's answer.
        refused: How many got which other status that tells them to come again.
        lost: How many got no answer, because the connection was lost.
        wrong: All else, in words.
    """

    right: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, answer: httpx.Response, expected: float) -> None:
        if answer.status_code == 200:
            found = answer.json()["probabilities"]["negative"]
            if found == pytest.approx(expected, abs=1e-5):
                self.right += 1
            else:
                self.wrong.append(f"{found} instead of {expected}")
        elif is_clean_refusal(answer):
            self.refused[answer.status_code] += 1
        else:
            self.wrong.append(f"{answer.status_code}: {answer.text}")


def is_clean_refusal(answer: httpx.Response) -> bool:
    """Tell whether an answer says that nothing was done, why, and when to come again."""
    kinds = RETRYABLE.get(answer.status_code, set())
    return (
        answer.headers.get("content-type") == "application/problem+json"
        and answer.json()["type"].removeprefix("/problems/") in kinds
        and int(answer.headers["retry-after"]) >= 1
    )


def right_answers(artifacts: Path, texts: Sequence[str] = TEXTS) -> dict[str, float]:
    """Judge texts in this process: P(negative) of each."""
    predictor = Predictor.load(artifacts, "cpu")
    return {text: predictor.predict(text).probability_negative for text in texts}


@contextmanager
def load(server: Served, expected: Mapping[str, float]) -> Iterator[Outcomes]:
    """Have some clients ask on and on, `/predict` and `/gates` in turn; in the end none of them hangs."""
    outcomes, over = Outcomes(), Event()
    clients = [Thread(target=_ask_on, args=(server, expected, outcomes, over), daemon=True) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield outcomes
    finally:
        over.set()
        for client in clients:
            client.join(2 * PATIENCE)
    assert not any(client.is_alive() for client in clients)


def _ask_on(server: Served, expected: Mapping[str, float], outcomes: Outcomes, over: Event) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        while not over.is_set():
            for text, probability in expected.items():
                for path in ("/predict", "/gates"):
                    over.wait(_PAUSE if _ask(http, path, text, outcomes, probability) else _RETRY_SECONDS)


def _ask(http: httpx.Client, path: str, text: str, outcomes: Outcomes, probability: float) -> bool:
    """Ask once, and tell whether to go on at once."""
    try:
        answer = http.post(path, json={"text": text})
    except httpx.ReadTimeout:
        outcomes.wrong.append("no answer at all")
    except httpx.TransportError:
        outcomes.lost += 1
    else:
        outcomes.note(answer, probability)
        return answer.status_code == 200
    return False


def assert_answers(server: Served, expected: Mapping[str, float]) -> None:
    """See that the service is live, and judges rightly."""
    assert server.get("/livez").status_code == 200
    outcomes = Outcomes()
    for text, probability in expected.items():
        outcomes.note(server.predict(text), probability)
    assert outcomes == Outcomes(right=len(expected))


def processes(server: Served) -> set[int]:
    """Return the process ids of all that belongs to the service."""
    return server.pids("main") | server.pids("worker") | server.pids("engine")


def resident_megabytes(server: Served) -> float:
    """Return how much memory all processes of the service have."""
    status = [Path(f"/proc/{pid}/status").read_text() for pid in processes(server)]
    lines = [line for text in status for line in text.splitlines() if line.startswith("VmRSS:")]
    return sum(int(line.split()[1]) for line in lines) / 1024


def connected(server: Served) -> socket.socket:
    """Connect, with a system that takes in little beyond what is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", server.port))
    return connection


def request(path: str, document: object) -> bytes:
    """Write a request."""
    body = json.dumps(document).encode()
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def is_cut(connection: socket.socket) -> bool:
    """Read what there is, and tell whether it was the last."""
    try:
        return not connection.recv(65536)
    except ConnectionError:
        return True


def trickle(connection: socket.socket, data: bytes, seconds: float = 0.05) -> bool:
    """Send a byte now and then; tell whether the connection was cut before all were sent, or patience had an end."""
    deadline = time.monotonic() + PATIENCE
    try:
        for byte in data:
            if time.monotonic() > deadline:
                break
            connection.sendall(bytes([byte]))
            time.sleep(seconds)
    except ConnectionError:
        return True
    return False
