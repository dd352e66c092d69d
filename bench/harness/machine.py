"""What the figures were measured on. No name of a machine, user or folder."""

import os
import platform
import re
import time


def describe(versions):
    """Lines of text; `versions` are those of the programs that were measured."""
    return [f"{processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB of memory",
            f"Linux {platform.release()}", *versions]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        found = re.search(r"^model name\s*: (.*)$", text.read(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def memory_gib():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


class Neighbours:
    """What else keeps the machine busy, looked at while nothing of ours is under load.

    Paths with many processes get a larger part of a shared machine than those with few, so what
    others do does not only slow everything down: it shifts the ratios.
    """

    QUIET_PERCENT = 10

    def __init__(self, patience):
        """`patience`: how many seconds to wait, each time, for the others to pause."""
        self._patience = patience
        self._seen = []

    @property
    def patient(self):
        return self._patience > 0

    def look(self):
        end = time.monotonic() + self._patience
        busy = busy_percent(0.2)
        while busy > self.QUIET_PERCENT and time.monotonic() < end:
            busy = busy_percent(0.2)
        self._seen.append(busy)

    def interfered(self):
        """In how many of the looks, as a part of 1."""
        return sum(busy > self.QUIET_PERCENT for busy in self._seen) / max(1, len(self._seen))

    def remark(self):
        """A sentence for the report."""
        often = self.interfered()
        if often == 0:
            return "the machine was otherwise idle"
        return (f"NOT ON A QUIET MACHINE: in {often:.0%} of the looks others kept it over "
                f"{self.QUIET_PERCENT} % busy, {max(self._seen):.0f} % at the most; this shifts "
                "the ratios in favour of paths with many processes")


def busy_percent(seconds):
    """How much of all cores is in use now."""
    busy, total = _cpu_times()
    time.sleep(seconds)
    busy_after, total_after = _cpu_times()
    return 100 * (busy_after - busy) / max(1, total_after - total)


def _cpu_times():
    with open("/proc/stat", encoding="utf-8") as stat:
        times = [int(word) for word in stat.readline().split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)
