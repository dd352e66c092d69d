"""Everything that a run needs, started once and stopped at the end, whatever happens."""

import contextlib
import os
import re
import shutil
import tempfile

from harness.clients import LoadProgram, Pgbench
from harness.observer import Observer
from harness.processes import run
from harness.servers import (ROLE_DIRECT, ROLE_OBSERVER, ROLE_SIDECAR, EmptyServer, PgBouncer,
                             Postgres, Sidecar)

# Connections that several callers share; used where the sidecar's own default is to share none.
_SHARED_MAX = 2


class Setup(contextlib.AbstractContextManager):
    """The servers, and clients at their addresses."""

    def __init__(self, build, scale):
        self.scale = scale
        self.rows = 100_000 * scale
        self._build = build
        self._stack = contextlib.ExitStack()
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *_):
        self._stack.close()

    def _start(self):
        self.folder = tempfile.mkdtemp(prefix="dbsidecar-bench-")
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)  # PostgreSQL's account has to get in.
        self.postgres = self._stopped_at_the_end(Postgres(self.folder, self.scale))
        self.pgbouncer = self._stopped_at_the_end(PgBouncer(self.folder, self.postgres))
        self.empty_server = self._stopped_at_the_end(
            EmptyServer(self.folder, self.program("empty_server")))
        self.observer = self._stopped_at_the_end(Observer(self.postgres, ROLE_OBSERVER))
        self.flags = self._flags()
        self.sidecar = self.start_sidecar("sidecar", self.postgres.url(ROLE_SIDECAR))

    def _stopped_at_the_end(self, server):
        self._stack.callback(server.stop)
        return server

    def program(self, name):
        return os.path.join(self._build, name)

    def versions(self):
        postgres = run([f"{self.postgres.programs}/postgres", "--version"]).strip()
        sidecar = run([self.program("dbsidecar"), "--version"]).strip()
        return [postgres, self.pgbouncer.version, sidecar + " " + " ".join(self.flags)]

    def _flags(self):
        """Production's defaults, and shared connections."""
        checked = run([self.program("dbsidecar"), "config", "check"],
                      environment={"DATABASE_URL": self.postgres.url(ROLE_SIDECAR)})
        shares_by_default = re.search(r"^shared-max += [1-9]", checked, re.MULTILINE)
        return [] if shares_by_default else [f"--shared-max={_SHARED_MAX}"]

    def start_sidecar(self, name, database_url):
        """One that serves until the end, or until it is stopped."""
        flags = self.flags if database_url.startswith("postgresql") else []
        sidecar = self._stopped_at_the_end(
            Sidecar(self.folder, name, self.program("dbsidecar"), database_url, flags))
        sidecar.wait_until_ready(self.program("sidecar_probe"))
        return sidecar

    def make_sqlite_database(self, name):
        """The path of a file with pgbench's largest table."""
        path = os.path.join(self.folder, f"{name}.db")
        run([self.program("sqlite_in_process"), f"--file={path}", f"--rows={self.rows}",
             "--create=true"])
        return path

    def pgbench(self, transport="unix", **options):
        """pgbench at PostgreSQL itself."""
        # A server process has to start for each connection.
        return self._pgbench(self.postgres.environment(ROLE_DIRECT, transport),
                             {"connecting_seconds": 0.01, **options})

    def pgbench_by_pgbouncer(self, transport="unix", **options):
        return self._pgbench(self.pgbouncer.environment(transport), options)

    def _pgbench(self, environment, options):
        return Pgbench(f"{self.postgres.programs}/pgbench", environment, self.folder, self.scale,
                       **options)

    def load(self, server, path, transport="unix", script="select", rate=0.0):
        """The load generator at a sidecar or the empty server."""
        return LoadProgram(self.program("load_generator"), f"--addr={server.addresses[transport]}",
                           f"--path={path}", f"--script={script}", f"--scale={self.scale}",
                           f"--rate={rate}")

    def libpqxx(self, transport="unix"):
        return LoadProgram(self.program("libpqxx_load"), f"--scale={self.scale}",
                           f"--database={self.postgres.url(ROLE_DIRECT, transport)}")
