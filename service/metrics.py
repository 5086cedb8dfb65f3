"""What the service counts and measures, in the words of Prometheus.

Requests are counted by each process that answers them. With several workers prometheus_client keeps those figures in
files of the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever worker is asked adds them up. The engine and the
processes are described from what they say about themselves, so no worker counts them twice.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from service.close_codes import CloseCode
from service.errors import NotReadyError
from service.exchange import Exchange
from service.inference import Inference
from service.session_watch import REFUSED, ClosedWebSocket
from service.workers import FIGURES_VARIABLE

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CODES = frozenset({REFUSED, *CloseCode})
_STAGES = ("queue", "inference", "serialization")


class Metrics:
    """Counts exchanges and sessions, and writes everything down when it is asked to."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "charlstm_http_requests",
            "Requests answered, by route template, method and status; 499 is a client that did not wait.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "charlstm_http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "charlstm_refusals",
            "Answers that were problems, by the kind of problem.",
            ["reason"],
            registry=self._registry,
        )
        stages = Histogram(
            "charlstm_stage_duration_seconds",
            "Where the time of answers with predictions went.",
            ["stage"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._stages = {stage.encode(): stages.labels(stage) for stage in _STAGES}
        self._sessions = Gauge(
            "charlstm_live_sessions",
            "WebSockets that are open.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._live_seconds = Histogram(
            "charlstm_live_answer_duration_seconds",
            "From a message of a live session to its answer.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._closes = Counter(
            "charlstm_live_closes",
            "WebSockets closed, by the code that either side gave; 403 is one refused before it was open.",
            ["code"],
            registry=self._registry,
        )
        self._cut = Counter(
            "charlstm_connections_cut",
            "Connections cut because of their client: no request came, or an answer was not taken.",
            ["awaited"],
            registry=self._registry,
        )
        # Looking a child up by its labels costs more than counting does.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def __call__(self, exchange: Exchange) -> None:
        """Count one exchange."""
        key = (exchange.route, exchange.method, exchange.status)
        requests, seconds = self._children.get(key) or self._add(key)
        requests.inc()
        seconds.observe(exchange.seconds)
        if exchange.problem is not None:
            self._refusals.labels(exchange.problem).inc()
        if exchange.server_timing:
            for entry in exchange.server_timing.split(b", "):
                name, _, milliseconds = entry.partition(b";dur=")
                if (stage := self._stages.get(name)) is not None:
                    stage.observe(float(milliseconds) / 1e3)

    def session_opened(self) -> None:
        """Count a WebSocket that is open."""
        self._sessions.inc()

    def session_closed(self, closed: ClosedWebSocket) -> None:
        """Count it as closed."""
        if closed.code != REFUSED:
            self._sessions.dec()
        self._closes.labels(_code_label(closed.code)).inc()

    def live_answer(self, seconds: float, problem: str | None) -> None:
        """Count an answer in a live session, and the kind of problem that it is, if it is one."""
        self._live_seconds.observe(seconds)
        if problem is not None:
            self._refusals.labels(problem).inc()

    def connection_cut(self, awaited: str) -> None:
        """Count a connection that was cut while a `request` or the taking of an `answer` was waited for."""
        self._cut.labels(awaited).inc()

    def exposition(self, inference: Inference, accept: str) -> tuple[bytes, str]:
        """Write all figures in the format that suits an `Accept` header; return them and their media type."""
        try:
            encode, media_type = choose_encoder(accept)
        except TypeError:  # prometheus_client compares whatever version is accepted with a number
            encode, media_type = choose_encoder("")
        return encode(_Figures(self._registry, inference)), media_type

    def _add(self, key: tuple[str, str, int]) -> tuple[Counter, Histogram]:
        route, method, status = key
        known_method = method if method in _METHODS else "other"
        children = (self._requests.labels(route, known_method, str(status)), self._seconds.labels(route))
        if known_method == method:
            self._children[key] = children
        return children


def _code_label(code: int) -> str:
    """Write a close code; a client may choose any, and each label is a series that stays."""
    return str(code) if code in _CODES else "other"


class _Figures(Collector):
    """All figures there are."""

    def __init__(self, counted: CollectorRegistry, inference: Inference) -> None:
        self._counted = counted
        self._inference = inference

    def collect(self) -> Iterator[Metric]:
        folder = os.environ.get(FIGURES_VARIABLE)
        yield from _without_birthdays(_of_all_workers(Path(folder)) if folder else self._counted.collect())
        yield from _of_model(self._inference)
        yield from _of_engine(self._inference)
        joined = bool(folder) and self._inference.supervisor is None  # the engine that the main process keeps
        yield from _of_processes(os.getppid() if joined else os.getpid())


def _of_all_workers(folder: Path) -> Iterator[Metric]:
    """Add up what the files say; an application that the service is a part of may keep figures of its own in there."""
    found: Iterable[Metric] = MultiProcessCollector.merge(_written(folder))  # type: ignore[no-untyped-call]  # no types
    yield from (metric for metric in found if metric.name.startswith("charlstm_"))


def _written(folder: Path) -> list[str]:
    """Find the files with something in them: one that a worker is about to fill is what prometheus_client fails at."""
    written = []
    for path in folder.glob("*.db"):
        with contextlib.suppress(FileNotFoundError):  # of a worker that has just ended
            if path.stat().st_size:
                written.append(str(path))
    return written


def _without_birthdays(metrics: Iterable[Metric]) -> Iterator[Metric]:
    """Leave out when each series began; prometheus_client's own switch would do so for the whole program."""
    for metric in metrics:
        metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
        yield metric


def _of_model(inference: Inference) -> Iterator[Metric]:
    yield GaugeMetricFamily("charlstm_ready", "Whether new requests should be sent here.", float(inference.ready))
    with contextlib.suppress(NotReadyError):
        described = InfoMetricFamily("charlstm_model", "What is served.", labels=["name"])
        for model in inference.models:
            about = {"version": model.version, "device": model.device, "precision": model.precision}
            described.add_metric([model.name], about)
        yield described


def _of_engine(inference: Inference) -> Iterator[Metric]:
    if (engine := inference.statistics) is None:
        return
    yield GaugeMetricFamily("charlstm_waiting_texts", "Texts accepted and not answered yet.", engine.waiting_texts)
    yield GaugeMetricFamily("charlstm_waiting_tokens", "Tokens that they have.", engine.waiting_tokens)
    yield GaugeMetricFamily("charlstm_seated_texts", "Texts of them in the running batch.", engine.seated_texts)
    chunks = engine.chunks
    yield SummaryMetricFamily("charlstm_batch_texts", "Texts in a chunk of the batch.", chunks, engine.chunk_texts)
    yield SummaryMetricFamily("charlstm_batch_seats", "Its seats, padding among them.", chunks, engine.chunk_seats)
    yield SummaryMetricFamily("charlstm_batch_steps", "Its steps.", chunks, engine.chunk_steps)
    yield CounterMetricFamily("charlstm_tokens", "Tokens read for predictions.", engine.tokens)
    padding = engine.capacity - engine.tokens
    yield CounterMetricFamily("charlstm_padding_tokens", "Steps of seats that read no token.", padding)
    share = padding / engine.capacity if engine.capacity else 0.0
    yield GaugeMetricFamily("charlstm_padding_ratio", "Share of such steps since the engine started.", share)


def _of_processes(main: int) -> Iterable[Metric]:
    """Describe each process of the service as prometheus_client describes one, with a label for which it is."""
    found: dict[str, Metric] = {}
    for pid, name in _processes(main).items():
        for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            joined = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                joined.add_sample(sample.name, {"process": name, "pid": str(pid)}, sample.value)
    return found.values()


def _processes(main: int) -> dict[int, str]:
    """Find the main process, its workers and its engine, where the system has a /proc to look them up in."""
    names = {b"service.engine_process": "engine", b"service.worker": "worker"}
    found = {main: "main", os.getpid(): "main" if os.getpid() == main else "worker"}
    for pid in _children(main):
        with contextlib.suppress(OSError):  # it has just ended
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            found.update((pid, name) for mark, name in names.items() if mark in command)
    return found


def _children(main: int) -> list[int]:
    """Find the children of each thread of a process: under Ray it is not the main thread that starts the engine."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{main}/task").iterdir():
            with contextlib.suppress(OSError):  # likewise
                children += map(int, (thread / "children").read_text(encoding="ascii").split())
    return children
