"""A memory trace as it comes from the service: NumPy arrays, from the npz form of `/gates`.

Sizes: T steps and U units of those that were asked for.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from charlstm.attribution import Attribution
from charlstm.clamp import RANGES, SignalName
from charlstm.glossary import GATES
from charlstm.readout import FloatArray
from charlstm.summary import GateSummary, SignalSummary
from charlstm.trace import GateTrace, LayerTrace, Prediction
from service.client.errors import UnexpectedAnswerError
from service.client.reading import read_record
from service.gates_schemas import About, WhatIf
from service.schemas import PredictResponse

_ALWAYS = ("metadata", "tokens", "token_ids", "offsets", "probability_so_far")
_LAYER = re.compile(r"layer_(\d+)\.units")


class GatesMetadata(PredictResponse):
    """What of the answer is no array."""

    text: str
    about: About
    what_if: WhatIf | None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Gates:
    """The sentiment of a text, and the memory it comes from, as far as it was asked for.

    Attributes:
        prediction: As `/predict` says it.
        text: As far as it was read.
        about: How to read the numbers.
        what_if: What was otherwise; None if nothing was.
        arrays: Every array by its name in the npz form, such as `layer_0.cell_state` and `contributions.units`.
    """

    prediction: PredictResponse
    text: str
    about: About
    what_if: WhatIf | None
    arrays: Mapping[str, NDArray[Any]]

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Read the npz form.

        Raises:
            UnexpectedAnswerError: It is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays: dict[str, NDArray[Any]] = dict(file)
        except Exception as error:  # a damaged zip file raises whatever its bytes spell: KeyError, zlib.error, ...
            raise UnexpectedAnswerError(f"must be the npz form of a trace, found none ({error})") from error
        if missing := [name for name in _ALWAYS if name not in arrays]:
            raise UnexpectedAnswerError(f"must be the npz form of a trace, found one without {missing[0]}")
        metadata = read_record(GatesMetadata, str(arrays.pop("metadata")))
        prediction = PredictResponse.model_construct(
            **{name: getattr(metadata, name) for name in PredictResponse.model_fields}
        )
        return cls(prediction, metadata.text, metadata.about, metadata.what_if, arrays)

    def __repr__(self) -> str:
        """Say in one line what came out, and how large it is; not the text."""
        said = f"label={self.prediction.label!r}, probability={self.prediction.probability:.4f}"
        return f"{type(self).__name__}({said}, steps={len(self.token_ids)}, layers={list(self.layers)})"

    @property
    def tokens(self) -> list[str]:
        """The tokens as the model saw them, those of all steps, whichever were chosen."""
        tokens: list[str] = self.arrays["tokens"].tolist()
        return tokens

    @property
    def token_ids(self) -> NDArray[np.integer[Any]]:
        """Their indices in the vocabulary."""
        return self.arrays["token_ids"]

    @property
    def offsets(self) -> NDArray[np.integer[Any]]:
        """Where each of them starts in the text, in code points; -1 for a step of padding."""
        return self.arrays["offsets"]

    @property
    def probability_so_far(self) -> FloatArray:
        """P(negative) if the text ended after each step."""
        return self.arrays["probability_so_far"]

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the chosen layers, in the order that they were asked for in."""
        found = (_LAYER.fullmatch(name) for name in self.arrays)
        return tuple(int(match[1]) for match in found if match)

    def units(self, layer: int = -1) -> NDArray[np.integer[Any]]:
        """Return the (U,) numbers of the chosen units of a layer; for `layer` see `signal`."""
        return self._array("units", layer)

    def steps(self, layer: int = -1) -> NDArray[np.integer[Any]]:
        """Return the (T,) numbers of the chosen steps."""
        return self._array("steps", layer)

    def signal(self, name: SignalName, layer: int = -1) -> FloatArray:
        """Return the values of a signal, (T, U).

        Args:
            name: Which.
            layer: The layer's number, from 0 at the bottom; if negative, counted from the end of the chosen ones.

        Raises:
            ValueError: It was not asked for, or only its summary was.
            IndexError: That layer was not asked for.
        """
        return self._array(name, layer)

    def summary(self, name: SignalName, layer: int = -1) -> SignalSummary | GateSummary:
        """Return a signal in few numbers a step, (T,) each, if `detail` was `summary`; all else as in `signal`."""
        record = GateSummary if name in GATES else SignalSummary
        return record(*(self._array(f"{name}.{field}", layer) for field in record._fields))

    def half_life(self, layer: int = -1) -> FloatArray:
        """Return the (T,) steps after which half of the memory would be left; everything else as in `summary`."""
        return self._array("half_life", layer)

    def _array(self, name: str, layer: int) -> NDArray[Any]:
        layers = self.layers
        number = layers[layer] if -len(layers) <= layer < 0 else layer
        if number not in layers:
            raise IndexError(f"layer must be one of {list(layers)}, found {layer}")
        found = self.arrays.get(f"layer_{number}.{name}")
        if found is None:
            raise ValueError(f"{name} is not in this answer, which was asked for otherwise")
        return found


def read_trace(content: bytes) -> GateTrace:
    """Read the npz form of a whole trace, as a model in this process would have given it.

    Raises:
        UnexpectedAnswerError: It is something else.
    """
    gates = Gates.read(content)
    said, arrays = gates.prediction, gates.arrays
    try:
        layers = tuple(LayerTrace(**{name: gates.signal(name, layer) for name in RANGES}) for layer in gates.layers)
        attribution = Attribution(
            logit=float(arrays["contributions.logit"]),
            bias=float(arrays["contributions.bias"]),
            initial=float(arrays["contributions.initial"]),
            steps=arrays["contributions.steps"],
            units=arrays["contributions.units"],
        )
    except (KeyError, ValueError) as error:
        raise UnexpectedAnswerError(f"must be a whole trace, found one in which {error}") from None
    return GateTrace(
        prediction=Prediction(said.probabilities.negative, said.characters, said.unknown_characters, said.truncated),
        text=gates.text,
        tokens=tuple(gates.tokens),
        token_ids=tuple(gates.token_ids.tolist()),
        offsets=tuple(None if offset < 0 else offset for offset in gates.offsets.tolist()),
        layers=layers,
        probability_so_far=gates.probability_so_far,
        attribution=attribution,
    )
