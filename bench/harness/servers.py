"""The servers that the benchmark starts: PostgreSQL, PgBouncer, the sidecar, and an empty one."""

import glob
import os
import shutil
import signal
import socket

from harness.processes import Failure, Server, account_for_servers, run

DATABASE = "bench"
# A role for each way in, so that pg_stat_activity tells whose connections it counts.
ROLE_DIRECT = "bench_direct"
ROLE_PGBOUNCER = "bench_pgbouncer"
ROLE_SIDECAR = "bench_sidecar"
ROLE_OBSERVER = "bench_observer"
PGBOUNCER_POOL = 8

# The same for every row. Nothing is forced to the disk: what differs between the paths is the way
# to the database, and the disk would hide it.
POSTGRES_SETTINGS = {
    "max_connections": "500",
    "shared_buffers": "512MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
    "listen_addresses": "127.0.0.1",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(address):
    """Whether somebody listens at a path or at a port on the loopback interface."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address if isinstance(address, str) else ("127.0.0.1", address))
            return True
        except OSError:
            return False


def postgres_programs():
    """The folder of the newest PostgreSQL on this machine."""
    folders = [os.path.dirname(path) for path in glob.glob("/usr/lib/postgresql/*/bin/postgres")]
    if not folders:
        raise Failure("there is no /usr/lib/postgresql/*/bin/postgres")
    return max(folders, key=lambda folder: int(folder.split("/")[-2]))


class Postgres:
    """A server of our own in a temporary folder, with pgbench's tables."""

    def __init__(self, folder, scale):
        self.programs = postgres_programs()
        self.account = account_for_servers()
        self.folder = os.path.join(folder, "postgres")
        self.port = free_port()
        os.mkdir(self.folder)
        if self.account is not None:
            shutil.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        self._initialize()
        self._server = self._start()
        try:
            self._server.wait_until_ready(self._answers)
            self._load(scale)
        except BaseException:
            self.stop()
            raise

    def _initialize(self):
        run([f"{self.programs}/initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A",
             "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], self.account)

    def _start(self):
        command = [f"{self.programs}/postgres", "-D", f"{self.folder}/data", "-k", self.folder,
                   "-p", str(self.port)]
        for name, value in POSTGRES_SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        return Server("PostgreSQL", command, f"{self.folder}/log", self.account)

    def _answers(self):
        try:
            self.sql("select 1", database="postgres")
            return True
        except Failure:
            return False

    def _load(self, scale):
        self.sql(f"create database {DATABASE}", database="postgres")
        run([f"{self.programs}/pgbench", "-i", "-q", "-s", str(scale), DATABASE], self.account,
            self.environment("postgres"))
        for role in (ROLE_DIRECT, ROLE_PGBOUNCER, ROLE_SIDECAR, ROLE_OBSERVER):
            self.sql(f"create role {role} login in role pg_read_all_data, pg_write_all_data, "
                     "pg_read_all_stats")
        self.sql("select sum(abalance) from pgbench_accounts")  # Warms the buffers.
        self.sql("checkpoint")

    def environment(self, role, transport="unix"):
        """What libpq programs need to connect."""
        return {"PGHOST": self.folder if transport == "unix" else "127.0.0.1",
                "PGPORT": str(self.port), "PGUSER": role, "PGDATABASE": DATABASE}

    def url(self, role, transport="unix"):
        if transport == "unix":
            host = self.folder.replace("/", "%2F")
            return f"postgresql://{role}@/{DATABASE}?host={host}&port={self.port}"
        return f"postgresql://{role}@127.0.0.1:{self.port}/{DATABASE}"

    def sql(self, text, database=DATABASE):
        environment = {**self.environment("postgres"), "PGDATABASE": database}
        return run([f"{self.programs}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text],
                   self.account, environment).strip()

    def stop(self):
        self._server.stop((signal.SIGINT,))


class PgBouncer:
    """PgBouncer in transaction mode, reaching PostgreSQL by its Unix socket, as the sidecar does."""

    def __init__(self, folder, postgres):
        self.folder = os.path.join(folder, "pgbouncer")
        self.port = free_port()
        account = account_for_servers()
        os.mkdir(self.folder)
        configuration = f"{self.folder}/pgbouncer.ini"
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(self._configuration(postgres))
        if account is not None:
            shutil.chown(self.folder, account.pw_uid, account.pw_gid)
        program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise Failure("there is no pgbouncer on this machine")
        self.version = run([program, "--version"]).split("\n")[0]
        self.process = Server("PgBouncer", [program, configuration], f"{self.folder}/log", account)
        try:
            self.process.wait_until_ready(lambda: accepts(self.port))
        except BaseException:
            self.stop()
            raise

    def _configuration(self, postgres):
        return f"""[databases]
{DATABASE} = host={postgres.folder} port={postgres.port} dbname={DATABASE} user={ROLE_PGBOUNCER}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir = {self.folder}
auth_type = any
pool_mode = transaction
default_pool_size = {PGBOUNCER_POOL}
max_client_conn = 1000
log_connections = 0
log_disconnections = 0
log_stats = 0
"""

    def environment(self, transport="unix"):
        return {"PGHOST": self.folder if transport == "unix" else "127.0.0.1",
                "PGPORT": str(self.port), "PGUSER": "anybody", "PGDATABASE": DATABASE}

    def stop(self):
        self.process.stop()


class Sidecar:
    """The sidecar as in production: its defaults, on TCP and a Unix socket."""

    def __init__(self, folder, name, binary, database_url, flags=()):
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        self.addresses = {"unix": f"unix:{self.folder}/socket",
                          "tcp": f"127.0.0.1:{free_port()}"}
        command = [binary, "serve", "--profile=production", "--http-listen=off"]
        command += [f"--listen={address}" for address in self.addresses.values()]
        self.process = Server(f"the sidecar ({name})", command + list(flags),
                              f"{self.folder}/log", environment={"DATABASE_URL": database_url})

    def wait_until_ready(self, probe):
        """`probe` is the program sidecar_probe. Returns when it was ready, on the monotonic clock."""
        return run([probe, "ready", self.addresses["unix"]], timeout=90)

    def stop(self):
        # The second signal skips the drain.
        self.process.stop((signal.SIGTERM, signal.SIGTERM))


class EmptyServer:
    """Answers every call with nothing: what gRPC itself costs."""

    def __init__(self, folder, binary):
        self.folder = os.path.join(folder, "empty")
        os.mkdir(self.folder)
        self.addresses = {"unix": f"unix:{self.folder}/socket",
                          "tcp": f"127.0.0.1:{free_port()}"}
        self.process = Server("the empty server", [binary, *self.addresses.values()],
                              f"{self.folder}/log")
        try:
            self.process.wait_until_ready(lambda: accepts(f"{self.folder}/socket"))
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.process.stop()
