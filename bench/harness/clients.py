"""The programs that make load. Each returns a Run."""

import json
import os
import tempfile

from harness import pgbench
from harness.figures import Run, percentile
from harness.processes import Failure, run

# How much longer than its measurement a client may take.
_GRACE_SECONDS = 60
# Of the transactions, in a run as fast as possible: logging each would slow the client down.
_LOGGED = 0.2


class Pgbench:
    """pgbench at one address."""

    def __init__(self, program, environment, folder, scale, mode="prepared", reconnect=False,
                 pipelined=False, builtin="select-only", rate=0.0, connecting_seconds=0.0):
        self._program = program
        self._environment = environment
        self._folder = folder
        self._scale = scale
        self._mode = mode
        self._reconnect = reconnect
        self._pipelined = pipelined
        self._builtin = builtin
        self._rate = rate
        self._connecting_seconds = connecting_seconds

    def run(self, in_flight, seconds):
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            words = pgbench.command(
                self._program, self._clients(in_flight), self._duration(in_flight, seconds),
                f"{folder}/log", self._scale,
                mode=self._mode, script=self._script(folder), builtin=self._builtin,
                reconnect=self._reconnect, rate=self._rate, sampling=self._sampling(seconds))
            output = run(words, environment=self._environment, timeout=seconds + _GRACE_SECONDS)
            transactions, per_second = pgbench.parse_output(output)
            lines = pgbench.read_logs(f"{folder}/log")
        find = pgbench.latencies_with_connect if self._reconnect else pgbench.latencies
        micros = find(lines)
        per_transaction = pgbench.PIPELINE_DEPTH if self._pipelined else 1
        return Run(transactions * per_transaction, per_second * per_transaction,
                   percentile(micros, 0.5), percentile(micros, 0.99), percentile(micros, 0.999))

    def _duration(self, in_flight, seconds):
        """pgbench's clock runs while it connects, although its rate leaves that out."""
        if seconds < 1 or self._reconnect:
            return seconds
        return seconds + self._connecting_seconds * self._clients(in_flight)

    def _clients(self, in_flight):
        return max(1, in_flight // pgbench.PIPELINE_DEPTH) if self._pipelined else in_flight

    def _sampling(self, seconds):
        return 1.0 if self._rate or self._reconnect or seconds < 1 else _LOGGED

    def _script(self, folder):
        if not self._pipelined:
            return None
        path = os.path.join(folder, "pipelined.sql")
        with open(path, "w", encoding="ascii") as script:
            script.write(pgbench.pipelined_script())
        return path


class LoadProgram:
    """A load program of ours: told --in-flight and --seconds, it prints one line of JSON."""

    def __init__(self, program, *flags):
        self._words = [program, *flags]

    def run(self, in_flight, seconds):
        return parse_line(run([*self._words, *self.flags(in_flight, seconds)],
                              timeout=seconds + _GRACE_SECONDS))

    def flags(self, in_flight, seconds):
        return [f"--in-flight={in_flight}", f"--seconds={seconds}"]


def parse_line(output):
    """The Run that a line of JSON tells of."""
    line = json.loads(output)
    if "unavailable" in line:
        return Run(0, 0.0, unavailable=line["unavailable"])
    if line.get("errors"):
        raise Failure(f"{line['errors']} calls failed")
    return Run(line["queries"], line["qps"], line.get("p50_us"), line.get("p99_us"),
               line.get("p999_us"))
