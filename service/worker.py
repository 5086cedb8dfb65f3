"""One of several HTTP workers: `python -m service.worker <listener>`, started by the main process.

Its settings are the first line of standard input, where nobody else can read the secrets among them. What follows are
commands, and the end of it is the end of the main process.
"""

import os
import select
import shutil
import signal
import socket
import sys

from pydantic_core import from_json

from service import logs
from service.server import serve
from service.settings import Settings
from service.workers import FIGURES_VARIABLE


def main() -> None:
    """Serve until told to stop."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach every process of a terminal; the main process decides
    standard_input = sys.stdin.fileno()
    lifeline = os.dup(standard_input)  # which stays open to the end
    with os.fdopen(os.dup(standard_input), "rb", buffering=0) as pipe:  # no further than the line
        settings = Settings(**from_json(pipe.readline()))
    logs.configure(settings.log_level, settings.log_format)
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        serve(settings, listener, standard_input)
    if _has_ended(lifeline):  # the main process may have been killed before it could remove what they shared
        shutil.rmtree(os.environ[FIGURES_VARIABLE], ignore_errors=True)


def _has_ended(pipe: int) -> bool:
    """Tell whether nobody can write to it any more."""
    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


if __name__ == "__main__":
    main()
