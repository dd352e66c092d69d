"""Puts the report of a run into the documentation."""

import os
import shutil

from harness.processes import Failure

_BEGIN = "<!-- The report of ./dev bench begins. `./dev bench --publish` writes it. -->"
_END = "<!-- The report of ./dev bench ends. -->"


def publish(out, bench):
    """From the folder `out` into `bench`/README.md and `bench`/chart.svg."""
    report_path = os.path.join(out, "table.md")
    if not os.path.exists(report_path):
        raise Failure("there is no report; run ./dev bench")
    report = _read(report_path)
    if "full run" not in report:
        raise Failure("the last report is not of a full run; run ./dev bench")
    readme_path = os.path.join(bench, "README.md")
    _write(readme_path, with_report(_read(readme_path), report))
    shutil.copyfile(os.path.join(out, "chart.svg"), os.path.join(bench, "chart.svg"))


def with_report(readme, report):
    """The README with this report between its two marks."""
    if readme.count(_BEGIN) != 1 or readme.count(_END) != 1:
        raise Failure(f"README.md has to have these two lines once:\n{_BEGIN}\n{_END}")
    before, rest = readme.split(_BEGIN)
    after = rest.split(_END)[1]
    return f"{before}{_BEGIN}\n\n{report.strip()}\n\n{_END}{after}"


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
