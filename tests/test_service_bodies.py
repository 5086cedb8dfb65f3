"""The short way of a route: what it takes and refuses is what FastAPI takes and refuses."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st

from service.bodies import DirectRoute, JsonRoute
from service.schemas import BatchRequest, PredictRequest
from tests.service_fixtures import Client


async def _inference(request: Request) -> object:
    return request.app.state.inference


_Model = Annotated[object, Depends(_inference)]


def _router(route: type[JsonRoute]) -> APIRouter:
    router = APIRouter(route_class=route)

    @router.post("/predict")
    async def predict(asked: PredictRequest, model: _Model) -> Response:
        return Response(f"{asked!r} {model}")

    @router.post("/predict/batch")
    async def predict_batch(asked: BatchRequest, model: _Model) -> Response:
        return Response(f"{asked!r} {model}")

    return router


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    app = FastAPI()
    app.state.inference = "the engine"
    app.include_router(_router(DirectRoute), prefix="/short")
    app.include_router(_router(JsonRoute), prefix="/long")
    with asyncio.Runner() as runner:
        yield Client(app, runner)


def _documents() -> st.SearchStrategy[object]:
    text = st.text(st.characters(exclude_categories=()))  # lone surrogates, too
    values = st.none() | st.booleans() | st.integers() | text | st.lists(text | st.integers(), max_size=3)
    return st.dictionaries(st.sampled_from(["text", "texts", "truncate", "other"]), values) | values


@given(document=_documents(), route=st.sampled_from(["/predict", "/predict/batch"]))
def test_both_ways_answer_any_document_alike(client: Client, document: object, route: str) -> None:
    body = json.dumps(document)
    short, long = (client.request("POST", way + route, body.encode()) for way in ("/short", "/long"))
    assert (short.status_code, short.text) == (long.status_code, long.text)


@given(
    body=st.binary(max_size=40) | st.sampled_from([b'{"text": NaN}', b'{"text": "a"} ', b'{"text": "a", "text": "b"}'])
)
def test_both_ways_answer_any_bytes_alike(client: Client, body: bytes) -> None:
    short, long = (client.request("POST", f"{way}/predict", body) for way in ("/short", "/long"))
    assert (short.status_code, short.text) == (long.status_code, long.text)


@pytest.mark.parametrize("media_type", ["application/json", "application/x+json; charset=utf-8", "text/plain", ""])
def test_both_ways_answer_any_media_type_alike(client: Client, media_type: str) -> None:
    headers = {"content-type": media_type}
    short, long = (client.request("POST", f"{way}/predict", b'{"text": "a"}', headers) for way in ("/short", "/long"))
    assert short.status_code == long.status_code == (200 if "json" in media_type else 500)


def test_a_valid_body_does_not_go_the_long_way(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the long way")

    monkeypatch.setattr("fastapi.routing.solve_dependencies", fail)
    asked = PredictRequest(text="a")
    assert client.post("/short/predict", {"text": "a"}).text == f"{asked!r} the engine"
    assert client.post("/long/predict", {"text": "a"}).status_code == 500
