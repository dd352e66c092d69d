"""Counts a role's server connections while something is measured."""

import selectors
import subprocess
import threading

from harness.figures import median
from harness.processes import Failure, clean_environment

_INTERVAL_SECONDS_MAX = 0.2
_ANSWER_SECONDS_MAX = 10.0
# Open, and busy: at work, or finished with a statement within the last 100 ms.
_COUNT = ("select count(*), count(*) filter (where state = 'active' or "
          "clock_timestamp() - state_change < interval '100 ms') from pg_stat_activity "
          "where backend_type = 'client backend' and usename = '{role}';\n")


class Observer:
    """One psql that stays connected, so that looking costs little and disturbs nobody."""

    def __init__(self, postgres, role):
        self._psql = subprocess.Popen(
            [f"{postgres.programs}/psql", "-XAtq", "-F", " "], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
            start_new_session=True, env=clean_environment(postgres.environment(role)))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._psql.stdout, selectors.EVENT_READ)

    def count(self, role):
        """(open, busy) server connections of a role now."""
        self._psql.stdin.write(_COUNT.format(role=role))
        self._psql.stdin.flush()
        if not self._selector.select(_ANSWER_SECONDS_MAX):
            raise Failure("PostgreSQL did not say how many connections there are")
        line = self._psql.stdout.readline()
        if not line:
            raise Failure("the observer's psql has ended")
        opened, busy = line.split()
        return int(opened), int(busy)

    def watch(self, role, seconds):
        """A context that counts until its end, several times in these seconds."""
        return _Watch(self, role, min(_INTERVAL_SECONDS_MAX, seconds / 5))

    def stop(self):
        self._psql.stdin.close()
        try:
            self._psql.wait(5)
        except subprocess.TimeoutExpired:
            self._psql.kill()
            self._psql.wait(5)


class _Watch:
    def __init__(self, observer, role, interval):
        self._observer = observer
        self._role = role
        self._interval = interval
        self._counts = []
        self._failure = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count_on)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _count_on(self):
        try:
            while not self._over.wait(self._interval):
                self._counts.append(self._observer.count(self._role))
        except Failure as failure:
            self._failure = failure

    def peak_open(self):
        return max((opened for opened, _ in self._counts), default=None)

    def usually_busy(self):
        """The median: a keep-alive ping now and then is no use of a connection."""
        return median(busy for _, busy in self._counts)
