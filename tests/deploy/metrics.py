"""What our processes show Prometheus, as their code defines it, and what an expression of Prometheus asks for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import promql_parser
from prometheus_client import REGISTRY, Histogram
from prometheus_client.metrics import MetricWrapperBase

DEFINING = (
    "penstock_consumers.loader.metrics",
    "penstock_consumers.worker.metrics",
    "penstock_services.audit.metrics",
    "penstock_services.consuming",
    "penstock_services.health",
    "penstock_services.metrics",
    "penstock_streams.kit.metrics",
)
OF_PROMETHEUS = {"up": frozenset({"job", "instance"})}
TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds to every series."""


def defined() -> dict[str, frozenset[str]]:
    """Every series our code defines, by the name it has in an expression; with its labels."""
    for module in DEFINING:
        import_module(module)
    series = dict(OF_PROMETHEUS)
    for metric in REGISTRY._collector_to_names:
        if isinstance(metric, MetricWrapperBase):
            labels, name = TARGET | set(metric._labelnames), metric._name
            if isinstance(metric, Histogram):
                series |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": labels | {"le"}}
            else:
                series[name + ("_total" if metric._type == "counter" else "")] = labels
    place = TARGET | {"consumer", "topic", "partition"}
    return series | {"penstock_consumer_lag": place, "penstock_consumer_position": place}


def selectors(expression: str) -> Iterator[tuple[str, list[Any]]]:
    """Name and matchers of every series an expression asks for.

    Raises:
        ValueError: it is no PromQL.
    """
    yield from _of(promql_parser.parse(expression))


def _of(node: Any) -> Iterator[tuple[str, list[Any]]]:
    match node:
        case promql_parser.VectorSelector():
            yield node.name, list(node.matchers.matchers)
        case promql_parser.MatrixSelector():
            yield from _of(node.vector_selector)
        case promql_parser.BinaryExpr():
            yield from _of(node.lhs)
            yield from _of(node.rhs)
        case promql_parser.Call():
            for argument in node.args:
                yield from _of(argument)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _of(node.expr)
        case promql_parser.SubqueryExpr():
            yield from _of(node.expr)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            pass
        case _:
            raise TypeError(f"no rule for {node!r}")
