"""An engine that computes nothing, to see what HTTP alone costs. `python empty_engine.py ARTIFACTS SOCKET`."""

import socket
import sys
import threading
from pathlib import Path

from charlstm.artifacts import load_artifacts
from service.loaded_model import describe
from service.protocol import Frames, Loaded, Logits, Submit, decode_question, frame


def serve(connection: socket.socket, loaded: Loaded) -> None:
    """Answer one worker until it is gone."""
    connection.sendall(frame(loaded))
    frames = Frames()
    while data := connection.recv(1 << 20):
        answers = bytearray()
        for payload in frames.feed(data):
            question = decode_question(payload)
            if isinstance(question, Submit):
                answers += frame(Logits(question.id, [0.0] * len(question.lengths), 0.0, 0.0))
        connection.sendall(answers)


artifacts = load_artifacts(Path(sys.argv[1]))
described = Loaded([describe(artifacts, "none", "float32")])
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[2])
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0], described), daemon=True).start()
