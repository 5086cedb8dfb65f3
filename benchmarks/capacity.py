"""How much one instance takes, simulated and measured, and what that means for up to a billion texts a day.

What a chunk of each shape and the HTTP of a request cost is measured first. `simulation.py` then lets texts arrive at
random at several loads; the same texts are sent to the real service at the same times; both stand side by side. The
plan is made of the measured figures. `--help` names the options; `deploy/README.md` holds results.
"""

import argparse
import asyncio
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import torch

from benchmarks.load import load
from benchmarks.serving import ROOT, engine_alone, service, service_without_inference
from benchmarks.simulation import Costs, Limits, Outcome, Shape, Simulation, arrivals_at
from benchmarks.texts import tweets
from charlstm import Predictor
from charlstm.batching import ContinuousBatch
from charlstm.model import SentimentLSTM
from service.settings import Settings

_SEATS, _STEPS = (1, 2, 4, 8, 16, 24, 32, 48, 64), (16, 32)
_STEPS_ALONE = tuple(range(8, 257, 8))
_LOADS, _OVERLOADS = (0.2, 0.4, 0.6, 0.8, 0.9), (1.1, 1.5)
_DAY = 86_400  # seconds
_PEAK = 3  # times the average of a day
_AT_MOST = 0.6  # of an instance's capacity, so that the tail stays short


def measure_chunks(model: SentimentLSTM, repeats: int) -> dict[Shape, float]:
    """Measure what each shape of a chunk costs, seating and leaving included: medians, in seconds."""
    batch: ContinuousBatch[int] = ContinuousBatch(model)
    batch.warm_up()
    shapes = [*itertools.product(_SEATS, _STEPS), *((1, steps) for steps in _STEPS_ALONE)]
    return {shape: statistics.median(_time_chunk(batch, shape) for _ in range(repeats)) for shape in shapes}


def _time_chunk(batch: ContinuousBatch[int], shape: Shape) -> float:
    seats, steps = shape
    for key in range(seats):
        batch.join(key, [1] * steps)
    started = time.perf_counter()
    batch.advance()
    return time.perf_counter() - started


async def measure_service(url: str, arrivals: Sequence[float], texts: Sequence[str]) -> Outcome:
    """Send each text to the real service at its time, whether or not those before are answered."""
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:

        async def ask(due: float, text: str) -> None:
            async with session.post(f"{url}/predict", json={"text": text, "truncate": True}) as answer:
                await answer.read()
            statuses[answer.status] += 1
            if answer.status == 200:
                latencies.append(time.perf_counter() - due)

        started = time.perf_counter()
        for at, text in zip(arrivals, texts, strict=True):
            await asyncio.sleep(started + at - time.perf_counter())
            group.create_task(ask(started + at, text))
    return Outcome(latencies, late=statuses[504], refused=statuses[429])


def print_loads(costs: Costs, texts: Sequence[str], artifacts: Path, capacity: float, seconds: float) -> None:
    """Print latency against load, simulated and measured with the same arrivals."""
    print("\n| load | texts/s | p50 ms, simulated | measured | p99 ms, simulated | measured | refused or late |")
    print("|---" * 7 + "|")
    with service(artifacts) as server:
        load(f"{server.url}/predict", [{"text": text, "truncate": True} for text in texts], 32, 2)  # warms it up
        for share in _LOADS:
            arrivals = arrivals_at(share * capacity, seconds, seed=0)
            arriving = list(itertools.islice(itertools.cycle(texts), len(arrivals)))
            simulated = Simulation(costs, _limits(), arrivals, [len(text) for text in arriving]).run()
            measured = asyncio.run(measure_service(server.url, arrivals, arriving))
            figures = [f"{found.milliseconds(of):.1f}" for of in (50, 99) for found in (simulated, measured)]
            ends = measured.refused + measured.late
            print(f"| {share:.0%} | {share * capacity:,.0f} | {' | '.join(figures)} | {ends} |", flush=True)


def print_overloads(costs: Costs, texts: Sequence[str], capacity: float) -> None:
    """Print what more than it can take would do to an instance, by simulation: a minute of each."""
    print("\n| load | answered | p99 ms | refused | the first after s | late |")
    print("|---" * 6 + "|")
    for share in _OVERLOADS:
        arrivals = arrivals_at(share * capacity, 60, seed=0)
        lengths = list(itertools.islice(itertools.cycle(map(len, texts)), len(arrivals)))
        found = Simulation(costs, _limits(), arrivals, lengths).run()
        first = "-" if found.first_refusal is None else f"{found.first_refusal:.0f}"
        answered = f"{len(found.latencies):,} | {found.milliseconds(99):,.0f}"
        print(f"| {share:.0%} | {answered} | {found.refused:,} | {first} | {found.late:,} |")


def print_plan(capacity: float) -> None:
    """Print what each factor of ten on the way to a billion texts a day needs."""
    rate = capacity * _AT_MOST
    print(f"\nAn instance (2 cores: the engine's, and one for HTTP) at {_AT_MOST:.0%} of {capacity:,.0f} texts/s:")
    print(f"\n| texts a day | texts/s on average | at a peak of {_PEAK} times that | instances | cores |")
    print("|---" * 5 + "|")
    for texts in (10**6, 10**7, 10**8, 10**9):
        average = texts / _DAY
        instances = -int(-_PEAK * average // rate)
        print(f"| {texts:,} | {average:,.0f} | {_PEAK * average:,.0f} | {instances:,} | {2 * instances:,} |")
    hours = 1e6 / rate / 3600
    print(
        f"\nA million texts take {hours:.2f} hours of an instance: {hours:.2f} P at a price of P an instance and hour."
    )


def _limits() -> Limits:
    settings = Settings()
    return Limits(settings.max_waiting_texts, settings.max_waiting_characters, settings.deadline_seconds)


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts", help="the model (default: artifacts)")
    parser.add_argument("--data", type=Path, help="real texts, as the training commands read them; else made ones")
    parser.add_argument("--seconds", type=float, default=15, help="seconds of each load (default: 15)")
    parser.add_argument("--repeats", type=int, default=15, help="times each chunk is measured (default: 15)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    texts = tweets(4000, options.data)
    chunks = measure_chunks(Predictor.load(options.artifacts, "cpu").artifacts.model, options.repeats)
    alone = engine_alone(options.artifacts, "float32", texts, options.seconds)
    with service_without_inference(options.artifacts) as server:
        asked = [{"text": text, "truncate": True} for text in texts]
        http = statistics.median(load(f"{server.url}/predict", asked, 32, 3).rate for _ in range(3))
    mean = statistics.mean(map(len, texts))
    print(f"the engine alone takes {alone:,.0f} texts/s of {mean:.0f} characters, HTTP by itself {http:,.0f}")
    print(f"a chunk of 64 texts and 32 steps: {chunks[64, 32] * 1e3:.1f} ms, of 1 and 32: {chunks[1, 32] * 1e3:.2f} ms")
    print_loads(Costs(chunks, 1 / http), texts, options.artifacts, alone, options.seconds)
    print_overloads(Costs(chunks, 1 / http), texts, alone)
    print_plan(alone)


if __name__ == "__main__":
    main()
