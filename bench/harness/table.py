"""The rows as tables for people, in Markdown, which reads well enough in a terminal."""

from harness.rows import FAILED, PATHS_OF_POINT_SELECTS, figure
from harness.targets import TARGETS, verdict

_NOT_KNOWN = "-"


def document(rows, machine, remarks):
    """The whole report."""
    selects = [row for row in rows if row["path"] in PATHS_OF_POINT_SELECTS]
    others = [row for row in rows if row["path"] not in PATHS_OF_POINT_SELECTS]
    parts = ["\n".join(f"* {line}" for line in [*machine, *remarks]),
             "### Figures to reach", targets_table(rows)]
    for title, some in (("Point selects by primary key", selects), ("And further", others)):
        if some:
            parts += [f"### {title}", rows_table(some, rows)]
    return "\n\n".join(parts) + "\n"


def rows_table(some, rows):
    headings = ("path", "transport", "in flight", "queries/s", "x PgBouncer", "p50 us", "p99 us",
                "p99.9 us", "middle CPU us/query", "connections (busy)", "besides")
    ordered = sorted(some, key=_order)
    return grid(headings, [_line(row, rows) for row in ordered])


def _order(row):
    """By transport, then by the number in flight, then as measured."""
    transports = {"unix": 0, "tcp": 1, None: 0}
    if row["path"] in PATHS_OF_POINT_SELECTS:
        return (transports[row["transport"]], row["in_flight"] or 0)
    return (2, 0)


def _line(row, rows):
    return (row["path"], row["transport"] or _NOT_KNOWN, _number(row["in_flight"], 0),
            _number(row["queries_per_second"], 0), _against_pgbouncer(row, rows),
            _number(row["p50_us"], 0), _number(row["p99_us"], 0), _number(row.get("p999_us"), 0),
            _number(row["middle_cpu_us_per_query"], 1), _connections(row), _besides(row))


def _against_pgbouncer(row, rows):
    """At the same number in flight and by the same transport."""
    if row["path"] not in PATHS_OF_POINT_SELECTS or row["path"] == "grpc_empty":
        return ""
    there = figure(rows, "queries_per_second", "pgbouncer", row["transport"], row["in_flight"])
    if not there or row["queries_per_second"] is None:
        return _NOT_KNOWN
    return f"{row['queries_per_second'] / there:.2f}"


def _connections(row):
    if row["server_connections"] is None:
        return _NOT_KNOWN
    busy = row.get("server_connections_busy")
    return f"{row['server_connections']}" + (f" ({busy:g})" if busy is not None else "")


def _besides(row):
    words = []
    if row.get("unavailable"):
        words.append(_reason(row["unavailable"]))
    for name, unit in (("rows_per_second", "rows/s"), ("peak_memory_mib", "MiB at the most"),
                       ("resident_mib", "MiB resident"), ("ready_ms", "ms")):
        if row.get(name) is not None:
            words.append(f"{_number(row[name], 0 if name == 'rows_per_second' else 1)} {unit}")
    return "; ".join(words).replace("|", "\\|").replace("\n", " ")


def _reason(unavailable):
    if unavailable.startswith(FAILED):
        return unavailable.split("\n")[0]
    return f"not available in this version: {unavailable}"


def targets_table(rows):
    """Every figure to reach, with what was measured beside it."""
    lines = []
    for target in TARGETS:
        value = target.measure(rows)
        lines.append((target.what, _with_unit(target, target.least),
                      _with_unit(target, target.aim), _with_unit(target, value),
                      verdict(target, value)))
    return grid(("what", "at least" , "aim", "measured", ""), lines)


def _with_unit(target, value):
    if value is None:
        return _NOT_KNOWN
    number = f"{value:.2f}".rstrip("0").rstrip(".") if value < 10 else f"{value:.1f}"
    return f"{number} {target.unit}".strip()


def _number(value, digits):
    """With a narrow space between thousands: a comma is a decimal point to half of the world."""
    if value is None:
        return _NOT_KNOWN
    return f"{value:,.{digits}f}".replace(",", " ")


def grid(headings, lines):
    """A Markdown table with columns of even width, numbers to the right."""
    columns = range(len(headings))
    widths = [max(len(line[column]) for line in (headings, *lines)) for column in columns]
    to_the_right = [all(_is_number(line[column]) for line in lines) for column in columns]

    def text(line):
        cells = (cell.rjust(width) if right else cell.ljust(width)
                 for cell, width, right in zip(line, widths, to_the_right))
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (width + 1) + (":" if right else "-")
                    for width, right in zip(widths, to_the_right))
    return "\n".join([text(headings), f"|{rule}|", *(text(line) for line in lines)])


def _is_number(cell):
    return cell in ("", _NOT_KNOWN) or cell[0].isdigit()
