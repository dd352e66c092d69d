"""What one run of a client says, what a row says of several, and the arithmetic between them."""

import dataclasses
import statistics
from typing import Optional


@dataclasses.dataclass
class Run:
    """What a client program reported of one run."""

    queries: int
    queries_per_second: float
    p50_us: Optional[float] = None
    p99_us: Optional[float] = None
    p999_us: Optional[float] = None
    unavailable: Optional[str] = None


@dataclasses.dataclass
class Sample:
    """One repetition: a run, and what was seen of the servers meanwhile."""

    run: Run
    middle_cpu_us_per_query: Optional[float] = None
    server_connections: Optional[int] = None
    server_connections_busy: Optional[float] = None


def percentile(values, part):
    """The value below which `part` of the values lie; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return float(ordered[int(part * (len(ordered) - 1))])


def median(values):
    """Of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def spread_percent(values):
    """How far apart the largest and the smallest are, in percent of the median."""
    middle = median(values)
    if not middle:
        return None
    return 100 * (max(values) - min(values)) / middle


def row_of(case, samples):
    """A row of bench/out/latest.json: medians over the repetitions."""
    row = {"path": case.path, "transport": case.transport, "in_flight": case.in_flight}
    unavailable = [sample.run.unavailable for sample in samples if sample.run.unavailable]
    samples = [sample for sample in samples if not sample.run.unavailable]
    rates = [sample.run.queries_per_second for sample in samples]
    row["queries_per_second"] = _rounded(median(rates), 1)
    for name in ("p50_us", "p99_us", "p999_us"):
        row[name] = _rounded(median(getattr(sample.run, name) for sample in samples), 1)
    row["middle_cpu_us_per_query"] = _rounded(
        median(sample.middle_cpu_us_per_query for sample in samples), 2)
    connections = [sample.server_connections for sample in samples
                   if sample.server_connections is not None]
    row["server_connections"] = max(connections) if connections else None
    row["server_connections_busy"] = median(sample.server_connections_busy for sample in samples)
    row["repetitions"] = len(samples)
    row["spread_percent"] = _rounded(spread_percent(rates), 1)
    if not samples:
        row["unavailable"] = unavailable[0]
    return row


def _rounded(value, digits):
    return None if value is None else round(value, digits)
