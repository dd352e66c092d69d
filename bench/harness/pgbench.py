"""pgbench: its command lines, and what its output and its logs say."""

import glob
import math
import os
import re

from harness.processes import Failure

PIPELINE_DEPTH = 16
POINT_SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;"


def pipelined_script():
    """PIPELINE_DEPTH point selects in one pipeline."""
    lines = ["\\startpipeline"]
    for _ in range(PIPELINE_DEPTH):
        lines += ["\\set aid random(1, 100000 * :scale)", POINT_SELECT]
    return "\n".join([*lines, "\\endpipeline", ""])


def command(program, clients, seconds, log_prefix, scale, mode="prepared", script=None,
            builtin="select-only", reconnect=False, rate=0, sampling=1.0):
    """A run of `seconds`, or, under one second, of a few transactions per client."""
    words = [program, "-n", "-c", str(clients), "-j", str(min(2, clients)), "-M", mode,
             "-s", str(scale), "-l", f"--log-prefix={log_prefix}"]
    words += ["-f", script] if script else ["-b", builtin]
    if seconds >= 1:
        words += ["-T", str(math.ceil(seconds))]
    else:
        words += ["-t", "5"]
    if reconnect:
        words.append("-C")
    if rate:
        words.append(f"--rate={rate:.0f}")
    if sampling < 1:
        words.append(f"--sampling-rate={sampling}")
    return words


def parse_output(text):
    """(transactions, transactions per second); Failure if any failed."""
    transactions = _number(r"number of transactions actually processed: (\d+)", text)
    failed = _number(r"number of failed transactions: (\d+)", text)
    if not transactions:
        raise Failure("pgbench: no transaction ended in time")
    per_second = _number(r"tps = ([\d.]+) \((?:without initial connection|including reconnection)",
                         text)
    if failed:
        raise Failure(f"pgbench: {failed:.0f} transactions failed")
    return int(transactions), per_second


def _number(pattern, text):
    found = re.search(pattern, text)
    if found is None:
        raise Failure(f"pgbench's output has no {pattern!r}:\n{text[-1000:]}")
    return float(found.group(1))


def latencies(lines):
    """Microseconds, from a log's lines: client, number, latency, script, seconds, microseconds."""
    return [int(line.split()[2]) for line in lines]


def latencies_with_connect(lines):
    """Microseconds between the ends of a client's transactions.

    pgbench -C starts its watch only after it has connected, so its own latencies leave out what
    makes this mode slow.
    """
    found = []
    ends = {}
    for line in lines:
        client, _, _, _, seconds, micros = line.split()[:6]
        end = int(seconds) * 1_000_000 + int(micros)
        if client in ends:
            found.append(end - ends[client])
        ends[client] = end
    return found


def read_logs(prefix):
    """The lines that all threads of a run have logged; removes the files."""
    lines = []
    for path in glob.glob(f"{glob.escape(prefix)}.*"):
        with open(path, encoding="ascii") as log:
            # A transaction that --rate skipped, or that failed, has no latency.
            lines += [line for line in log if line.split()[2].isdigit()]
        os.remove(path)
    return lines
