"""Child processes: started so that none outlives the benchmark, and what /proc tells of them."""

import ctypes
import os
import pwd
import signal
import subprocess
import time

CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """The benchmark cannot go on; the text says why."""


def account_for_servers():
    """PostgreSQL and PgBouncer refuse to run as root: the account that they run as then."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise Failure("PostgreSQL does not run as root, and there is no user `postgres`") from None


def clean_environment(extra=None):
    """The environment without what would configure PostgreSQL's programs or the sidecar."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "DBSIDECAR_", "DATABASE_URL", "ENABLE_POOL_LOGGING",
                                "HEALTH_CHECK_INTERVAL"))
    }
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(extra or {})}


def run(command, account=None, environment=None, timeout=120):
    """Runs to the end and returns standard output. Failure, with what it said, if it fails."""
    options = _as_account(account)
    try:
        done = subprocess.run(command, env=clean_environment(environment), timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, **options)
    except subprocess.TimeoutExpired:
        raise Failure(f"{os.path.basename(command[0])} did not end within {timeout} s") from None
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}\nended with status {done.returncode}:\n"
                      f"{done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


def wait_until(ready, what, timeout=30.0):
    """Asks `ready()` again and again; Failure when it stays false."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            raise Failure(f"{what} did not become ready within {timeout:.0f} s")
        time.sleep(0.02)


def _as_account(account):
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _die_with_parent():
    # Also when the benchmark is killed and can clean up nothing.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A process that serves until it is stopped."""

    def __init__(self, name, command, log, account=None, environment=None):
        self.name = name
        self._log_path = log
        with open(log, "ab") as output:
            # A session of its own: Ctrl-C reaches the benchmark alone, which then stops it.
            self._process = subprocess.Popen(
                command, env=clean_environment(environment), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_die_with_parent, **_as_account(account))

    @property
    def pid(self):
        return self._process.pid

    def wait_until_ready(self, ready, timeout=30.0):
        def ready_or_ended():
            if self._process.poll() is not None:
                raise Failure(f"{self.name} ended with status {self._process.returncode}:\n"
                              f"{self.log()[-2000:]}")
            return ready()

        wait_until(ready_or_ended, self.name, timeout)

    def stop(self, signals=(signal.SIGTERM,), timeout=10.0):
        """Sends the signals one after another, and SIGKILL when they do not help."""
        if self._process.poll() is not None:
            return
        for number in signals:
            self._process.send_signal(number)
            time.sleep(0.05)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout)

    def log(self):
        with open(self._log_path, encoding="utf-8", errors="replace") as text:
            return text.read()

    def cpu_seconds(self):
        """User and system time so far, threads included."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            return parse_cpu_ticks(stat.read()) / CLOCK_TICKS_PER_SECOND

    def resident_mib(self):
        return self._status_kib("VmRSS") / 1024

    def peak_resident_mib(self):
        return self._status_kib("VmHWM") / 1024

    def _status_kib(self, field):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            return parse_status_kib(status.read(), field)


def parse_cpu_ticks(stat):
    """utime + stime of /proc/PID/stat. The program's name may hold spaces and parentheses."""
    fields = stat[stat.rindex(")") + 2:].split()
    return int(fields[11]) + int(fields[12])


def parse_status_kib(status, field):
    """A field of /proc/PID/status in KiB."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise Failure(f"/proc/PID/status has no {field}")
