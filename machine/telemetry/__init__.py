"""Machines in the tools of operators: traces for OpenTelemetry, metrics for Prometheus.

    door.bind_tracer(OtelTracer())              # needs the extra `otel`
    door.bind_tracer(PrometheusTracer())        # needs the extra `prometheus`

Neither library is imported before its tracer is made.
"""

from __future__ import annotations

from machine.telemetry.otel import OtelTracer
from machine.telemetry.prometheus import PrometheusTracer

__all__ = ["OtelTracer", "PrometheusTracer"]
