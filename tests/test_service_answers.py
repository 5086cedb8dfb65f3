"""What answers say of themselves."""

from dataclasses import replace
from pathlib import Path

from tests.service_fixtures import Client, serving_model


def _precision(client: Client, path: str, **asked: object) -> str:
    answer = client.post(path, asked).json()
    found: str = (answer.get("predictions") or [answer])[0]["model"]["precision"]
    return found


def test_an_answer_names_the_arithmetic_that_it_comes_from(tiny_directory: Path, tmp_path: Path) -> None:
    """A prediction is of the model's precision; a trace, and what is told of it, is float32 in any case."""
    path = tmp_path / "engine.sock"
    with serving_model(tiny_directory, path) as client:
        connection = client.app.state.inference._connection
        connection.model = replace(connection.model, precision="bfloat16")
        assert client.get("/info").json()["model"]["precision"] == "bfloat16"
        assert _precision(client, "/predict", text="Worst") == "bfloat16"
        assert _precision(client, "/predict/batch", texts=["Worst"]) == "bfloat16"
        assert _precision(client, "/gates/occlusion", text="so much") == "bfloat16"
        assert _precision(client, "/gates", text="Worst") == "float32"
        compared = client.post("/gates/compare", {"first": "a", "second": "b"}).json()
        assert compared["second"]["model"]["precision"] == "float32"
