"""OpenTelemetry: a span for each request if it is wanted, and one line if it cannot be had."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from charlstm.errors import how_to_install
from service import telemetry
from tests.service_fixtures import Client, engine_thread, make_app, serving

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Keep in memory what would go to a collector."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(EXPORTER, lambda: exporter)
    return exporter


@pytest.fixture
def engine_socket(tiny_directory: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "engine.sock"
    with engine_thread(tiny_directory, path):
        yield path


def _ask(client: Client) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"content-type": "application/json", "traceparent": parent}
    client.request("POST", "/predict", b'{"text": "Worst secret"}', headers)
    client.get("/problems/overloaded")
    client.post("/predict", {"text": ""})
    client.get("/nowhere")


def test_each_request_is_a_span_with_its_route_and_status_and_without_its_text(
    exporter: InMemorySpanExporter, tiny_directory: Path, engine_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    provider = telemetry.configuration(otel=True)["tracer_provider"]
    assert isinstance(provider, TracerProvider)
    monkeypatch.setattr(telemetry, "_exporting_provider", lambda: provider)
    with serving(make_app(tiny_directory, engine_socket=engine_socket, otel=True)) as client:
        _ask(client)
    provider.shutdown()
    spans = exporter.get_finished_spans()
    assert [_summary(span) for span in spans] == [
        ("POST /predict", "/predict", 200),
        ("GET /problems/{name}", "/problems/{name}", 200),
        ("POST /predict", "/predict", 422),
        ("GET", None, 404),
    ]
    assert spans[0].parent is not None  # the sender's own span
    assert spans[0].parent.span_id == 0xB7AD6B7169203331
    assert spans[0].resource.attributes["service.name"] == "charlstm"
    assert spans[0].resource.attributes["deployment.environment.name"] == "test"
    assert not any("secret" in span.to_json() for span in spans)


def _summary(span: ReadableSpan) -> tuple[str, object, object]:
    attributes = span.attributes or {}
    return span.name, attributes.get("http.route"), attributes.get("http.response.status_code")


def test_the_variables_of_opentelemetry_name_the_service(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sentiment")
    provider = telemetry.configuration(otel=True)["tracer_provider"]
    assert isinstance(provider, TracerProvider)
    provider.get_tracer("test").start_span("test").end()
    provider.shutdown()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "sentiment"


def test_nothing_is_traced_unless_wanted() -> None:
    config = telemetry.configuration(otel=False)
    assert not any(config.values())


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"])
def test_packages_that_are_missing_are_one_clear_line(missing: str) -> None:
    code = "import sys; sys.modules[sys.argv.pop(1)] = None; from service.cli import cli; cli()"
    command = [sys.executable, "-c", code, missing, "serve", "--port", "0", "--otel"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (f"charlstm: otel needs packages that are not installed: {how_to_install('serve,otel')}\n")
