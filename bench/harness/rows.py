"""The rows of bench/out/latest.json: finding them, and what every one of them must have."""

PATHS_OF_POINT_SELECTS = ("connect", "direct_prepared", "direct_pipelined", "libpqxx", "pgbouncer",
                          "pgbouncer_simple", "pgbouncer_pipelined", "grpc_empty", "unary",
                          "pipeline", "pipeline_blocking", "pipeline_raw")
PATHS = PATHS_OF_POINT_SELECTS + (
    "direct_prepared_half_peak", "pgbouncer_half_peak", "unary_half_peak", "pipeline_half_peak",
    "tpcb_direct", "tpcb_pgbouncer", "tpcb_unary", "tpcb_pipeline", "tpcb_batch",
    "sqlite_in_process_read", "sqlite_unary_read", "sqlite_pipeline_read",
    "sqlite_in_process_write", "sqlite_unary_write", "sqlite_pipeline_write",
    "stream_psql", "stream_libpq", "stream_sidecar",
    "memory_idle", "memory_1000_streams", "memory_1000_connections",
    "ready_sqlite", "ready_postgres")
TRANSPORTS = ("unix", "tcp", None)  # None: in one process.
REQUIRED = ("path", "transport", "in_flight", "queries_per_second", "p50_us", "p99_us",
            "middle_cpu_us_per_query", "server_connections")
# How the reason begins why a row is unavailable that should have been there.
FAILED = "failed"
# The figure that a row is about. A row without any has to say that it is unavailable, and why.
FIGURES = ("queries_per_second", "resident_mib", "ready_ms")
_OPTIONAL = ("p999_us", "server_connections_busy", "repetitions", "spread_percent", "unavailable",
             "rows_per_second", "peak_memory_mib", "resident_mib", "ready_ms")


def find(rows, path, transport="unix", in_flight=None):
    """The row, or None."""
    for row in rows:
        if (row["path"], row["transport"]) == (path, transport) and in_flight in (
                None, row["in_flight"]):
            return row
    return None


def figure(rows, name, path, transport="unix", in_flight=None):
    """One figure of a row, or None."""
    row = find(rows, path, transport, in_flight)
    return None if row is None else row.get(name)


def faults(rows, paths=()):
    """What is wrong with the rows, one line each; empty when all is well.

    `paths` are those that have to be there.
    """
    if not isinstance(rows, list) or not rows:
        return ["the file is not a list of rows"]
    found = []
    seen = set()
    for number, row in enumerate(rows):
        found += [f"row {number} ({row.get('path')}): {fault}" for fault in _faults_of(row)]
        key = (row.get("path"), row.get("transport"), row.get("in_flight"))
        if key in seen:
            found.append(f"row {number}: {key} is there twice")
        seen.add(key)
    measured = {row.get("path") for row in rows}
    found += [f"there is no row of {path}" for path in paths if path not in measured]
    return found


def _faults_of(row):
    found = [f"{name} is missing" for name in REQUIRED if name not in row]
    found += [f"{name} is not a known name" for name in row
              if name not in REQUIRED and name not in _OPTIONAL]
    if not isinstance(row.get("path"), str):
        found.append("path is not a text")
    if row.get("transport") not in TRANSPORTS:
        found.append(f"transport is {row.get('transport')!r}")
    texts = ("path", "transport", "unavailable")
    for name, value in row.items():
        if name in texts or value is None:
            continue
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
            found.append(f"{name} is {value!r}")
    known = [name for name in FIGURES if row.get(name) is not None]
    if not known and not row.get("unavailable"):
        found.append("it has no figure, and does not say why")
    if str(row.get("unavailable")).startswith(FAILED):
        found.append(row["unavailable"])
    if row.get("queries_per_second") == 0:
        found.append("queries_per_second is 0")
    return found
