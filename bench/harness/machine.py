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


def busy_percent(seconds):
    """How much of all cores is in use by others: to be called before anything of ours runs."""
    busy, total = _cpu_times()
    time.sleep(seconds)
    busy_after, total_after = _cpu_times()
    return 100 * (busy_after - busy) / max(1, total_after - total)


def _cpu_times():
    with open("/proc/stat", encoding="utf-8") as stat:
        times = [int(word) for word in stat.readline().split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)
