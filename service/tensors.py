"""The codec of the Open Inference Protocol: the body of a request to texts, tensors to the body of an answer.

A body is JSON. With the binary tensor data extension the bytes of tensors may follow it, one tensor after the other,
little-endian and row-major; each BYTES element is its length in 4 bytes and then itself. Knows no HTTP and no model.

Sizes: N texts.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from service.body_errors import BodyTooLargeError
from service.errors import ContentEncodingError, InferenceRequestError, TooManyTextsError
from service.open_inference_schemas import Datatype

LENGTH_HEADER: Final = "Inference-Header-Content-Length"  # where the JSON ends and binary data begins
TEXT: Final = "text"  # the only input

_FIELD = f"tensor {TEXT}"
_LENGTH_SIZE = 4  # bytes of the length before each BYTES element

_Parsed = TypeVar("_Parsed")
Elements = Sequence[str] | NDArray[np.bool_] | NDArray[np.float32] | NDArray[np.int32]
_DATATYPES: Final[Mapping[str, Datatype]] = {"bool": "BOOL", "float32": "FP32", "int32": "INT32"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of an answer.

    Attributes:
        name: Its name.
        shape: Its shape; of strings, how many there are has to fit.
        elements: Strings in row-major order, or an array of that shape.
    """

    name: str
    shape: tuple[int, ...]
    elements: Elements

    @property
    def datatype(self) -> Datatype:
        """The protocol's name of the elements' type."""
        return _DATATYPES[self.elements.dtype.name] if isinstance(self.elements, np.ndarray) else "BYTES"


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """A tensor to answer with, and whether as binary data."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What a request asks.

    Attributes:
        id: What the answer has to repeat, if anything.
        texts: The N texts.
        shape: As they came: (N,) or (N, 1).
        outputs: What to answer with, each once; nothing stands for the default.
        binary: Whether the default is to come as binary data.
        truncate: Whether texts over the model's limit are cut instead of refused.
    """

    id: str | None
    texts: list[str]
    shape: tuple[int, ...]
    outputs: tuple[RequestedOutput, ...]
    binary: bool
    truncate: bool


@dataclass(frozen=True, slots=True)
class ResponseBody:
    """A body to answer with; `json_length` is where its JSON ends, or None if there is nothing else."""

    content: bytes
    json_length: int | None


# What the JSON of a request holds. Other fields may be there and mean nothing here.

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _InputParameters(msgspec.Struct):
    binary_data_size: _Count | None = None
    shared_memory_region: str | None = None


class _Input(msgspec.Struct):
    name: str
    shape: list[_Count]
    datatype: str
    data: msgspec.Raw = msgspec.Raw(b"null")  # what it has to be is said once it is known to be the right tensor
    parameters: _InputParameters | None = None


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: _OutputParameters | None = None


class _Parameters(msgspec.Struct):
    binary_data_output: bool = False
    truncate: bool = False


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None
    parameters: _Parameters | None = None


_decoder = msgspec.json.Decoder(_Request)
_data_decoder = msgspec.json.Decoder(list[str | list[str]] | None)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding: gzip, deflate, or none.

    Raises:
        ContentEncodingError: It is another one.
        BodyTooLargeError: There would be more than `limit` bytes; no more than that are unpacked.
        InferenceRequestError: The body is not encoded in this way.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "deflate"}:
        raise ContentEncodingError("gzip", "deflate")
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: either of the two, by their first bytes
    try:
        content = unpacking.decompress(body, limit + 1)
    except zlib.error:
        raise InferenceRequestError("body", f"must be {encoding}, as its Content-Encoding says") from None
    if len(content) > limit:
        raise BodyTooLargeError(limit)
    if not unpacking.eof or unpacking.unused_data:
        raise InferenceRequestError("body", f"must be {encoding} from its first to its last byte")
    return content


def decode_request(body: bytes, json_length: int | None, max_texts: int) -> InferenceRequest:
    """Read a request.

    Args:
        body: All of it.
        json_length: Where its JSON ends and binary data begins; None if it is all JSON.
        max_texts: The most texts that are taken; of more, none is read.

    Raises:
        InferenceRequestError: It is none, or not of one BYTES tensor `text` of shape [N] or [N, 1].
        TooManyTextsError: It holds more texts than that.
    """
    if json_length is not None and json_length > len(body):
        raise InferenceRequestError(LENGTH_HEADER, f"must be at most {len(body)}, as the body is, found {json_length}")
    request = _parse(body[:json_length], _decoder)
    tensor = _only_input(request.inputs)
    count = _count(tensor, max_texts)
    parameters = request.parameters or _Parameters()
    return InferenceRequest(
        id=request.id,
        texts=_texts(tensor, count, body[len(body) if json_length is None else json_length :]),
        shape=tuple(tensor.shape),
        outputs=_requested(request.outputs or [], binary=parameters.binary_data_output),
        binary=parameters.binary_data_output,
        truncate=parameters.truncate,
    )


def _parse(document: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_Parsed], field: str = "") -> _Parsed:
    try:
        return decoder.decode(document)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")  # names fields and types, never what stands there
        field = (field + where.strip("`").removeprefix("$")).removeprefix(".") or "body"
        raise InferenceRequestError(field, f"does not fit the protocol: {what}") from None
    except msgspec.DecodeError as error:
        raise InferenceRequestError("body", f"must begin with valid JSON, found a fault ({error})") from None
    except UnicodeDecodeError:
        raise InferenceRequestError("body", "must begin with JSON in UTF-8, found bytes that are none") from None
    except RecursionError:
        raise InferenceRequestError("body", "must begin with JSON that is nested less deeply") from None


def _only_input(inputs: Sequence[_Input]) -> _Input:
    if len(inputs) != 1:
        raise InferenceRequestError("inputs", f"must hold 1 tensor, {TEXT}, found {len(inputs)}")
    (tensor,) = inputs
    if tensor.name != TEXT:
        raise InferenceRequestError("inputs[0].name", f"must be {TEXT}, found another name")
    if tensor.datatype != "BYTES":
        raise InferenceRequestError(_FIELD, "must be of datatype BYTES, found another one")
    if tensor.parameters is not None and tensor.parameters.shared_memory_region is not None:
        raise InferenceRequestError(_FIELD, "must come in the body; shared memory is not supported")
    return tensor


def _count(tensor: _Input, max_texts: int) -> int:
    if len(tensor.shape) not in {1, 2} or tensor.shape[1:] not in ([], [1]):
        found = str(tensor.shape) if len(str(tensor.shape)) <= 40 else f"{len(tensor.shape)} dimensions"
        raise InferenceRequestError(_FIELD, f"must be of shape [N] or [N, 1], found {found}")
    count = tensor.shape[0]
    if count == 0:
        raise InferenceRequestError(_FIELD, "must hold at least 1 text, found none")
    if count > max_texts:
        raise TooManyTextsError(max_texts, count, _FIELD)
    return count


def _texts(tensor: _Input, count: int, binary: bytes) -> list[str]:
    """Read the tensor's elements from wherever they stand."""
    size = None if tensor.parameters is None else tensor.parameters.binary_data_size
    data = _parse(tensor.data, _data_decoder, "inputs[0].data")
    if (size is None) == (data is None):
        found = "neither" if size is None else "both"
        raise InferenceRequestError(_FIELD, f"must hold data, or else binary_data_size, found {found}")
    if len(binary) != (size or 0):
        reason = (
            f"must be followed by {size or 0} bytes of binary data, found {len(binary)}; {LENGTH_HEADER} parts them"
        )
        raise InferenceRequestError(_FIELD, reason)
    if data is None:
        return unpack_texts(binary, count)
    texts = [text for row in data for text in ([row] if isinstance(row, str) else row)]
    if len(texts) != count:
        raise InferenceRequestError(_FIELD, f"must hold {count} texts, as its shape says, found {len(texts)}")
    return texts


def _requested(outputs: Sequence[_Output], *, binary: bool) -> tuple[RequestedOutput, ...]:
    if len({output.name for output in outputs}) != len(outputs):
        raise InferenceRequestError("outputs", "must name each tensor once, found one twice")
    for index, output in enumerate(outputs):
        for name in ("classification", "shared_memory_region"):
            if getattr(output.parameters, name, None) is not None:
                raise InferenceRequestError(f"outputs[{index}].parameters.{name}", "is not supported")
    chosen = [None if output.parameters is None else output.parameters.binary_data for output in outputs]
    return tuple(
        RequestedOutput(output.name, binary if choice is None else choice)
        for output, choice in zip(outputs, chosen, strict=True)
    )


def unpack_texts(data: bytes, count: int) -> list[str]:
    """Read the elements of a BYTES tensor of so many texts.

    Raises:
        InferenceRequestError: There are fewer, there is more, or one is no UTF-8.
    """
    texts: list[str] = []
    start = 0
    for index in range(count):
        begin = start + _LENGTH_SIZE
        end = begin + int.from_bytes(data[start:begin], "little")
        if max(begin, end) > len(data):
            reason = f"must hold {count} texts, as its shape says, found its binary data to end within element {index}"
            raise InferenceRequestError(_FIELD, reason)
        try:
            texts.append(data[begin:end].decode())
        except UnicodeDecodeError:
            raise InferenceRequestError(
                _FIELD, f"must be UTF-8, found bytes that are none in element {index}"
            ) from None
        start = end
    if start != len(data):
        reason = f"must hold {count} texts, as its shape says, found {len(data) - start} bytes after them"
        raise InferenceRequestError(_FIELD, reason)
    return texts


def pack_texts(texts: Iterable[str]) -> bytes:
    """Write the elements of a BYTES tensor."""
    elements = (text.encode() for text in texts)
    return b"".join(part for element in elements for part in (len(element).to_bytes(_LENGTH_SIZE, "little"), element))


def encode_response(head: Mapping[str, object], tensors: Sequence[tuple[Tensor, bool]]) -> ResponseBody:
    """Write an answer.

    Args:
        head: What it says beside its tensors.
        tensors: Each with whether it is to be binary data.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for tensor, binary in tensors:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if binary:
            blob = _pack(tensor.elements)
            blobs.append(blob)
            output["parameters"] = {"binary_data_size": len(blob)}
        else:
            output["data"] = _written(tensor.elements)
        outputs.append(output)
    document = orjson.dumps({**head, "outputs": outputs})
    return ResponseBody(b"".join([document, *blobs]), len(document) if blobs else None)


def _written(elements: Elements) -> orjson.Fragment:
    """Write elements as JSON, one tensor at a time: while it writes, orjson keeps the interpreter to itself."""
    flat = elements.ravel() if isinstance(elements, np.ndarray) else elements
    return orjson.Fragment(orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY))


def _pack(elements: Elements) -> bytes:
    if not isinstance(elements, np.ndarray):
        return pack_texts(elements)
    return elements.astype(elements.dtype.newbyteorder("<"), copy=False).tobytes()
