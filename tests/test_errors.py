"""The tree of errors."""

import pytest

from charlstm.errors import (
    ArtifactError,
    CharLSTMError,
    DeviceError,
    EmptyTextError,
    InvalidCharacterError,
    MissingPackageError,
    TextError,
    TextTooLongError,
)


@pytest.mark.parametrize(
    "error",
    [
        EmptyTextError("character"),
        InvalidCharacterError("\0", 0),
        TextTooLongError(1, 2, "word"),
        ArtifactError("a", "b", "c"),
        DeviceError("d"),
        MissingPackageError("plotly"),
    ],
)
def test_one_except_clause_catches_everything(error: Exception) -> None:
    assert isinstance(error, CharLSTMError)


@pytest.mark.parametrize("kind", [EmptyTextError, InvalidCharacterError, TextTooLongError])
def test_a_bad_text_is_also_a_value_error(kind: type[Exception]) -> None:
    assert issubclass(kind, TextError)
    assert issubclass(kind, ValueError)


def test_an_artifact_error_names_file_expected_and_found() -> None:
    error = ArtifactError("model.safetensors", "float32", "float64")
    assert (error.file, error.expected, error.found) == ("model.safetensors", "float32", "float64")
    assert str(error) == "model.safetensors: expected float32, found float64"
