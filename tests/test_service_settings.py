"""The settings: where they come from and what they refuse."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import ENV_PREFIX, Settings


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_environment_wins_over_defaults_and_arguments_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLSTM_PORT", "9000")
    monkeypatch.setenv("CHARLSTM_ARTIFACTS", "elsewhere")
    settings = Settings(port=9001)
    assert (settings.port, settings.artifacts) == (9001, Path("elsewhere"))


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLSTM_THREADS", "")
    assert Settings().threads is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "70000"),
        ("threads", "0"),
        ("max_texts", "none"),
        ("log_level", "loud"),
        ("root_path", "api/"),
        ("allowed_origins", "example.com"),
        ("allowed_origins", "https://example.com/"),
    ],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"{ENV_PREFIX}{name.upper()}", value)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]  # that it cannot is the point
