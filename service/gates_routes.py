"""The routes that show the memory: one text's trace, two texts compared, and a text without each of its words."""

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from service.bodies import JsonRoute
from service.comparison import compare_document
from service.comparison_schemas import CompareRequest, CompareResponse, OcclusionResponse
from service.contract import problem_answers
from service.forms import COMPRESSED_NPZ, HTML, NPZ, Form, to_json
from service.gates_schemas import GatesRequest, GatesResponse
from service.occlusion import occlusion_response
from service.passages import Passage
from service.routes import OF_A_QUESTION, Model, server_timing, timed_answer
from service.schemas import PredictRequest
from service.trace_slots import written_out

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The trace. The header `Accept` chooses its form; `Accept-Encoding: gzip` compresses it.",
        "content": {NPZ: _BINARY, COMPRESSED_NPZ: _BINARY, HTML: {"schema": {"type": "string"}}},
    }
}

memory = APIRouter(
    route_class=JsonRoute,
    tags=["memory"],
)


@memory.post(
    "/gates",
    operation_id="gates",
    summary="Judge one text and show its memory",
    response_model=GatesResponse,
    responses=_FORMS | problem_answers(*OF_A_QUESTION, "not-acceptable"),
)
async def gates(asked: GatesRequest, model: Model, request: Request) -> Response:
    """Judge a text as `/predict` does, and show every step of the way: each gate and both memories of each layer.

    Further fields choose a part of the trace or its summary; `clamps` and `cut` ask what if something had been
    otherwise. `contributions` says whose doing the answer is.

    As `application/x-npz`, NumPy's `np.load` reads it: arrays such as `layer_0.cell_state` and `contributions.units`,
    and everything else as JSON in `metadata`. As `text/html` it is a page of its own, which shows all of the trace.
    """
    headers = request.headers
    form = Form.accepted(headers.getlist("accept"), headers.getlist("accept-encoding"))
    passage = Passage("text", asked.text, asked.spans_to_cut())
    clamps = [clamp.to_clamp() for clamp in asked.clamps]
    async with model.trace_slots.take() as deadline:
        traced = await model.trace(passage, deadline, asked.model, truncate=asked.truncate, clamps=clamps)
        started = time.perf_counter()
        written = await written_out(lambda: form.write(traced, asked))
    timing = server_timing(traced, time.perf_counter() - started)
    return Response(written.content, headers=written.headers | {"Server-Timing": timing})


@memory.post(
    "/gates/compare",
    operation_id="gates_compare",
    summary="Hold two texts against each other",
    response_model=CompareResponse,
    responses=problem_answers(*OF_A_QUESTION),
)
async def compare(asked: CompareRequest, model: Model) -> Response:
    """Judge two texts, align them token by token, and say where they part and what turned the answer."""
    pair = Passage("first", asked.first), Passage("second", asked.second)
    async with model.trace_slots.take(traces=2) as deadline:
        traced = await model.trace_both(pair, deadline, asked.model, truncate=asked.truncate)
        started = time.perf_counter()
        content = await written_out(lambda: to_json(compare_document(traced)))
    timing = server_timing(traced.slower, time.perf_counter() - started)
    return Response(content, media_type="application/json", headers={"Server-Timing": timing})


@memory.post(
    "/gates/occlusion",
    operation_id="gates_occlusion",
    summary="Leave out each word of a text",
    response_model=OcclusionResponse,
    responses=problem_answers(*OF_A_QUESTION, "too-many-words"),
)
async def occlusion(asked: PredictRequest, model: Model) -> Response:
    """Judge a text as `/predict` does, and once more without each of its words: how much hangs on it.

    This asks the model, while the shares in `/gates` take its one answer apart; the two need not agree. `/info` says
    how many words a text may have: as many as there may be texts in a batch.
    """
    occluded = await model.occlude(asked.text, asked.model, truncate=asked.truncate)
    return timed_answer(occluded.judged, occlusion_response(occluded))
