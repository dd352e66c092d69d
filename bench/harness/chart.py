"""A bar chart of queries per second as SVG, readable on light and dark pages."""

from xml.sax.saxutils import escape

from harness.rows import figure

_BARS = (
    ("connect", "connect per query"),
    ("pgbouncer", "PgBouncer, extended protocol"),
    ("pgbouncer_simple", "PgBouncer, simple protocol"),
    ("unary", "sidecar, unary"),
    ("libpqxx", "64 direct connections, libpqxx"),
    ("direct_prepared", "64 direct connections, pgbench"),
    ("pipeline", "sidecar, Pipeline"),
)
_WIDTH = 760
_LABEL_WIDTH = 230
_NUMBER_WIDTH = 165
_BAR_HEIGHT = 24
_GAP = 10
_TOP = 48
_BOTTOM = 26
_OURS = "#2f6fde"
_OTHERS = "#9aa4b2"


def svg(rows, caption):
    """The chart; paths that were not measured are left out."""
    bars = []
    for path, label in _BARS:
        value = figure(rows, "queries_per_second", path, "unix", 64)
        if value is not None:
            bars.append((path, label, value, figure(rows, "middle_cpu_us_per_query", path, "unix",
                                                    64)))
    height = _TOP + len(bars) * (_BAR_HEIGHT + _GAP) + _BOTTOM
    largest = max((value for _, _, value, _ in bars), default=1)
    parts = [_opening(height)]
    for number, bar in enumerate(bars):
        parts.append(_bar(bar, _TOP + number * (_BAR_HEIGHT + _GAP), largest))
    parts.append(_text(16, height - 10, caption, size=11, css="quiet"))
    return "\n".join([*parts, "</svg>", ""])


def _opening(height):
    title = "Point selects per second: 64 callers who do not know of each other, Unix sockets"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" \
viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" role="img" aria-label="{title}">
<style>text {{ fill: #1f2933 }} .quiet {{ fill: #6b7683 }}</style>
<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>
{_text(16, 28, title, size=16, weight="bold")}"""


def _bar(bar, top, largest):
    path, label, value, cpu = bar
    width = max(1.0, (_WIDTH - _LABEL_WIDTH - _NUMBER_WIDTH) * value / largest)
    middle = top + _BAR_HEIGHT / 2 + 5
    number = f"{value:,.0f}".replace(",", " ")
    if cpu is not None:
        number += f"  ({cpu:.0f} us CPU)"
    colour = _OURS if path in ("unary", "pipeline") else _OTHERS
    return "\n".join([
        _text(_LABEL_WIDTH - 10, middle, label, size=13, anchor="end"),
        f'<rect x="{_LABEL_WIDTH}" y="{top}" width="{width:.1f}" height="{_BAR_HEIGHT}" rx="2" '
        f'fill="{colour}"/>',
        _text(_LABEL_WIDTH + width + 8, middle, number, size=13)])


def _text(x, y, words, size, weight="normal", anchor="start", css=None):
    kind = f' class="{css}"' if css else ""
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}"{kind}>{escape(words)}</text>')
