"""The codec of the Open Inference Protocol, held against Triton's own client."""

import contextlib
import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferInput, InferResult
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from service.body_errors import BodyTooLargeError
from service.errors import ContentEncodingError, InferenceRequestError, TooManyTextsError
from service.tensors import Tensor, decode_request, decompress, encode_response, pack_texts, unpack_texts

MOST_TEXTS = 8
LIMIT = 1000

unicode_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
text_lists = st.lists(unicode_texts, min_size=1, max_size=MOST_TEXTS)


def document(**changes: Any) -> dict[str, Any]:
    """Describe a sound request for one text, with another thing in its tensor."""
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["secret"]} | changes]}


def decode(found: Any, binary: bytes | None = None) -> Any:
    head = found if isinstance(found, bytes) else json.dumps(found).encode()
    return decode_request(head + (binary or b""), None if binary is None else len(head), MOST_TEXTS)


def binary_document(size: int, **changes: Any) -> dict[str, Any]:
    return document(data=None, parameters={"binary_data_size": size}, **changes)


@given(text_lists)
def test_packed_texts_come_back_and_are_what_triton_writes_and_reads(texts: list[str]) -> None:
    packed = pack_texts(texts)
    assert unpack_texts(packed, len(texts)) == texts
    assert packed == serialize_byte_tensor(np.array(texts, dtype=object)).item()
    assert deserialize_bytes_tensor(packed).tolist() == [text.encode() for text in texts]


@given(texts=text_lists, column=st.booleans(), binary=st.booleans())
def test_a_tensor_that_triton_writes_is_read_as_it_was_meant(texts: list[str], *, column: bool, binary: bool) -> None:
    """Any texts, either shape, as JSON and as binary data."""
    shape = [len(texts), 1] if column else [len(texts)]
    tensor = InferInput("text", shape, "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(shape), binary_data=binary)
    request = decode({"inputs": [tensor._get_tensor()], "id": "7"}, tensor._get_binary_data())
    assert (request.texts, request.shape, request.id) == (texts, tuple(shape), "7")
    assert (request.outputs, request.binary, request.truncate) == ((), False, False)


@given(st.binary(max_size=300), st.none() | st.integers(0, 400))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(body: bytes, json_length: int | None) -> None:
    with pytest.raises(InferenceRequestError):
        decode_request(body, json_length, MOST_TEXTS)


@given(texts=text_lists, data=st.data())
def test_a_damaged_request_is_read_or_refused_and_nothing_else_happens(texts: list[str], data: st.DataObject) -> None:
    packed = pack_texts(texts)
    head = json.dumps(binary_document(len(packed), shape=[len(texts)])).encode()
    body = bytearray(head + packed)
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=4)):
        body[place] = byte
    with contextlib.suppress(InferenceRequestError, TooManyTextsError):
        decode_request(bytes(body), len(head), MOST_TEXTS)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
    json_values,
    st.sampled_from(["id", "outputs", "parameters", "other"]),
    json_values,
)
def test_any_json_in_any_place_is_read_or_refused_and_nothing_else_happens(
    field: str, value: Any, beside: str, other: Any
) -> None:
    with contextlib.suppress(InferenceRequestError, TooManyTextsError):
        decode(document(**{field: value}) | {beside: other})


@given(st.binary(max_size=100), st.integers(0, 10))
def test_arbitrary_binary_data_is_read_or_refused_and_nothing_else_happens(data: bytes, count: int) -> None:
    with contextlib.suppress(InferenceRequestError):
        assert pack_texts(unpack_texts(data, count)) == data


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (b"", "body must begin with valid JSON, found a fault"),
        (b'{"id": "\xff"}', "body must begin with JSON in UTF-8, found bytes that are none"),
        (b'{"x": ' + b"[" * 100_000, "body must begin with JSON that is nested less deeply"),
        ([], "body does not fit the protocol: Expected `object`, got `array`"),
        ({}, "body does not fit the protocol: Object missing required field `inputs`"),
        ({"inputs": []}, "inputs must hold 1 tensor, text, found 0"),
        ({"inputs": document()["inputs"] * 2}, "inputs must hold 1 tensor, text, found 2"),
        (document(name="secret"), "inputs[0].name must be text, found another name"),
        (document(name=7), "inputs[0].name does not fit the protocol: Expected `str`, got `int`"),
        (document(datatype="FP32"), "tensor text must be of datatype BYTES, found another one"),
        (document(shape=[]), "tensor text must be of shape [N] or [N, 1], found []"),
        (document(shape=[1, 2]), "tensor text must be of shape [N] or [N, 1], found [1, 2]"),
        (document(shape=[1] * 100), "tensor text must be of shape [N] or [N, 1], found 100 dimensions"),
        (document(shape=[-1]), "inputs[0].shape[0] does not fit the protocol: Expected `int` >= 0"),
        (document(shape=[0], data=[]), "tensor text must hold at least 1 text, found none"),
        (document(shape=[2]), "tensor text must hold 2 texts, as its shape says, found 1"),
        (document(data=[1]), "inputs[0].data[0] does not fit the protocol: Expected `str | array`, got `int`"),
        (document(data=None), "tensor text must hold data, or else binary_data_size, found neither"),
        (
            document(parameters={"binary_data_size": 4}),
            "tensor text must hold data, or else binary_data_size, found both",
        ),
        (
            document(parameters={"shared_memory_region": "secret"}),
            "tensor text must come in the body; shared memory is not supported",
        ),
        (
            binary_document(9),
            "tensor text must be followed by 9 bytes of binary data, found 0; Inference-Header-Content-Length parts",
        ),
        (
            document() | {"outputs": [{"name": "label"}, {"name": "label"}]},
            "outputs must name each tensor once, found one twice",
        ),
        (
            {"inputs": [{"name": "image", "shape": [1], "datatype": "FP32", "data": [1.5]}]},
            "inputs[0].name must be text, found another name",
        ),
        (
            {"inputs": [{"name": "text", "shape": [1], "datatype": "FP32", "data": [1.5]}]},
            "tensor text must be of datatype BYTES, found another one",
        ),
        (
            document() | {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            "outputs[0].parameters.classification is not supported",
        ),
        (
            document() | {"parameters": {"truncate": "secret"}},
            "parameters.truncate does not fit the protocol: Expected `bool`, got `str`",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_repeats_no_text(found: Any, message: str) -> None:
    with pytest.raises(InferenceRequestError) as caught:
        decode(found)
    assert f"{caught.value.field} {caught.value}".startswith(message)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("binary", "message"),
    [
        (b"", "must hold 2 texts, as its shape says, found its binary data to end within element 0"),
        (b"\x01\0", "must hold 2 texts, as its shape says, found its binary data to end within element 0"),
        (
            b"\x01\0\0\0a\x09\0\0\0b",
            "must hold 2 texts, as its shape says, found its binary data to end within element 1",
        ),
        (b"\x01\0\0\0a\x01\0\0\0bcd", "must hold 2 texts, as its shape says, found 2 bytes after them"),
        (b"\x01\0\0\0a\x01\0\0\0\xff", "must be UTF-8, found bytes that are none in element 1"),
    ],
)
def test_a_refusal_of_binary_data_says_where_it_is_wrong(binary: bytes, message: str) -> None:
    with pytest.raises(InferenceRequestError) as caught:
        decode(binary_document(len(binary), shape=[2]), binary)
    assert (caught.value.field, str(caught.value)) == ("tensor text", message)


def test_binary_data_that_nothing_announces_is_refused() -> None:
    with pytest.raises(InferenceRequestError, match="followed by 0 bytes of binary data, found 3"):
        decode(document(), b"abc")


def test_json_cannot_end_after_the_body() -> None:
    with pytest.raises(InferenceRequestError, match="must be at most 2, as the body is, found 3"):
        decode_request(b"{}", 3, MOST_TEXTS)


def test_too_many_texts_are_refused_before_any_is_read() -> None:
    with pytest.raises(TooManyTextsError, match="at most 8 texts, found 9") as caught:
        decode(document(shape=[9]))
    assert caught.value.field == "tensor text"


def test_nested_data_is_read_row_by_row() -> None:
    assert decode(document(shape=[2, 1], data=[["a"], ["b"]])).texts == ["a", "b"]


def test_each_output_is_binary_if_it_says_so_or_else_if_the_request_does() -> None:
    outputs = [
        {"name": "a"},
        {"name": "b", "parameters": {"binary_data": False}},
        {"name": "c", "parameters": {"binary_data": True}},
    ]
    found = [
        decode(document() | {"outputs": outputs, "parameters": {"binary_data_output": on}}) for on in (True, False)
    ]
    assert [[output.binary for output in request.outputs] for request in found] == [
        [True, False, True],
        [False, False, True],
    ]
    assert [request.binary for request in found] == [True, False]


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6), text_lists, st.data()
)
def test_what_is_written_is_what_triton_reads(numbers: list[float], texts: list[str], data: st.DataObject) -> None:
    """Arrays come back bit by bit and texts byte by byte, as JSON and as binary data, in any mixture."""
    tensors = [
        Tensor("numbers", (2, 3), np.array(numbers, np.float32).reshape(2, 3)),
        Tensor("texts", (len(texts), 1), texts),
        Tensor("ids", (3,), np.array([1, -1, 2**31 - 1], np.int32)),
    ]
    binary = data.draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    body = encode_response({"id": "7"}, list(zip(tensors, binary, strict=True)))
    assert (body.json_length is None) == (not any(binary))
    read = InferResult.from_response_body(body.content, header_length=body.json_length)
    assert read.get_response()["id"] == "7"
    np.testing.assert_array_equal(read.as_numpy("numbers"), tensors[0].elements, strict=True)
    np.testing.assert_array_equal(read.as_numpy("ids"), tensors[2].elements, strict=True)
    found = [text.decode() if isinstance(text, bytes) else text for text in read.as_numpy("texts").ravel()]
    assert (found, read.as_numpy("texts").shape) == (texts, (len(texts), 1))


def test_an_array_that_is_a_view_is_written_in_row_major_order() -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3).T
    for binary in (True, False):
        body = encode_response({}, [(Tensor("numbers", (3, 2), numbers), binary)])
        read = InferResult.from_response_body(body.content, header_length=body.json_length)
        np.testing.assert_array_equal(read.as_numpy("numbers"), numbers)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("", b"abc"), ("identity", b"abc"), ("gzip", gzip.compress(b"abc", mtime=0)), ("deflate", zlib.compress(b"abc"))],
)
def test_a_compressed_body_is_unpacked(encoding: str, packed: bytes) -> None:
    assert decompress(packed, encoding, LIMIT) == b"abc"


def test_a_compression_that_is_not_known_is_named_as_such() -> None:
    with pytest.raises(ContentEncodingError, match="must be gzip, deflate or absent"):
        decompress(b"", "br", LIMIT)


def test_a_body_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    assert len(decompress(gzip.compress(bytes(LIMIT)), "gzip", LIMIT)) == LIMIT
    with pytest.raises(BodyTooLargeError):
        decompress(gzip.compress(bytes(LIMIT + 1)), "gzip", LIMIT)


@pytest.mark.parametrize(
    "packed", [b"", b"abc", gzip.compress(b"abc", mtime=0)[:-1], gzip.compress(b"abc", mtime=0) + b"d"]
)
def test_a_body_that_is_not_compressed_as_it_says_is_refused(packed: bytes) -> None:
    with pytest.raises(InferenceRequestError, match="must be gzip"):
        decompress(packed, "gzip", LIMIT)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate"]))
def test_arbitrary_bytes_are_unpacked_or_refused_and_nothing_else_happens(body: bytes, encoding: str) -> None:
    with contextlib.suppress(InferenceRequestError, BodyTooLargeError):
        decompress(body, encoding, LIMIT)
