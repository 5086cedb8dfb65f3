"""OpenTelemetry, for those who install the extra `otel`: a span for each request, sent to a collector.

FastAPI makes the spans itself as soon as there is someone to take them; that is what is set up here. Its own setup from
the environment is left off: it would also send metrics, which `/metrics` has, and logs of whatever an exception says.
"""

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider

from charlstm.errors import how_to_install
from service.errors import StartupError


def configuration(*, otel: bool) -> TelemetryConfig:
    """Say what FastAPI is to send: a span for each request if `otel`, and otherwise nothing.

    Raises:
        StartupError: The packages that it takes are not installed.
    """
    config = TelemetryConfig(tracing=otel, metrics=False, logs=False, operation_spans=False, auto_configure=False)
    if otel:
        check_packages()
        config["tracer_provider"] = _exporting_provider()
    return config


def check_packages() -> None:
    """Look whether everything is there.

    Raises:
        StartupError: It is not.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415  only those who want it have it
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415  likewise
    except ImportError as error:
        raise StartupError(f"otel needs packages that are not installed: {how_to_install('serve,otel')}") from error


def _exporting_provider() -> TracerProvider:
    """Return a provider that sends spans over OTLP and HTTP; what is left of them it sends when the process ends."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  as above
    from opentelemetry.sdk import trace  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": "charlstm"}).merge(OTELResourceDetector().detect())
    provider = trace.TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
