"""What the sidecar costs beside time: memory, start-up, and a large result on its way through."""

import json
import os
import subprocess
import time

from harness.figures import median
from harness.processes import Failure, clean_environment, run
from harness.servers import ROLE_DIRECT, ROLE_SIDECAR, Sidecar

CLIENT_STREAMS = 1000
# As many processes might share them.
CLIENT_CONNECTIONS = 10
_ALL_ROWS = "select aid, bid, abalance, filler from pgbench_accounts"
_SETTLING_SECONDS = 1.0


def row(path, transport="unix", in_flight=None, **figures):
    """A row whose figures are not those of a load."""
    empty = {"queries_per_second": None, "p50_us": None, "p99_us": None, "p999_us": None,
             "middle_cpu_us_per_query": None, "server_connections": None,
             "server_connections_busy": None}
    return {"path": path, "transport": transport, "in_flight": in_flight, **empty, **figures}


# --- Memory.

def memory_rows(setup):
    """Resident memory of sidecars that have just started: idle, and with many client streams."""
    idle, streams = _memory(setup, "memory_streams", CLIENT_CONNECTIONS)
    _, connections = _memory(setup, "memory_connections", CLIENT_STREAMS)
    return [row("memory_idle", in_flight=0, resident_mib=round(idle, 1)),
            row("memory_1000_streams", in_flight=CLIENT_STREAMS, resident_mib=round(streams, 1)),
            row("memory_1000_connections", in_flight=CLIENT_STREAMS,
                resident_mib=round(connections, 1))]


def _memory(setup, name, connections):
    """(idle, with CLIENT_STREAMS Pipeline streams that have each carried a call), in MiB."""
    sidecar = setup.start_sidecar(name, setup.postgres.url(ROLE_SIDECAR))
    time.sleep(_SETTLING_SECONDS)
    idle = sidecar.process.resident_mib()
    holder = subprocess.Popen(
        [setup.program("sidecar_probe"), "streams", sidecar.addresses["unix"],
         str(CLIENT_STREAMS), str(connections)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment())
    try:
        if not holder.stdout.readline():
            raise Failure(f"{CLIENT_STREAMS} streams could not be opened")
        time.sleep(_SETTLING_SECONDS)
        return idle, sidecar.process.resident_mib()
    finally:
        holder.stdin.close()
        holder.wait(60)
        sidecar.stop()


# --- From start to ready.

def ready_rows(setup, repetitions):
    """Milliseconds from the start of the process until readiness says SERVING."""
    urls = {"ready_sqlite": lambda number: f"sqlite:{setup.folder}/ready_{number}.db",
            "ready_postgres": lambda number: setup.postgres.url(ROLE_SIDECAR)}
    return [row(path, in_flight=0,
                ready_ms=round(median(_start_to_ready(setup, f"{path}_{number}", url(number))
                                      for number in range(repetitions)), 1))
            for path, url in urls.items()]


def _start_to_ready(setup, name, url):
    # The probe is up and asks every millisecond before the sidecar is started.
    sidecar_folder = os.path.join(setup.folder, name)
    probe = subprocess.Popen(
        [setup.program("sidecar_probe"), "ready", f"unix:{sidecar_folder}/socket"],
        stdout=subprocess.PIPE, text=True, env=clean_environment())
    time.sleep(0.1)
    start = time.monotonic_ns()
    sidecar = Sidecar(setup.folder, name, setup.program("dbsidecar"), url)
    try:
        line, _ = probe.communicate(timeout=60)
        if probe.returncode != 0:
            raise Failure(f"{sidecar.process.name} did not become ready:\n{sidecar.process.log()}")
        return (json.loads(line)["ready_at_ns"] - start) / 1e6
    finally:
        probe.kill()
        sidecar.stop()


# --- A large result.

def stream_rows(setup, repetitions):
    """All of pgbench_accounts, row by row: rows/s, and the memory that it took at the most."""
    sidecar = setup.start_sidecar("stream", setup.postgres.url(ROLE_SIDECAR))
    ways = {
        "stream_psql": lambda: _by_psql(setup),
        "stream_libpq": lambda: json.loads(run(
            [setup.program("libpq_stream"), setup.postgres.url(ROLE_DIRECT), _ALL_ROWS])),
        "stream_sidecar": lambda: json.loads(run(
            [setup.program("sidecar_probe"), "rows", sidecar.addresses["unix"], _ALL_ROWS]))}
    results = {path: [] for path in ways}
    for _ in range(repetitions):
        for path, way in ways.items():
            results[path].append(way())
    peak = sidecar.process.peak_resident_mib()
    sidecar.stop()
    rows = [_stream_row(path, found, setup.rows) for path, found in results.items()]
    if "unavailable" not in rows[-1]:
        rows[-1]["peak_memory_mib"] = round(peak, 1)
    return rows


def _stream_row(path, results, expected_rows):
    for result in results:
        if "unavailable" in result:
            return row(path, in_flight=1, unavailable=result["unavailable"])
        if result["rows"] != expected_rows:
            raise Failure(f"{path}: {result['rows']} rows instead of {expected_rows}")
    seconds = median(result["seconds"] for result in results)
    found = row(path, in_flight=1, rows_per_second=round(expected_rows / seconds))
    found["queries_per_second"] = round(1 / seconds, 2)
    peaks = [result["peak_mib"] for result in results if "peak_mib" in result]
    if peaks:
        found["peak_memory_mib"] = round(median(peaks), 1)
    return found


def _by_psql(setup):
    """psql holds the whole result before it prints the first row."""
    start = time.monotonic()
    process = subprocess.Popen(
        [f"{setup.postgres.programs}/psql", "-XAtq", "-o", "/dev/null", "-c", _ALL_ROWS],
        stdin=subprocess.DEVNULL,
        env=clean_environment({**setup.postgres.environment(ROLE_DIRECT),
                               "PGOPTIONS": "-c statement_timeout=60s"}))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failure("psql could not read all rows")
    return {"rows": setup.rows, "seconds": time.monotonic() - start,
            "peak_mib": usage.ru_maxrss / 1024}
