"""The figures to reach, beside what was measured. They gate nothing."""

import dataclasses
from typing import Callable, Optional

from harness.rows import figure


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure with a least and an aim; `measure` takes the rows and returns it, or None."""

    what: str
    unit: str
    least: Optional[float]
    aim: Optional[float]
    measure: Callable
    more_is_better: bool = True


def _rate(path, in_flight, transport="unix"):
    return lambda rows: figure(rows, "queries_per_second", path, transport, in_flight)


def _value(name, path, in_flight=None):
    return lambda rows: figure(rows, name, path, "unix", in_flight)


def _ratio(above, below):
    def measure(rows):
        upper, lower = above(rows), below(rows)
        return None if upper is None or not lower else upper / lower

    return measure


def _best(*measures):
    """The largest of those that are known."""
    def measure(rows):
        known = [value for value in (one(rows) for one in measures) if value is not None]
        return max(known, default=None)

    return measure


def added_latency(path):
    """What a lone caller waits longer than with a connection of its own, p50, microseconds."""
    def measure(rows):
        through = figure(rows, "p50_us", path, "unix", 1)
        direct = figure(rows, "p50_us", "direct_prepared", "unix", 1)
        return None if through is None or direct is None else through - direct

    return measure


_PIPELINE = _rate("pipeline", 64)
_UNARY = _rate("unary", 64)
_PGBOUNCER = _rate("pgbouncer", 64)
_PGBOUNCER_BEST = _best(_rate("pgbouncer", 64), _rate("pgbouncer_simple", 64))

TARGETS = (
    Target("Pipeline, Unix socket, 64 in flight, against PgBouncer at 64", "x", 5, 8,
           _ratio(_PIPELINE, _PGBOUNCER)),
    Target("the same against PgBouncer's best mode for separate callers", "x", None, None,
           _ratio(_PIPELINE, _PGBOUNCER_BEST)),
    Target("the same against direct prepared connections at 64", "x", 1.5, 2.5,
           _ratio(_PIPELINE, _rate("direct_prepared", 64))),
    Target("unary, Unix socket, 64 in flight, against PgBouncer at 64", "x", 1.8, 2.5,
           _ratio(_UNARY, _PGBOUNCER)),
    Target("unary at 8 in flight against PgBouncer at 8", "x", 1.0, 1.5,
           _ratio(_rate("unary", 8), _rate("pgbouncer", 8))),
    Target("latency that unary adds for a lone caller, p50, against what PgBouncer adds", "x", 1.0,
           0.5, _ratio(added_latency("unary"), added_latency("pgbouncer")), more_is_better=False),
    Target("sidecar CPU per query, Pipeline at 64", "us", 12, 6,
           _value("middle_cpu_us_per_query", "pipeline", 64), more_is_better=False),
    Target("sidecar CPU per query, unary at 64", "us", 40, 22,
           _value("middle_cpu_us_per_query", "unary", 64), more_is_better=False),
    Target("server connections used by Pipeline at 64", "", 2, 2,
           _value("server_connections_busy", "pipeline", 64), more_is_better=False),
    Target("Pipeline at 64 against connect-per-query", "x", 50, 200,
           _ratio(_PIPELINE, _rate("connect", 64))),
    Target("SQLite point reads through Pipeline against in-process", "x", 0.15, 0.4,
           _ratio(_rate("sqlite_pipeline_read", 64),
                  lambda rows: figure(rows, "queries_per_second", "sqlite_in_process_read", None))),
    Target("resident memory, idle", "MiB", 40, 25, _value("resident_mib", "memory_idle"),
           more_is_better=False),
    Target("resident memory, 1000 client streams on 10 connections", "MiB", 120, 60,
           _value("resident_mib", "memory_1000_streams"), more_is_better=False),
    Target("the same on 1000 connections", "MiB", None, None,
           _value("resident_mib", "memory_1000_connections"), more_is_better=False),
    Target("start to ready on SQLite", "ms", 150, 50, _value("ready_ms", "ready_sqlite"),
           more_is_better=False),
)


def verdict(target, value):
    """One word or two about a measured value."""
    if value is None:
        return "not measured"
    if target.least is None:
        return ""
    if _meets(target, value, target.aim):
        return "aim reached"
    if _meets(target, value, target.least):
        return "reached"
    return f"missed by {abs(value - target.least) / target.least:.0%}"


def _meets(target, value, bound):
    return value >= bound if target.more_is_better else value <= bound
