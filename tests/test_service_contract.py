"""The OpenAPI document: what it promises to generated clients, and that its examples are true."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
from jsonschema import Draft202012Validator

from charlstm.atlas import save_atlas
from service.app import create_app
from service.contract import operations
from service.examples import Example, load_examples
from service.problems import KINDS_BY_NAME, problem_of
from service.settings import Settings
from tests.example_model import example_artifacts
from tests.example_problems import ERRORS
from tests.service_fixtures import Client, engine_thread, make_app, serving
from tests.test_service_units import atlas, version_of

SNAPSHOT: Final = Path(__file__).with_name("openapi.json")
RENEW: Final = "python -m service openapi > tests/openapi.json"
ADMIN_KEY: Final = "root"
OF_ANOTHER_MODEL: Final = {"info", "units", "unit"}  # their answers are those of a trained one, shortened
TOLERANCE: Final = 1e-3  # the examples round to three decimals
DOCUMENT: Final = create_app(Settings.model_validate({"admin_keys": ADMIN_KEY, "api_keys": "key"})).openapi()


class Asked(NamedTuple):
    """A request that an operation's example shows."""

    method: str
    path: str
    operation: dict[str, Any]
    example: Example

    def send(self, client: Client) -> httpx.Response:
        query = {p["name"] for p in self.operation.get("parameters", []) if p["in"] == "query"}
        given = self.example.parameters
        url = httpx.URL(self.path.format(**given), params={name: given[name] for name in given if name in query})
        body = b"" if self.example.body is None else json.dumps(self.example.body).encode()
        headers = {"content-type": "application/json", "x-api-key": ADMIN_KEY}
        return client.request(self.method.upper(), str(url), body, headers)


def requests() -> Iterator[Any]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            for name, example in load_examples().operations[operation["operationId"]].items():
                yield pytest.param(Asked(method, path, operation, example), id=f"{operation['operationId']}-{name}")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("example")
    artifacts = example_artifacts(folder / "artifacts")
    save_atlas(artifacts, atlas(version_of(artifacts)))
    path = folder / "engine.sock"
    with engine_thread(artifacts, path):
        app = make_app(artifacts, engine_socket=path, admin_keys=ADMIN_KEY, max_texts=3, max_body_bytes=2000)
        with serving(app) as client:
            yield client


def fault_in(value: Any, schema: dict[str, Any]) -> str | None:
    """Hold a value against a schema of the document, in which no object has other fields than those described."""
    root = closed({"components": DOCUMENT["components"], "schema": schema})
    validator = Draft202012Validator(root | {"$ref": "#/schema"})
    return next((f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)), None)


def closed(part: Any) -> Any:
    if isinstance(part, list):
        return [closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    extra = {"additionalProperties": False} if isinstance(part.get("properties"), dict) else {}
    return extra | {key: closed(value) for key, value in part.items() if key != "examples"}


def parts_of(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
    for item in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from parts_of(item)


# What stays


def test_the_document_is_the_one_that_was_promised() -> None:
    """Whoever changes it sees here what changes for clients."""
    promised, found = json.loads(SNAPSHOT.read_text()), create_app(Settings()).openapi()
    message = f"the document has changed; if that is meant, renew it: {RENEW}"
    assert json.dumps(found, indent=1).splitlines() == json.dumps(promised, indent=1).splitlines(), message


def test_a_command_prints_the_document() -> None:
    """Byte by byte as it is kept, without torch and without a model."""
    finished = subprocess.run(
        [sys.executable, *RENEW.partition(" > ")[0].split()[1:]],
        capture_output=True,
        env={"CHARLSTM_ARTIFACTS": "/nowhere", "PYTHONPATH": str(SNAPSHOT.parent.parent)},
        check=True,
    )
    assert finished.stdout.decode() == SNAPSHOT.read_text()


def test_a_setting_that_is_none_is_said_in_one_line() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "service", "openapi"],
        capture_output=True,
        env={"CHARLSTM_MAX_TEXTS": "many", "PYTHONPATH": str(SNAPSHOT.parent.parent)},
        check=False,
    )
    assert finished.returncode == 2
    assert len(finished.stderr.decode().splitlines()) == 1


# Names


def test_each_operation_is_named_like_a_function_and_has_one_tag() -> None:
    found = list(operations(DOCUMENT))
    names = [operation["operationId"] for operation in found]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in names)
    assert all(len(operation["tags"]) == 1 for operation in found)


def test_each_schema_is_named_like_a_class_and_none_is_there_twice() -> None:
    """No `Body_...`, no `...-Input` beside an `...-Output`."""
    names = DOCUMENT["components"]["schemas"]
    assert all(re.fullmatch(r"([A-Z][a-z]+)+", name) for name in names)
    assert not [name for name in names if name.startswith("Body")]


def test_bodies_and_answers_are_records_with_a_name() -> None:
    for operation in operations(DOCUMENT):
        contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
        contents += [response["content"] for response in operation["responses"].values()]
        for content in contents:
            for media_type, shown in content.items():
                assert "$ref" in shown["schema"] or "json" not in media_type
    for schema in DOCUMENT["components"]["schemas"].values():
        assert not [part for part in parts_of(schema) if part is not schema and "properties" in part]


def test_no_list_of_values_stands_in_two_places() -> None:
    """A generator would make a type for each, and an answer's label could not be held against another's."""
    found = Counter(tuple(part["enum"]) for part in parts_of(DOCUMENT) if isinstance(part.get("enum"), list))
    assert set(found.values()) == {1}


def test_whatever_is_referred_to_is_there() -> None:
    for part in parts_of(DOCUMENT):
        if "$ref" in part:
            _, _, section, name = part["$ref"].split("/")
            assert name in DOCUMENT["components"][section]


# Examples


@pytest.mark.parametrize("asked", list(requests()))
def test_each_example_is_a_request_and_its_answer(client: Client, asked: Asked) -> None:
    """Both are as the schemas say, the service answers in the same way, and of the same model the same."""
    response = asked.send(client)
    assert response.status_code == 200, response.text
    described = asked.operation["responses"]["200"]["content"]
    media_type = response.headers["content-type"].partition(";")[0]
    if asked.example.body is not None:
        schema = asked.operation["requestBody"]["content"]["application/json"]["schema"]
        assert fault_in(asked.example.body, schema) is None
    found = response.json() if media_type == "application/json" else response.text
    assert fault_in(found, described[media_type]["schema"]) is None
    assert fault_in(asked.example.answer, described[media_type]["schema"]) is None
    if media_type == "text/plain":
        assert found[:6] == asked.example.answer[:6] == "# HELP"
    elif asked.operation["operationId"] not in OF_ANOTHER_MODEL:
        assert_agrees(asked.example.answer, found)


def assert_agrees(shown: Any, found: Any, where: str = "answer") -> None:
    """Fields and items are the same, numbers as they are rounded."""
    if isinstance(shown, dict):
        assert shown.keys() == found.keys(), where
        for name, value in shown.items():
            assert_agrees(value, found[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert len(shown) == len(found), where
        for index, value in enumerate(shown):
            assert_agrees(value, found[index], f"{where}[{index}]")
    elif isinstance(shown, float):
        assert found == pytest.approx(shown, abs=TOLERANCE), where
    else:
        assert found == shown, where


def test_each_operation_shows_its_examples() -> None:
    for operation in operations(DOCUMENT):
        names = load_examples().operations[operation["operationId"]].keys()
        answer = next(iter(operation["responses"]["200"]["content"].values()))
        assert answer["examples"].keys() == names
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["examples"].keys() == names
        for parameter in operation.get("parameters", []):
            assert parameter["in"] == "query" or parameter["examples"].keys() == names
    assert load_examples().operations.keys() == {operation["operationId"] for operation in operations(DOCUMENT)}


def test_an_example_of_each_problem_is_what_is_said_about_it() -> None:
    shown = load_examples().problems
    assert shown == {name: problem_of(error).model_dump(exclude_none=True) for name, error in ERRORS.items()}
    schema = {"$ref": "#/components/schemas/Problem"}
    assert [fault for value in shown.values() if (fault := fault_in(value, schema))] == []


def documented_problems(operation: dict[str, Any]) -> dict[str, str]:
    """Return the status of each kind of problem that an operation documents."""
    return {
        kind: status
        for status, response in operation["responses"].items()
        if status not in {"200", "default"}
        for kind in next(iter(response["content"].values()))["examples"]
    }


def test_each_documented_problem_has_its_own_status_and_an_example_in_its_own_form() -> None:
    shown, used = DOCUMENT["components"]["examples"], set()
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            is_open_inference = path.startswith("/v2")
            for kind, status in documented_problems(operation).items():
                usual = KINDS_BY_NAME[kind].status
                assert int(status) == (400 if is_open_inference and usual == 422 else usual)
                value = shown[f"v2-{kind}" if is_open_inference else kind]["value"]
                assert value.keys() == {"error"} if is_open_inference else value["status"] == usual
                used.add(kind)
    assert used == ERRORS.keys() == KINDS_BY_NAME.keys() - {"not-found", "method-not-allowed", "foreign-origin"}


class Wrong(NamedTuple):
    """A request that gets a problem."""

    kind: str
    method: str
    path: str
    url: str
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012  nothing changes it


def tensor(*texts: str) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]}
    ).encode()


INFER: Final = "/v2/models/{name}/infer"
WRONG: Final = (
    Wrong("malformed-body", "post", "/predict", "/predict", b"{"),
    Wrong("empty-text", "post", "/predict", "/predict", b'{"text": ""}'),
    Wrong("invalid-character", "post", "/gates", "/gates", b'{"text": "a\\u0000"}'),
    Wrong("text-too-long", "post", "/predict", "/predict", b'{"text": "%s"}' % (b"a" * 65)),
    Wrong("invalid-request", "post", "/gates/compare", "/gates/compare", b"{}"),
    Wrong("unknown-model", "post", "/predict", "/predict", b'{"text": "a", "model": "b"}'),
    Wrong("too-many-texts", "post", "/predict/batch", "/predict/batch", b'{"texts": ["a", "b", "c", "d"]}'),
    Wrong("too-many-words", "post", "/gates/occlusion", "/gates/occlusion", b'{"text": "a b c d"}'),
    Wrong("body-too-large", "post", "/predict/batch", "/predict/batch", b" " * 2001),
    Wrong("unsupported-media-type", "post", "/gates", "/gates", b"a", {"content-type": "text/plain"}),
    Wrong("not-acceptable", "post", "/gates", "/gates", b'{"text": "a"}', {"accept": "image/png"}),
    Wrong("unknown-model", "get", "/units", "/units?model=b"),
    Wrong("unknown-unit", "get", "/units/{unit}", "/units/8"),
    Wrong("invalid-request", "get", "/units/{unit}", "/units/x"),
    Wrong("invalid-request", "get", "/info", f"/info?model={'a' * 65}"),
    Wrong("unauthorized", "post", "/admin/reload", "/admin/reload"),
    Wrong("unknown-model", "get", "/v2/models/{name}", "/v2/models/other"),
    Wrong("empty-text", "post", INFER, "/v2/models/default/infer", tensor("")),
    Wrong("too-many-texts", "post", INFER, "/v2/models/default/infer", tensor(*"abcd")),
    Wrong("malformed-body", "post", INFER, "/v2/models/default/infer", b"{}"),
    Wrong("unsupported-media-type", "post", INFER, "/v2/models/default/infer", b"", {"content-encoding": "br"}),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.path}-{wrong.kind}")
def test_the_problem_that_a_request_gets_is_documented(client: Client, wrong: Wrong) -> None:
    """With its status, and in the form that its schema describes."""
    response = client.request(
        wrong.method.upper(), wrong.url, wrong.body, {"content-type": "application/json"} | wrong.headers
    )
    operation = DOCUMENT["paths"][wrong.path][wrong.method]
    assert documented_problems(operation)[wrong.kind] == str(response.status_code)
    content = operation["responses"][str(response.status_code)]["content"]
    assert fault_in(response.json(), content[response.headers["content-type"]]["schema"]) is None
    assert response.json().get("type", f"/problems/{wrong.kind}") == f"/problems/{wrong.kind}"
