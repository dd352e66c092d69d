#!/usr/bin/env python3
"""The benchmark: starts what it needs, measures, and writes bench/out. Called by ./dev bench.

  run.py             everything
  run.py --quick     point selects at 1, 8 and 64 in flight
  run.py --smoke     everything once and briefly, on small tables: does every row come about?
  run.py --publish   the report of the last full run goes into bench/README.md
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
import time

from harness import chart, footprint, further, machine, point_selects, table
from harness.measuring import measure
from harness.processes import Failure
from harness.publishing import publish
from harness.rows import PATHS, PATHS_OF_POINT_SELECTS, faults
from harness.servers import POSTGRES_SETTINGS
from harness.setup import Setup

BENCH = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(BENCH, "out")
BUILD = os.path.join(os.path.dirname(BENCH), "build", "release")


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much is measured."""

    name: str
    scale: int
    repetitions: int
    seconds: float
    in_flight: tuple
    further: bool


FULL = Extent("full", 10, 3, 3, (1, 8, 64, 256), True)
QUICK = Extent("quick", 10, 3, 1, (1, 8, 64), False)
SMOKE = Extent("smoke", 1, 1, 0.1, (1, 8, 64, 256), True)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", dest="extent", action="store_const", const=QUICK, default=FULL,
                        help="point selects at 1, 8 and 64 in flight, in under 4 minutes")
    extent.add_argument("--smoke", dest="extent", action="store_const", const=SMOKE,
                        help="every row once, briefly: its figures mean nothing")
    extent.add_argument("--publish", action="store_true",
                        help="put the last full run's report into bench/README.md; measure nothing")
    parser.add_argument("--repetitions", type=int, help="of each row; the row has the medians")
    parser.add_argument("--seconds", type=float, help="of each repetition")
    parser.add_argument("--patience", type=float, default=0, metavar="SECONDS",
                        help="before each measurement wait so long for other work to pause")
    parser.add_argument("--only", default="", help="only paths that contain this")
    return parser.parse_args(arguments)


def overridden(options):
    given = {name: value for name, value in (("repetitions", options.repetitions),
                                             ("seconds", options.seconds)) if value}
    return dataclasses.replace(options.extent, **given)


def measure_everything(extent, only, neighbours):
    """The rows, and what they were measured on."""
    with Setup(BUILD, extent.scale) as setup:
        rows = measure_loads(setup, extent, only, neighbours)
        if extent.further and not only:
            rows += footprint.stream_rows(setup, extent.repetitions)
            rows += footprint.memory_rows(setup)
            rows += footprint.ready_rows(setup, extent.repetitions)
        return rows, machine.describe(setup.versions())


def measure_loads(setup, extent, only, neighbours):
    def measured(cases):
        return measure([case for case in cases if only in case.path], extent.repetitions,
                       extent.seconds, setup.observer, neighbours)

    rows = measured(point_selects.cases(setup, extent.in_flight))
    if extent.further:
        rows += measured(further.half_peak_cases(setup, rows))
        rows += measured(further.tpcb_cases(setup))
        rows += measured(further.sqlite_cases(setup))
    return rows


def paths_of(extent):
    return PATHS if extent.further else PATHS_OF_POINT_SELECTS


def remarks_on(extent, neighbours, took):
    settings = ", ".join(f"{name}={value}" for name, value in POSTGRES_SETTINGS.items())
    return [f"{extent.name} run: scale {extent.scale}, medians of {extent.repetitions} "
            f"repetitions of {extent.seconds:g} s, all rows in turn; {took / 60:.1f} minutes",
            f"PostgreSQL, for all rows alike: {settings}",
            neighbours.remark()]


def write(out, rows, report, caption):
    os.makedirs(out, exist_ok=True)
    for name, text in (("latest.json", json.dumps(rows, indent=1) + "\n"),
                       ("table.md", report), ("chart.svg", chart.svg(rows, caption))):
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            file.write(text)


def main(arguments):
    options = parse(arguments)
    if options.publish:
        publish(OUT, BENCH)
        return 0
    # So that everything is stopped and removed on these signals, too: Python leaves the second as
    # it was, and that may be "ignored".
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    extent = overridden(options)
    neighbours = machine.Neighbours(options.patience)
    start = time.monotonic()
    rows, described = measure_everything(extent, options.only, neighbours)
    remarks = remarks_on(extent, neighbours, time.monotonic() - start)
    report = table.document(rows, described, remarks)
    caption = described[0] + (", not quiet" if neighbours.interfered() else "")
    write(os.path.join(OUT, "smoke") if extent.name == "smoke" else OUT, rows, report, caption)
    print(report)
    found = faults(rows, () if options.only else paths_of(extent))
    for fault in found:
        print(f"bench: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
