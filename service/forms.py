"""The forms that a trace can be had in: JSON, NumPy's npz, and a page of HTML.

Every form says by itself what its numbers are: axes, units of measure, labels, and the version of the model.

The longest text that the committed model reads, 1,000 characters, is written as npz in 10 to 15 ms, as JSON in a tenth
of a second and as HTML in two; gzip takes several tenths more.
"""

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from charlstm.trace import SIGNALS
from service.accept import accepts_gzip, best_of
from service.answers import model_name
from service.errors import NotAcceptableError
from service.gates_answers import Document, gates_document
from service.gates_schemas import GatesRequest
from service.results import TracedText

JSON: Final = "application/json"
NPZ: Final = "application/x-npz"
COMPRESSED_NPZ: Final = f"{NPZ};compression=deflate"
HTML: Final = "text/html"
MEDIA_TYPES: Final = (JSON, NPZ, COMPRESSED_NPZ, HTML)

_ARRAYS: Final = ("tokens", "token_ids", "offsets", "probability_so_far", "contributions")
_NO_OFFSET: Final = -1  # in an array of offsets, for a step of padding
_WORTH_COMPRESSING: Final = {JSON, HTML}  # on the way; it would save 9 % of an npz and take twenty times as long
_LEAST_COMPRESSED: Final = 1024  # bytes
_LEVEL: Final = 1  # of gzip: the higher ones take several times as long for a few percent


class Form(NamedTuple):
    """How to write an answer.

    Attributes:
        media_type: What comes out.
        gzipped: Whether that is compressed on the way.
    """

    media_type: str
    gzipped: bool

    @classmethod
    def accepted(cls, media_types: Sequence[str], codings: Sequence[str]) -> "Form":
        """Choose by the values of the headers `Accept` and `Accept-Encoding`.

        Raises:
            NotAcceptableError: There is none of the media types.
        """
        media_type = best_of(MEDIA_TYPES, media_types)
        if media_type is None:
            raise NotAcceptableError(MEDIA_TYPES)
        return cls(media_type, media_type in _WORTH_COMPRESSING and accepts_gzip(codings))

    def write(self, traced: TracedText, asked: GatesRequest) -> "Written":
        """Write an answer to a question. Takes a good part of a second for a long text: not for the event loop.

        Raises:
            InvalidFieldError: The trace has not what is asked for.
        """
        content = self._content(traced, asked)
        content_type = f"{HTML}; charset=utf-8" if self.media_type == HTML else self.media_type
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if self.gzipped and len(content) >= _LEAST_COMPRESSED:
            content = gzip.compress(content, _LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Written(content, headers)

    def _content(self, traced: TracedText, asked: GatesRequest) -> bytes:
        trace, model = traced.trace(), model_name(traced)
        document = gates_document(trace, model, asked, asked.what_if)
        if self.media_type == JSON:
            return to_json(document, asked.precision)
        if self.media_type == HTML:  # it shows everything, but what there is not can't be asked for here either
            from charlstm.views import to_html  # noqa: PLC0415  megabytes that a worker may never need

            held = [clamp.to_clamp() for clamp in asked.clamps]
            return to_html(trace, f"{model.name} {model.version}", traced.left_out, held).encode()
        return to_npz(document, compressed=self.media_type == COMPRESSED_NPZ)


class Written(NamedTuple):
    """The body of an answer, and the headers that describe it."""

    content: bytes
    headers: dict[str, str]


def to_json(document: Document, precision: int | None = None) -> bytes:
    """Write a document as JSON, `layers` and `contributions`, if they are there, in so many decimal digits."""
    if "layers" in document:
        document = document | {"layers": [_in_pieces(layer, precision) for layer in document["layers"]]}
    if precision is not None and document.get("contributions") is not None:
        document = document | {"contributions": _rounded(document["contributions"], precision)}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def to_npz(document: Document, *, compressed: bool = False) -> bytes:
    """Write a document as NumPy's npz: arrays by name, and whatever is none of them as JSON in `metadata`.

    An array is called what leads to it in the document, such as `contributions.units` and `layer_0.cell_state`; it
    says -1 for an offset that there is not, and infinity for a half-life that never ends. No array is pickled.
    """
    arrays = dict(_arrays({name: document[name] for name in _ARRAYS}))
    for layer in document["layers"]:
        arrays |= _arrays({name: value for name, value in layer.items() if name != "layer"}, f"layer_{layer['layer']}.")
    metadata = {name: value for name, value in document.items() if name not in {*_ARRAYS, "layers"}}
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, allow_pickle=False, metadata=np.array(json.dumps(metadata, ensure_ascii=False)), **arrays)
    return buffer.getvalue()


def _in_pieces(layer: Document, precision: int | None) -> Document:
    """Write one layer, a signal at a time: orjson keeps the interpreter to itself while it writes."""
    values = {name: value for name, value in layer.items() if name in SIGNALS or name == "half_life"}
    return layer | {
        name: orjson.Fragment(orjson.dumps(_rounded(value, precision), option=orjson.OPT_SERIALIZE_NUMPY))
        for name, value in values.items()
    }


def _rounded(value: Any, precision: int | None) -> Any:
    """Round an array, a number, or each of those in an object; orjson wants arrays in the order of C."""
    if isinstance(value, dict):
        return {name: _rounded(part, precision) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part, precision) for part in value]
    if isinstance(value, float):
        return value if precision is None else round(value, precision)
    if not isinstance(value, np.ndarray):
        return value
    return np.ascontiguousarray(value if precision is None else np.round(value, precision))


def _arrays(document: Document, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Walk through a document, and give each array that it holds under the names that lead to it."""
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _arrays(value, f"{path}.")
        elif name == "words":
            yield from _arrays({column: [word[column] for word in value] for column in value[0]}, f"{path}.")
        elif name == "offsets":
            yield path, np.array([_NO_OFFSET if offset is None else offset for offset in value])
        else:
            yield path, np.asarray(value)
