"""Point selects by primary key, by every way to the database: the heart of the table."""

from harness.measuring import Case
from harness.servers import ROLE_DIRECT, ROLE_PGBOUNCER, ROLE_SIDECAR

TRANSPORTS = ("unix", "tcp")


def cases(setup, in_flight):
    """All cases for these numbers of calls in flight."""
    found = []
    for transport in TRANSPORTS:
        for count in in_flight:
            found += _direct(setup, transport, count)
            found += _by_pgbouncer(setup, transport, count)
            found += _by_grpc(setup, transport, count)
    return found


def _direct(setup, transport, count):
    def case(path, client):
        return Case(path, transport, count, client, role=ROLE_DIRECT)

    found = [case("direct_prepared", setup.pgbench(transport)),
             case("libpqxx", setup.libpqxx(transport))]
    if count >= 64:
        found.append(case("direct_pipelined", setup.pgbench(transport, pipelined=True)))
    # More callers at once only queue for the one postmaster, which starts all server processes.
    if count <= 64:
        found.append(case("connect", setup.pgbench(transport, reconnect=True, mode="simple")))
    return found


def _by_pgbouncer(setup, transport, count):
    def case(path, **options):
        return Case(path, transport, count, setup.pgbench_by_pgbouncer(transport, **options),
                    middle=setup.pgbouncer.process, role=ROLE_PGBOUNCER)

    found = [case("pgbouncer", mode="extended")]
    if transport == "unix":
        found.append(case("pgbouncer_simple", mode="simple"))
        if count >= 64:
            found.append(case("pgbouncer_pipelined", mode="extended", pipelined=True))
    return found


def _by_grpc(setup, transport, count):
    def case(path, caller):
        return Case(path, transport, count, setup.load(setup.sidecar, caller, transport),
                    middle=setup.sidecar.process, role=ROLE_SIDECAR)

    empty = setup.load(setup.empty_server, "unary", transport, script="nothing")
    found = [Case("grpc_empty", transport, count, empty, middle=setup.empty_server.process),
             case("unary", "unary"), case("pipeline", "pipeline")]
    if transport == "unix" and count <= 64:
        found.append(case("pipeline_blocking", "pipeline_blocking"))
    if transport == "unix" and count == 64:
        found.append(case("pipeline_raw", "pipeline_raw"))
    return found
