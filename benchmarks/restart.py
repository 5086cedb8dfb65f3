"""Whether a rolling restart under load loses a request.

Two services stand behind a small balancer, which is this script: it asks both `/readyz` every 0.2 s and sends each
request to one that said yes. Meanwhile they are restarted one after the other. It prints what became of the requests,
and fails if one was lost after a service had taken it.
"""

import argparse
import asyncio
import itertools
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.ports import free_port
from benchmarks.texts import tweets

_CHECK_EVERY = 0.2  # seconds
_PATIENCE = 120.0  # seconds until an instance has to be ready, or to have ended
_RETRYABLE = {429, 503}  # the service says that it did nothing, and when to come again


class Instance:
    """A service on a port of its own, started and stopped as an operator would."""

    def __init__(self, artifacts: Path, drain_seconds: float) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ready = False
        self._options = ["--artifacts", str(artifacts), "--drain-seconds", str(drain_seconds), "--log-level", "error"]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until the balancer has found it ready."""
        command = ["-m", "service", "serve", "--port", str(self.port), *self._options]
        self._process = await asyncio.create_subprocess_exec(sys.executable, *command)
        async with asyncio.timeout(_PATIENCE):
            while not self.ready:
                if self._process.returncode is not None:
                    raise RuntimeError(f"the service on port {self.port} ended before it was ready")
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Send SIGTERM, wait until it has ended and the balancer knows, and return the exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_PATIENCE):
            code = await self._process.wait()
            while self.ready:  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.05)
        return code

    async def watch(self, http: httpx.AsyncClient) -> None:
        """Ask again and again whether it is ready."""
        while True:
            try:
                self.ready = (await http.get(f"{self.url}/readyz", timeout=1.0)).status_code == httpx.codes.OK
            except httpx.HTTPError:
                self.ready = False
            await asyncio.sleep(_CHECK_EVERY)


@dataclass
class Balancer:
    """Sends requests to whoever is ready, in turn.

    Attributes:
        found: How many requests ended how.
        by_port: How many answers with 200 came from where.
        losses: How many requests were lost, and how.
    """

    instances: Sequence[Instance]
    http: httpx.AsyncClient
    found: Counter[str] = field(default_factory=Counter)
    by_port: Counter[int] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._turns = itertools.cycle(self.instances)

    async def send(self, texts: Sequence[str], over: asyncio.Event) -> None:
        """Send one request after the other until it is over."""
        for text in itertools.cycle(texts):
            if over.is_set():
                return
            instance = next((one for one in itertools.islice(self._turns, len(self.instances)) if one.ready), None)
            if instance is None:
                self.found["nobody ready"] += 1
                await asyncio.sleep(_CHECK_EVERY)
                continue
            self.found["sent"] += 1
            self.found[await self._ask(instance, text)] += 1

    async def _ask(self, instance: Instance, text: str) -> str:
        try:
            answer = await self.http.post(f"{instance.url}/predict", json={"text": text, "truncate": True})
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return "refused"
        except httpx.HTTPError as error:
            self.losses[repr(error)] += 1
            return "lost"
        if answer.status_code == httpx.codes.OK:
            self.by_port[instance.port] += 1
            return "answered"
        if answer.status_code in _RETRYABLE:
            return "told to come again"
        self.losses[f"status {answer.status_code}"] += 1
        return "lost"


@asynccontextmanager
async def _pair(artifacts: Path, drain_seconds: float) -> AsyncIterator[list[Instance]]:
    """Run two instances, watched, until the block ends."""
    instances = [Instance(artifacts, drain_seconds) for _ in range(2)]
    async with httpx.AsyncClient() as http:
        watching = [asyncio.create_task(instance.watch(http)) for instance in instances]
        try:
            for instance in instances:
                await instance.start()
            yield instances
        finally:
            await asyncio.gather(*(instance.stop() for instance in instances))
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)


async def _measure(options: argparse.Namespace) -> Balancer:
    texts = tweets(1000)
    limits = httpx.Limits(max_connections=None)
    async with (
        _pair(options.artifacts, options.drain_seconds) as instances,
        httpx.AsyncClient(timeout=60.0, limits=limits) as http,
    ):
        balancer, over, started = Balancer(instances, http), asyncio.Event(), time.monotonic()
        senders = [
            asyncio.create_task(balancer.send(texts[number:] + texts[:number], over))
            for number in range(options.concurrency)
        ]
        for instance in instances:
            await asyncio.sleep(2.0)
            began = time.monotonic()
            code = await instance.stop()
            stopped = time.monotonic() - began
            await instance.start()
            print(f"port {instance.port}: ended within {stopped:.1f} s (exit code {code}), back after", end=" ")
            print(f"{time.monotonic() - began:.1f} s")
        await asyncio.sleep(max(2.0, started + options.seconds - time.monotonic()))
        over.set()
        await asyncio.gather(*senders)
        print(f"{options.concurrency} at a time for {time.monotonic() - started:.1f} s")
    return balancer


def main() -> None:
    """Measure, print, and exit with 1 if a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--drain-seconds", type=float, default=1.0)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=15.0, help="at least; both restarts are waited for")
    balancer = asyncio.run(_measure(parser.parse_args()))
    found = balancer.found
    print(f"sent: {found['sent']}")
    print(f"answered 200: {found['answered']}, by port: {dict(balancer.by_port)}")
    print(f"told to come again (429, 503): {found['told to come again']}")
    print(f"refused before acceptance: {found['refused']}")
    print(f"times that nobody was ready: {found['nobody ready']}")
    print(f"lost after acceptance: {found['lost']} {dict(balancer.losses) or ''}".rstrip())
    sys.exit(found["lost"] > 0)


if __name__ == "__main__":
    main()
