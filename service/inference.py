"""The way from the event loop to the model: one thread of its own, the only one that ever runs torch.

The thread imports torch and loads the model as well, so that the service is live at once and ready soon after.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

import charlstm
from service.errors import NotReadyError
from service.schemas import BatchResponse, Info, PredictResponse
from service.settings import Settings

if TYPE_CHECKING:  # both import torch, which is the inference thread's business
    from charlstm.predictor import Predictor
    from service.engine import Engine

_logger = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Inference:
    """The model as the routes see it: every method may be awaited on the event loop and blocks nothing.

    An asynchronous context manager. Entering it starts to load the model and does not wait for that; leaving it
    finishes what has been asked and answers nothing more.

    Args:
        settings: Where the model is, where it runs, and its limits.
        predictor: A model that is loaded already, to be served instead of the one in `settings.artifacts`.

    Attributes:
        loading: Done when the model is ready; it then holds the error if loading failed.
    """

    loading: asyncio.Task[None]

    def __init__(self, settings: Settings, predictor: "Predictor | None" = None) -> None:
        self._settings = settings
        self._predictor = predictor
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")

    async def __aenter__(self) -> Self:
        self.loading = asyncio.create_task(self._load())
        self.loading.add_done_callback(_report)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.wait([self.loading])
        self._engine = None  # from here on every question is answered with "not ready"
        await asyncio.to_thread(self._thread.shutdown)

    @property
    def ready(self) -> bool:
        """Whether a prediction would be answered."""
        return self._engine is not None

    async def predict(self, text: str, *, truncate: bool) -> PredictResponse:
        """Judge one text.

        Raises:
            NotReadyError: There is no model yet, or no longer.
            UnreadableTextsError: The model cannot read the text.
        """
        return await self._run(self._ready_engine().predict, text, truncate=truncate)

    async def predict_batch(self, texts: Sequence[str], *, truncate: bool) -> BatchResponse:
        """Judge many texts, in their order.

        Raises:
            NotReadyError: There is no model yet, or no longer.
            TooManyTextsError: There are more than the service takes at once.
            UnreadableTextsError: The model cannot read some of them.
        """
        return await self._run(self._ready_engine().predict_batch, texts, truncate=truncate)

    async def gates(self, text: str, *, truncate: bool) -> bytes:
        """Judge one text and show its memory: the JSON of a `GatesResponse`, written here and not on the event loop.

        Raises:
            NotReadyError: There is no model yet, or no longer.
            UnreadableTextsError: The model cannot read the text.
        """
        return await self._run(self._ready_engine().gates, text, truncate=truncate)

    def info(self) -> Info:
        """Say what is being served; at once, since that does not ask the network.

        Raises:
            NotReadyError: There is no model yet, or no longer.
        """
        return self._ready_engine().info()

    def _ready_engine(self) -> "Engine":
        if self._engine is None:
            raise NotReadyError
        return self._engine

    async def _load(self) -> None:
        engine = await self._run(_build_engine, self._settings, self._predictor)
        info = engine.info()
        _logger.info("ready: model %s, version %s, on %s", info.model.name, info.model.version, info.device)
        self._engine = engine

    async def _run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))


def _build_engine(settings: Settings, predictor: "Predictor | None") -> "Engine":
    if settings.threads is not None:
        import_module("torch").set_num_threads(settings.threads)  # counts for the thread that says so
    if predictor is None:
        predictor = charlstm.Predictor.load(settings.artifacts, settings.device)
    engine: Engine = import_module("service.engine").Engine(predictor, settings)
    engine.warm_up()
    return engine


def _report(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and (error := loading.exception()):
        _logger.critical("the model cannot be loaded: %s", error)
