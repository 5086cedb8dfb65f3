"""The Open Inference Protocol V2 (KServe, Triton and their clients) over REST, with its binary tensor data extension.

The model is known by the name and the version of its artifacts. It takes one BYTES tensor `text` of shape [N] or
[N, 1] and answers with P(negative) and the label of each text in the same shape; of a single text, every signal of the
memory trace can be asked for by name. Errors are the protocol's own: see `problems.error_response`.
"""

import asyncio
import time
from importlib.metadata import version as version_of
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response

from service.connection import ServedModel
from service.contract import OF_A_BODY, OF_A_TEXT, OF_THE_ENGINE, OTHER_ERRORS, error_answers
from service.errors import InferenceRequestError, NotReadyError, UnknownModelError
from service.open_inference_outputs import DEFAULT_OUTPUTS, available_outputs, need_trace, output_tensors
from service.open_inference_schemas import (
    REQUEST,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from service.passages import Passage
from service.results import Judged, TracedText
from service.routes import Model, server_timing
from service.settings import Settings
from service.tensors import (
    LENGTH_HEADER,
    TEXT,
    InferenceRequest,
    RequestedOutput,
    ResponseBody,
    decode_request,
    decompress,
    encode_response,
)
from service.trace_slots import written_out

_MOST_BYTES_AT_ONCE = 65_536  # of a body that is decoded on the event loop; it takes about a millisecond


_OF_A_MODEL = ("unknown-model", "internal-error", "not-ready")
_INFERENCE: dict[str, Any] = {
    "response_model": InferenceResponse,
    "responses": error_answers(*_OF_A_MODEL, *OF_A_BODY, *OF_A_TEXT, "too-many-texts", *OF_THE_ENGINE),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": f"JSON. Binary tensor data may follow it; the header {LENGTH_HEADER} then says where.",
            "content": {"application/json": {"schema": REQUEST}},
        }
    },
}

probes = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=error_answers("internal-error"))
models = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=error_answers(*_OF_A_MODEL) | OTHER_ERRORS)


class _Wanted(NamedTuple):
    """Which model a path names; without a version, whichever is served."""

    name: str
    version: str | None = None


@probes.get("", operation_id="v2_server_metadata", summary="Which server is this?")
async def server_metadata() -> ServerMetadata:
    """Name the server, its version and the extensions of the protocol that it speaks."""
    return ServerMetadata(version=version_of("charlstm"), extensions=["binary_tensor_data"])


@probes.get("/health/live", operation_id="v2_server_live", summary="Is the server alive?")
async def server_live() -> ServerLive:
    """Answer 200 as long as the process answers at all."""
    return ServerLive()


@probes.get(
    "/health/ready",
    operation_id="v2_server_ready",
    summary="Is the server ready?",
    responses=error_answers("not-ready"),
)
async def server_ready(model: Model) -> ServerReady:
    """Answer 200 once the model is loaded and until the service closes, 503 otherwise."""
    if not model.ready:
        raise NotReadyError
    return ServerReady()


@models.get("/models/{name}", operation_id="v2_model_metadata", summary="What does the model take and give?")
async def model_metadata(name: str, model: Model) -> ModelMetadata:
    """List the model's versions, its input, and each output that can be asked for."""
    return _metadata(model.find(name))


@models.get(
    "/models/{name}/versions/{version}",
    operation_id="v2_model_version_metadata",
    summary="What does this version of the model take and give?",
)
async def model_version_metadata(name: str, version: str, model: Model) -> ModelMetadata:
    """Describe the model as without a version, if it is this one."""
    return _metadata(model.find(name, version))


@models.get("/models/{name}/ready", operation_id="v2_model_ready", summary="Is the model ready?")
async def model_ready(name: str, model: Model) -> ModelReady:
    """Answer 200 while the model takes requests."""
    return _ready(_Wanted(name), model)


@models.get(
    "/models/{name}/versions/{version}/ready",
    operation_id="v2_model_version_ready",
    summary="Is this version of the model ready?",
)
async def model_version_ready(name: str, version: str, model: Model) -> ModelReady:
    """Answer 200 while this version of the model takes requests."""
    return _ready(_Wanted(name, version), model)


@models.post("/models/{name}/infer", operation_id="v2_model_infer", summary="Judge texts", **_INFERENCE)
async def model_infer(name: str, model: Model, request: Request) -> Response:
    """Judge a tensor of texts; of a single text, also show its memory.

    Without `outputs` the answer holds `probability_negative`, P(negative), and `label`. `truncated` says which texts
    were cut, for which the parameter of this name asks. The other outputs are those of `/gates`, one tensor each:
    `probability_so_far`, `layer_0.forget_gate` and so on; in `offsets`, -1 is a step of padding.
    """
    return await _infer(_Wanted(name), model, request)


@models.post(
    "/models/{name}/versions/{version}/infer",
    operation_id="v2_model_version_infer",
    summary="Judge texts with this version of the model",
    **_INFERENCE,
)
async def model_version_infer(name: str, version: str, model: Model, request: Request) -> Response:
    """Judge texts as without a version, if it is this one that is served."""
    return await _infer(_Wanted(name, version), model, request)


def _metadata(served: ServedModel) -> ModelMetadata:
    return ModelMetadata(
        name=served.name,
        versions=[served.version],
        inputs=[TensorMetadata(name=TEXT, datatype="BYTES", shape=[-1])],
        outputs=available_outputs(served.config.model),
    )


def _ready(wanted: _Wanted, model: Model) -> ModelReady:
    served = model.find(*wanted)
    if not model.ready:
        raise NotReadyError
    return ModelReady(name=served.name)


async def _infer(wanted: _Wanted, model: Model, request: Request) -> Response:
    model.find(*wanted)  # before the body is read; it may be large
    asked = await _asked(request)
    served = model.find(*wanted)
    chosen = asked.outputs or tuple(RequestedOutput(name, asked.binary) for name in DEFAULT_OUTPUTS)

    def check(answer: Judged | TracedText) -> None:
        if answer.model is not served:  # exchanged meanwhile; what was asked for has to be there in the new one, too
            if wanted.version not in {None, answer.model.version}:
                raise UnknownModelError({answer.model.name: answer.model.version}, *wanted)
            need_trace(chosen, answer.model.config.model, len(asked.texts))

    if need_trace(chosen, served.config.model, len(asked.texts)):
        async with model.trace_slots.take() as deadline:
            passage = Passage(f"{TEXT}[0]", asked.texts[0])
            traced = await model.trace(passage, deadline, wanted.name, truncate=asked.truncate)
            check(traced)
            started = time.perf_counter()
            body = await written_out(lambda: _body(asked, chosen, traced))
        return _response(body, server_timing(traced, time.perf_counter() - started))
    texts = {f"{TEXT}[{index}]": text for index, text in enumerate(asked.texts)}
    judged = await model.judge(texts, wanted.name, truncate=asked.truncate)
    check(judged)
    started = time.perf_counter()
    body = _body(asked, chosen, judged)
    return _response(body, server_timing(judged, time.perf_counter() - started))


async def _asked(request: Request) -> InferenceRequest:
    """Read and decode a body, beside the event loop if it is a large one."""
    settings: Settings = request.app.state.settings
    json_length = _json_length(request)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    body = await request.body()

    def decode() -> InferenceRequest:
        content = decompress(body, encoding, settings.max_body_bytes)
        return decode_request(content, json_length, settings.max_texts)

    if len(body) <= _MOST_BYTES_AT_ONCE and not encoding:
        return decode()
    return await asyncio.to_thread(decode)


def _json_length(request: Request) -> int | None:
    value = request.headers.get(LENGTH_HEADER)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise InferenceRequestError(LENGTH_HEADER, "must be a number of bytes, found something else")
    return int(value)


def _body(asked: InferenceRequest, chosen: tuple[RequestedOutput, ...], answer: Judged | TracedText) -> ResponseBody:
    head: dict[str, object] = {
        "model_name": answer.model.name,
        "model_version": answer.model.version,
        "parameters": {"precision": answer.precision},
    }
    if asked.id is not None:
        head = {"id": asked.id, **head}
    tensors = output_tensors(answer, asked.shape)
    return encode_response(head, [(tensors[output.name], output.binary) for output in chosen])


def _response(body: ResponseBody, timing: str) -> Response:
    headers = {"Server-Timing": timing}
    if body.json_length is None:
        return Response(body.content, headers=headers, media_type="application/json")
    headers[LENGTH_HEADER] = str(body.json_length)
    return Response(body.content, headers=headers, media_type="application/octet-stream")
