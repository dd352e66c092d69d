"""What the full benchmark measures beyond point selects, as cases of the same kind."""

from harness.clients import LoadProgram
from harness.measuring import Case
from harness.rows import figure
from harness.servers import ROLE_DIRECT, ROLE_PGBOUNCER, ROLE_SIDECAR

# A rate for a path whose peak is not known, because it was left out or is not available.
_RATE_WITHOUT_PEAK = 100.0


def half_peak_cases(setup, rows):
    """Each way at half of what it did with as many callers, at random moments."""
    def half_peak(path):
        peak = figure(rows, "queries_per_second", path, "unix", 64)
        return peak / 2 if peak else _RATE_WITHOUT_PEAK

    def by_sidecar(path, caller):
        return Case(f"{path}_half_peak", "unix", 64,
                    setup.load(setup.sidecar, caller, rate=half_peak(path)),
                    middle=setup.sidecar.process, role=ROLE_SIDECAR)

    return [
        Case("direct_prepared_half_peak", "unix", 64,
             setup.pgbench(rate=half_peak("direct_prepared")), role=ROLE_DIRECT),
        Case("pgbouncer_half_peak", "unix", 64,
             setup.pgbench_by_pgbouncer(mode="extended", rate=half_peak("pgbouncer")),
             middle=setup.pgbouncer.process, role=ROLE_PGBOUNCER),
        by_sidecar("unary", "unary"), by_sidecar("pipeline", "pipeline")]


def tpcb_cases(setup):
    """pgbench's transaction; a query is a whole transaction in these rows."""
    def by_sidecar(path, caller):
        return Case(path, "unix", 8, setup.load(setup.sidecar, caller, script="tpcb"),
                    middle=setup.sidecar.process, role=ROLE_SIDECAR)

    return [
        Case("tpcb_direct", "unix", 8, setup.pgbench(builtin="tpcb-like"), role=ROLE_DIRECT),
        Case("tpcb_pgbouncer", "unix", 8,
             setup.pgbench_by_pgbouncer(builtin="tpcb-like", mode="extended"),
             middle=setup.pgbouncer.process, role=ROLE_PGBOUNCER),
        by_sidecar("tpcb_unary", "unary"), by_sidecar("tpcb_pipeline", "pipeline_blocking"),
        by_sidecar("tpcb_batch", "batch")]


def sqlite_cases(setup):
    """Reads and writes by a sidecar, and by a loop in one process on a file of its own."""
    file = setup.make_sqlite_database("in_process")
    sidecar = setup.start_sidecar("sqlite", f"sqlite:{setup.make_sqlite_database('sidecar')}")

    def by_sidecar(name, caller, script):
        return Case(name, "unix", 64, setup.load(sidecar, caller, script=script),
                    middle=sidecar.process)

    def in_process(name, statement):
        return Case(name, None, 1, _InProcess(setup, file, statement))

    return [
        in_process("sqlite_in_process_read", "select"),
        by_sidecar("sqlite_unary_read", "unary", "select"),
        by_sidecar("sqlite_pipeline_read", "pipeline", "select"),
        in_process("sqlite_in_process_write", "update"),
        by_sidecar("sqlite_unary_write", "unary", "update"),
        by_sidecar("sqlite_pipeline_write", "pipeline", "update")]


class _InProcess(LoadProgram):
    """A loop over a prepared statement: nobody else is in flight."""

    def __init__(self, setup, path, statement):
        super().__init__(setup.program("sqlite_in_process"), f"--file={path}",
                         f"--rows={setup.rows}", f"--statement={statement}")

    def flags(self, in_flight, seconds):
        return [f"--seconds={seconds}"]
