"""OpenTelemetry, for those who installed the extra `otel`: a span per request, sent where `OTEL_*` says."""

from __future__ import annotations

from litestar.plugins import InitPluginProtocol

from service.errors import UsageError
from service.settings import Settings

SERVICE_NAME = "livedigit"


def tracing_plugins(settings: Settings) -> list[InitPluginProtocol]:
    """Make the plugin where tracing is on. Raises `UsageError` where the extra is missing."""
    if not settings.otel:
        return []
    try:
        from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageError("--otel needs OpenTelemetry: pip install 'livedigit[otel]'") from error
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    # Spans for the single messages of a request tell nothing and cost more than the request's own.
    return [OpenTelemetryPlugin(OpenTelemetryConfig(exclude_spans=["receive", "send"]))]
