"""How fast the service is, beside what else one could run, all in one run of this script.

Each contestant is started as its own process, loaded by wrk over 1, 32 and 128 connections, round after round in turn,
and stopped; the engine alone takes its turn in each round, too. Medians of the rounds count, and ratios of them.
`--help` names the options; the README beside this file holds results and the machine they come from.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from benchmarks.load import Measured, Server, load, load_get, serving
from benchmarks.ports import free_port
from benchmarks.texts import tweets
from charlstm import Predictor
from charlstm.batching import ContinuousBatch
from charlstm.config import Precision

ROOT = Path(__file__).parent.parent
CONNECTIONS = (1, 32, 128)
_PROBE = b'{"text": "ready?"}'
_BATCH = 64
_HEAD_START = 2.0  # seconds of load before what is measured beside it begins, and after it ends


@dataclass
class Contestant:
    """A server under a name, and what was measured of it, by connections."""

    name: str
    start: Callable[[], AbstractContextManager[Server]]
    alone: Callable[[Sequence[str], float], float] | None = None  # its engine by itself: texts and seconds to a rate
    rates_alone: list[float] = field(default_factory=list)
    rounds: dict[int, list[Measured]] = field(default_factory=dict)
    seconds_to_ready: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def median(self, connections: int) -> Measured:
        """Return the medians over the rounds; of the errors, the sum."""
        rounds = self.rounds[connections]
        rate, p50, p99 = (statistics.median(column) for column in list(zip(*rounds, strict=True))[:3])
        return Measured(rate, p50, p99, sum(measured.errors for measured in rounds))


@contextmanager
def service(artifacts: Path, **variables: str) -> Iterator[Server]:
    """Run the real service."""
    port = free_port()
    command = ["-m", "service", "serve", "--port", str(port), "--artifacts", str(artifacts), "--log-level", "error"]
    with serving(command, port, _PROBE, "/predict", CHARLSTM_DRAIN_SECONDS="0", **variables) as server:
        yield server


@contextmanager
def service_without_inference(artifacts: Path) -> Iterator[Server]:
    """Run the real service before an engine that computes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "engine.sock")
        script = str(ROOT / "benchmarks/contestants/empty_engine.py")
        engine = subprocess.Popen([sys.executable, script, str(artifacts), socket])
        try:
            with service(artifacts, CHARLSTM_ENGINE_SOCKET=socket) as server:
                yield server
        finally:
            engine.kill()
            engine.wait()


@contextmanager
def script(name: str, artifacts: Path) -> Iterator[Server]:
    """Run one of the other servers."""
    port = free_port()
    command = [str(ROOT / "benchmarks/contestants" / name), str(artifacts), str(port)]
    with serving(command, port, _PROBE, "/predict", PYTHONPATH=str(ROOT)) as server:
        yield server


def engine_alone(artifacts: Path, precision: Precision, texts: Sequence[str], seconds: float) -> float:
    """Return the texts per second of the continuous batch by itself, kept full, on one core."""
    torch.set_num_threads(1)
    predictor = Predictor.load(artifacts, "cpu")
    encoded = [predictor.artifacts.encoder.encode(text, truncate=True).token_ids for text in texts]
    batch: ContinuousBatch[int] = ContinuousBatch(predictor.artifacts.model, precision)
    batch.warm_up()
    done = joined = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        while len(batch) < 2 * max(CONNECTIONS):
            batch.join(joined, encoded[joined % len(encoded)])
            joined += 1
        done += len(batch.advance())
    return done / (time.perf_counter() - started)


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keep a core busy with something else: two cores may be halves of one, or share its clock and its caches."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def bare_forward(artifacts: Path, texts: Sequence[str]) -> float:
    """Return the median milliseconds of one forward of one text, with no server around it."""
    torch.set_num_threads(1)
    predictor = Predictor.load(artifacts, "cpu")
    times = []
    for text in texts[:300]:
        started = time.perf_counter()
        predictor.predict(text, truncate=True)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times[50:])


def seconds_to_import_torch() -> float:
    """Return how long a fresh Python takes to import torch."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - started


def measure(contestants: Sequence[Contestant], texts: Sequence[str], rounds: int, seconds: float) -> None:
    """Load each contestant in turn, as many times as there are rounds."""
    for number in range(rounds):
        for contestant in contestants:
            print(f"round {number + 1} of {rounds}: {contestant.name}", file=sys.stderr)
            measure_once(contestant, texts, seconds)


def measure_once(contestant: Contestant, texts: Sequence[str], seconds: float) -> None:
    """Start a contestant, load it over each number of connections, and stop it."""
    may_be_cut = {"truncate": True} if contestant.name.startswith("charlstm") else {}
    asked = [{"text": text, **may_be_cut} for text in texts]
    if contestant.alone is not None:
        contestant.rates_alone.append(contestant.alone(texts, seconds))
    with contestant.start() as server:
        contestant.seconds_to_ready.append(server.seconds_to_ready)
        load(f"{server.url}/predict", asked, 32, 2)  # warms up whatever warms up by being asked
        for connections in CONNECTIONS:
            measured = load(f"{server.url}/predict", asked, connections, seconds)
            contestant.rounds.setdefault(connections, []).append(measured)
        contestant.memory.append(server.memory())


def print_table(contestants: Sequence[Contestant], compared: Contestant) -> None:
    """Print a row for each contestant and number of connections; the first two have an engine of their own."""
    in_float32, in_bfloat16 = (statistics.median(contestant.rates_alone) for contestant in contestants[:2])
    print(f"engine alone, one core: {in_float32:,.0f} texts/s in float32, {in_bfloat16:,.0f} in bfloat16\n")
    columns = ("server", "connections", "requests/s", "of the engine alone", "x LitServe", "p50 ms", "p99 ms")
    print(f"| {' | '.join(columns)} | p99 / LitServe | errors |")
    print("|---" * 9 + "|")
    for contestant in contestants:
        engine = statistics.median(contestant.rates_alone) if contestant.rates_alone else in_float32
        for connections in CONNECTIONS:
            found, other = contestant.median(connections), compared.median(connections)
            ratios = f"{found.rate / engine:.2f} | {found.rate / other.rate:.2f}"
            tail = f"{found.p50:.1f} | {found.p99:.1f} | {found.p99 / other.p99:.2f} | {found.errors}"
            print(f"| {contestant.name} | {connections} | {found.rate:,.0f} | {ratios} | {tail} |")
    print("\n| server | ready after s | resident MB |")
    print("|---|---|---|")
    for contestant in contestants:
        ready, memory = statistics.median(contestant.seconds_to_ready), statistics.median(contestant.memory)
        print(f"| {contestant.name} | {ready:.1f} | {memory:,.0f} |")


def measure_the_rest(artifacts: Path, texts: Sequence[str], rounds: int, seconds: float) -> None:
    """Print what is measured of the service only: batches, one request alone, and probes under load."""
    few = [{"text": text, "truncate": True} for text in texts[:300]]
    starts = range(0, len(texts) - _BATCH, _BATCH)
    batches = [{"texts": list(texts[start : start + _BATCH]), "truncate": True} for start in starts]
    with service(artifacts) as server:
        forwards, singles, alone, beside, rates = [], [], [], [], []
        for _ in range(rounds):
            forwards.append(bare_forward(artifacts, texts))
            singles.append(load(f"{server.url}/predict", few, 1, seconds).p50)
            alone.append(engine_alone(artifacts, "float32", texts, seconds))
            with busy_neighbour():
                beside.append(engine_alone(artifacts, "float32", texts, seconds))
            rates.append(load(f"{server.url}/predict/batch", batches, 8, seconds).rate * _BATCH)
        livez, rate_beside = livez_under_load(server, texts, seconds)
    single, forward = statistics.median(singles), statistics.median(forwards)
    print(f"\none connection: p50 {single:.2f} ms, a bare forward of the same texts {forward:.2f} ms")
    rate, engine, hindered = (statistics.median(column) for column in (rates, alone, beside))
    print(f"/predict/batch of {_BATCH}: {rate:,.0f} texts/s, {rate / engine:.2f} of the engine alone, ", end="")
    print(f"{rate / hindered:.2f} of it beside a busy core ({hindered:,.0f} texts/s)")
    print(f"/livez while 128 connections ask /predict: p50 {livez.p50:.1f} ms, p99 {livez.p99:.1f} ms, ", end="")
    print(f"beside {rate_beside:,.0f} predictions/s")
    print(f"import torch: {statistics.median(seconds_to_import_torch() for _ in range(3)):.1f} s")


def livez_under_load(server: Server, texts: Sequence[str], seconds: float) -> tuple[Measured, float]:
    """Ask whether it is alive while 128 connections ask for predictions, and return how many they got a second, too."""
    asked = [{"text": text, "truncate": True} for text in texts]
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(load, f"{server.url}/predict", asked, 128, seconds + 2 * _HEAD_START)
        time.sleep(_HEAD_START)
        return load_get(f"{server.url}/livez", 1, seconds), beside.result().rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts", help="the model (default: artifacts)")
    parser.add_argument("--data", type=Path, help="real texts, as the training commands read them; else made ones")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (default: 3)")
    parser.add_argument("--seconds", type=float, default=8, help="seconds of each load (default: 8)")
    options = parser.parse_args()
    texts = tweets(4000, options.data)
    lengths = [len(text) for text in texts]
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} cores, torch {torch.__version__}")
    print(f"{len(texts)} texts of {statistics.mean(lengths):.0f} characters on average, {max(lengths)} at most")
    litserve = Contestant("LitServe, batches of 32", lambda: script("batching_server.py", options.artifacts))
    contestants = [
        Contestant("charlstm", lambda: service(options.artifacts), partial(engine_alone, options.artifacts, "float32")),
        Contestant(
            "charlstm, bfloat16",
            lambda: service(options.artifacts, CHARLSTM_PRECISION="bfloat16"),
            partial(engine_alone, options.artifacts, "bfloat16"),
        ),
        Contestant("charlstm without inference", lambda: service_without_inference(options.artifacts)),
        Contestant("FastAPI, one forward a request", lambda: script("plain.py", options.artifacts)),
        litserve,
    ]
    measure(contestants, texts, options.rounds, options.seconds)
    print_table(contestants, litserve)
    measure_the_rest(options.artifacts, texts, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
