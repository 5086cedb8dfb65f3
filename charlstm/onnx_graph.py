"""An ONNX graph that is put together operator by operator. Needs the extra `onnx`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from charlstm.errors import MissingPackageError

try:
    import onnx
except ModuleNotFoundError as error:
    raise MissingPackageError("onnx", "onnx") from error

_OPSET, _IR_VERSION = 17, 8  # of 2022, so that runtimes need not be new
_NUMBERS: Final = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.int64): onnx.TensorProto.INT64}

Shape = Sequence[int | str]  # a name is of any size


class Graph:
    """Inputs, operators, constants and outputs; each value is known by a name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def take(self, name: str, shape: Shape, meaning: str) -> str:
        """Declare an input of int64, and return its name."""
        self._inputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape, meaning))
        return name

    def give(self, name: str, shape: Shape, meaning: str) -> None:
        """Declare that the float32 value of this name comes out."""
        self._outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape, meaning))

    def constant(self, values: ArrayLike) -> str:
        """Keep float32 or int64 numbers, and return their name."""
        array, name = np.asarray(values), f"constant_{len(self._constants)}"
        kept = onnx.helper.make_tensor(name, _NUMBERS[array.dtype], array.shape, array.tobytes(), raw=True)
        self._constants.append(kept)
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator of one output, and return the output's name."""
        name = f"{operator}_{len(self._nodes)}"
        output = output or name
        self._nodes.append(onnx.helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def split(self, value: str, parts: int) -> list[str]:
        """Divide a value into equal parts along its last axis, and return their names."""
        name = f"Split_{len(self._nodes)}"
        outputs = [f"{name}_{part}" for part in range(parts)]
        self._nodes.append(onnx.helper.make_node("Split", [value], outputs, name, axis=-1))
        return outputs

    def recurrence(self, start: str, keep: str, add: str) -> str:
        """Compute c_t = keep_t * c_(t-1) + add_t from c_0 = `start`, of a step's shape; return the name of all c_t."""
        step = onnx.helper.make_graph(
            [
                onnx.helper.make_node("Mul", ["keep", "before"], ["kept"]),
                onnx.helper.make_node("Add", ["kept", "add"], ["after"]),
                onnx.helper.make_node("Identity", ["after"], ["shown"]),
            ],
            "step",
            [_float_of_any_shape(name) for name in ("before", "keep", "add")],
            [_float_of_any_shape(name) for name in ("after", "shown")],
        )
        name = f"Scan_{len(self._nodes)}"
        outputs = [f"{name}_last", f"{name}_all"]
        scan = onnx.helper.make_node("Scan", [start, keep, add], outputs, name, body=step, num_scan_inputs=2)
        self._nodes.append(scan)
        return outputs[1]

    def to_model(self, name: str, meaning: str, version: str, metadata: Mapping[str, str]) -> bytes:
        """Make a checked ONNX model of it, as it stands in a file.

        Args:
            name: What to call it.
            meaning: What it does, for people.
            version: Of this package.
            metadata: What else programs should know.
        """
        graph = onnx.helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="charlstm",
            producer_version=version,
            doc_string=meaning,
        )
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        document: bytes = model.SerializeToString(deterministic=True)
        return document


def _float_of_any_shape(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
