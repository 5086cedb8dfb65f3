"""What the Open Inference Protocol answers, field by field; binary tensor data beside it is not modelled."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Datatype = Literal["BYTES", "BOOL", "FP32", "INT32"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class InferenceError(_Answer):
    """Why there is no other answer."""

    error: str = Field(
        description="What happened, in one sentence; no text of the request is repeated.",
        examples=["text[3] must be at most 280 characters long, found 301"],
    )


class ServerLive(_Answer):
    """The answer to the liveness probe."""

    live: Literal[True] = True


class ServerReady(_Answer):
    """The answer to the readiness probe."""

    ready: Literal[True] = True


class ModelReady(_Answer):
    """The answer to a model's readiness probe."""

    name: str = Field(examples=["default"])
    ready: Literal[True] = True


class ServerMetadata(_Answer):
    """Who answers."""

    name: Literal["charlstm"] = "charlstm"
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data"]])


class TensorMetadata(_Answer):
    """A tensor that goes in or comes out."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1 is any size.")


class ModelMetadata(_Answer):
    """The model: its name, its version, what it takes and what it can be asked for."""

    name: str = Field(examples=["default"])
    versions: list[str] = Field(examples=[["0f3a9c41d2e7"]])
    platform: Literal["pytorch_safetensors"] = "pytorch_safetensors"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata] = Field(
        description="The first two come by default, the others when asked for by name: `truncated`, and of a single "
        "text its memory trace."
    )


class OutputTensor(TensorMetadata):
    """A tensor of the answer."""

    data: list[str] | list[bool] | list[float] | list[int] | None = Field(
        default=None, description="Its elements in row-major order; absent where they follow as binary data."
    )
    parameters: dict[str, int] | None = Field(default=None, description="`binary_data_size` where they do.")


class InferenceResponse(_Answer):
    """The tensors that were asked for."""

    id: str | None = Field(default=None, description="As in the request.")
    model_name: str
    model_version: str
    parameters: dict[str, str] = Field(description="`precision`: the arithmetic of this answer; a trace is float32.")
    outputs: list[OutputTensor]


REQUEST: Final = {"$ref": "#/components/schemas/InferenceRequest"}
"""What is posted, for the OpenAPI document: it is read by `tensors`, and by no record."""

REQUEST_SCHEMAS: Final[dict[str, Any]] = {
    "InferenceRequest": {
        "title": "InferenceRequest",
        "description": "The texts to judge, and what to answer with.",
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Comes back in the answer."},
            "inputs": {
                "type": "array",
                "description": "One tensor `text` of datatype BYTES and shape [N] or [N, 1]: the texts.",
                "minItems": 1,
                "maxItems": 1,
                "items": {"$ref": "#/components/schemas/InputTensor"},
            },
            "outputs": {
                "type": "array",
                "description": "The tensors to answer with, by the names that the model's metadata lists.",
                "items": {"$ref": "#/components/schemas/RequestedOutput"},
            },
            "parameters": {"$ref": "#/components/schemas/InferenceParameters"},
        },
    },
    "InputTensor": {
        "title": "InputTensor",
        "description": "A tensor that goes in.",
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
            "data": {"type": "array", "items": {"type": "string"}},
            "parameters": {"$ref": "#/components/schemas/InputParameters"},
        },
    },
    "InputParameters": {
        "title": "InputParameters",
        "description": "Where the tensor is, if not in `data`.",
        "type": "object",
        "properties": {"binary_data_size": {"type": "integer", "description": "How many bytes of it follow the JSON."}},
    },
    "RequestedOutput": {
        "title": "RequestedOutput",
        "description": "A tensor to answer with.",
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "parameters": {"$ref": "#/components/schemas/OutputParameters"},
        },
    },
    "OutputParameters": {
        "title": "OutputParameters",
        "description": "How it comes.",
        "type": "object",
        "properties": {"binary_data": {"type": "boolean", "description": "Whether behind the JSON, as bytes."}},
    },
    "InferenceParameters": {
        "title": "InferenceParameters",
        "description": "What holds for the whole request.",
        "type": "object",
        "properties": {
            "truncate": {"type": "boolean", "description": "Whether texts over the model's limit are cut."},
            "binary_data_output": {"type": "boolean", "description": "Whether outputs are binary by default."},
        },
    },
}
"""Its parts, by their names in the document."""
