"""A client of a live session that does not take what it is sent keeps nothing of the service."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from tests.served import Served, eventually, served
from tests.service_fixtures import PATIENCE
from tests.tiny import tiny_artifacts

CHARACTERS = 8000  # whose answer, some eight megabytes, is more than the buffers of both systems hold
CLIENTS = 3


class Client:
    """A WebSocket whose answers nobody reads, unless told to."""

    def __init__(self, port: int, receive_buffer: int = 4096) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/gates/live"), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while not self._protocol.events_received():
            self._protocol.receive_data(self.socket.recv(4096))

    def ask(self, **message: object) -> None:
        self._protocol.send_text(json.dumps(message).encode())
        self._flush()

    def hear(self) -> int:
        """Read an answer; return of how many characters."""
        while True:
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    characters: int = json.loads(bytes(event.data))["characters"]
                    return characters
            data = self.socket.recv(65536)
            assert data
            self._protocol.receive_data(data)

    def close(self) -> None:
        self._protocol.send_close(1000)
        self._flush()

    def _flush(self) -> None:
        self.socket.sendall(b"".join(self._protocol.data_to_send()))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("artifacts"), max_length=None)


@pytest.fixture(scope="module")
def server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {"live_characters": CHARACTERS, "live_stall_seconds": 2.0, "live_idle_seconds": 10 * PATIENCE}
    with served(tmp_path_factory.mktemp("server"), artifacts, **settings) as server:
        eventually(server.is_ready)
        yield server


@contextlib.contextmanager
def not_reading(server: Served, count: int = CLIENTS) -> Iterator[list[Client]]:
    """Have clients whose connections are stuck, and see that the service then gets rid of them while they stay."""
    before = _open_sockets(server)
    clients = [Client(server.port) for _ in range(count)]
    try:
        for client in clients:
            client.ask(text="x" * CHARACTERS, detail="full")
            assert client.socket.recv(1)
        yield clients
        eventually(lambda: server.figures()["charlstm_live_sessions"] == 0)
        eventually(lambda: _open_sockets(server) <= before)
    finally:
        for client in clients:
            client.socket.close()


def _open_sockets(server: Served) -> int:
    folder = Path(f"/proc/{server.process.pid}/fd")
    found = 0
    for descriptor in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def test_who_does_not_read_is_cut_off(server: Served) -> None:
    with not_reading(server):
        pass


def test_who_reads_a_trickle_is_cut_off(server: Served) -> None:
    with not_reading(server, 1) as (client,):

        def is_over_while_it_reads() -> bool:
            assert client.socket.recv(512)
            return server.figures()["charlstm_live_sessions"] == 0

        eventually(is_over_while_it_reads)


def test_who_does_not_read_but_asks_on_is_cut_off(server: Served) -> None:
    with not_reading(server) as clients:
        for client in clients:
            client.ask(text="")


def test_who_does_not_read_and_closes_is_cut_off_at_once(tmp_path: Path, artifacts: Path) -> None:
    with served(tmp_path, artifacts, live_characters=CHARACTERS, live_stall_seconds=10 * PATIENCE) as server:
        eventually(server.is_ready)
        with not_reading(server) as clients:
            for client in clients:
                client.close()


def test_who_reads_late_but_all_of_it_is_not(server: Served) -> None:
    client = Client(server.port, 1 << 18)  # less than an answer, but read in a hundred pieces instead of thousands
    with contextlib.closing(client.socket):
        for _ in range(3):
            client.ask(text="x" * CHARACTERS, detail="full")
            assert client.hear() == CHARACTERS
            client.ask(back=CHARACTERS)
            assert client.hear() == 0
