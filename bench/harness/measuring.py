"""Measures cases side by side: each repetition goes once through all of them."""

import dataclasses
import sys
from typing import Any, Optional

from harness.figures import Run, Sample, row_of
from harness.processes import Failure
from harness.rows import FAILED

_CASES_BETWEEN_LOOKS = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """One row to be measured."""

    path: str
    transport: str
    in_flight: int
    # Has run(in_flight, seconds) -> Run.
    client: Any
    # The process between client and database, if there is one.
    middle: Optional[Any] = None
    # Whose connections to the database are counted; None: nobody's.
    role: Optional[str] = None

    def __str__(self):
        return f"{self.path}, {self.transport}, {self.in_flight} in flight"


def measure(cases, repetitions, seconds, observer, neighbours):
    """A row per case, in order.

    Whatever else the machine does in between hits all cases alike, because no case has its
    repetitions in one stretch.
    """
    samples = {case: [] for case in cases}
    for repetition in range(repetitions):
        for number, case in enumerate(cases):
            if number % _CASES_BETWEEN_LOOKS == 0 or neighbours.patient:
                neighbours.look()
            sample = _sample_or_reason(case, seconds, observer)
            samples[case].append(sample)
            _say(f"{repetition + 1}/{repetitions} {number + 1:3}/{len(cases)}  {case}: "
                 f"{sample.run.unavailable or f'{sample.run.queries_per_second:,.0f}/s'}")
    return [row_of(case, samples[case]) for case in cases]


def _sample_or_reason(case, seconds, observer):
    """A client that fails is tried once more; then the others go on without it."""
    for _ in range(2):
        try:
            return _sample(case, seconds, observer)
        except Failure as failure:
            _say(f"{case}: {failure}")
            reason = str(failure)
    return Sample(Run(0, 0.0, unavailable=f"{FAILED}: {reason}"))


def _sample(case, seconds, observer):
    cpu_before = case.middle.cpu_seconds() if case.middle else 0.0
    if case.role is None:
        run = case.client.run(case.in_flight, seconds)
        sample = Sample(run)
    else:
        with observer.watch(case.role, seconds) as watch:
            run = case.client.run(case.in_flight, seconds)
        sample = Sample(run, server_connections=watch.peak_open(),
                        server_connections_busy=watch.usually_busy())
    if case.middle and run.queries:
        cpu = case.middle.cpu_seconds() - cpu_before
        sample.middle_cpu_us_per_query = 1e6 * cpu / run.queries
    return sample


def _say(text):
    print(text, file=sys.stderr, flush=True)
