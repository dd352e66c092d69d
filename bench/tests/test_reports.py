import unittest
from xml.etree import ElementTree

from harness import chart, publishing, table
from harness.processes import Failure
from harness.rows import PATHS_OF_POINT_SELECTS, faults
from harness.targets import TARGETS, verdict


def row(path, rate, in_flight=64, transport="unix", p50=None, cpu=None, **more):
    return {"path": path, "transport": transport, "in_flight": in_flight,
            "queries_per_second": rate, "p50_us": p50, "p99_us": None,
            "middle_cpu_us_per_query": cpu, "server_connections": None, **more}


ROWS = [
    row("connect", 300.0), row("pgbouncer", 10000.0, cpu=22.0), row("pgbouncer_simple", 12000.0),
    row("direct_prepared", 30000.0), row("unary", 20000.0, cpu=38.0),
    row("pipeline", 60000.0, cpu=8.0, server_connections_busy=2),
    row("direct_prepared", 9000.0, 1, p50=100.0), row("pgbouncer", 5000.0, 1, p50=160.0),
    row("unary", 4000.0, 1, p50=190.0),
    row("memory_idle", None, 0, resident_mib=24.5),
    row("tpcb_unary", None, 8, unavailable="UNIMPLEMENTED: not served by this version"),
]


def target(words):
    return next(target for target in TARGETS if words in target.what)


class Targets(unittest.TestCase):
    def test_are_ratios_of_rows_with_the_same_number_in_flight(self):
        self.assertEqual(target("Pipeline, Unix socket, 64").measure(ROWS), 6)
        self.assertEqual(target("best mode").measure(ROWS), 5)
        self.assertEqual(target("direct prepared").measure(ROWS), 2)
        self.assertEqual(target("against connect-per-query").measure(ROWS), 200)

    def test_compare_what_each_adds_to_a_lone_callers_latency(self):
        self.assertEqual(target("lone caller").measure(ROWS), 1.5)

    def test_without_their_rows_are_not_measured(self):
        missing = target("SQLite point reads")
        self.assertIsNone(missing.measure(ROWS))
        self.assertEqual(verdict(missing, None), "not measured")

    def test_say_how_far_they_were_missed(self):
        more = target("Pipeline, Unix socket, 64")
        self.assertEqual([verdict(more, value) for value in (8, 5, 4)],
                         ["aim reached", "reached", "missed by 20%"])
        less = target("idle")
        self.assertEqual([verdict(less, value) for value in (25, 40, 50)],
                         ["aim reached", "reached", "missed by 25%"])


class Table(unittest.TestCase):
    def test_shows_every_row_beside_pgbouncer_at_the_same_number_in_flight(self):
        text = table.document(ROWS, ["a machine"], ["full run"])
        line = next(line for line in text.splitlines() if line.startswith("| pipeline "))
        self.assertIn("60 000 |        6.00", line)
        self.assertEqual(text.count("\n| unary   "), 2)

    def test_does_not_leave_out_what_is_not_available(self):
        text = table.document(ROWS, [], [])
        line = next(line for line in text.splitlines() if "tpcb_unary" in line)
        self.assertIn("not available in this version: UNIMPLEMENTED", line)

    def test_keeps_its_columns_whatever_a_reason_says(self):
        rows = [row("tpcb_unary", None, unavailable="one | two\nthree")]
        lines = table.rows_table(rows, rows).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[2].replace("\\|", "").count("|"), lines[0].count("|"))


class Chart(unittest.TestCase):
    def test_is_xml_with_a_bar_for_each_path_that_was_measured(self):
        root = ElementTree.fromstring(chart.svg(ROWS, "on a machine with <2> cores & more"))
        bars = [bar for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("rx")]
        self.assertEqual(len(bars), 6)
        widest = max(bars, key=lambda bar: float(bar.get("width")))
        self.assertEqual(widest.get("fill"), "#2f6fde")

    def test_can_be_drawn_of_nothing(self):
        ElementTree.fromstring(chart.svg([], ""))


class Schema(unittest.TestCase):
    def test_is_met_by_these_rows(self):
        self.assertEqual(faults(ROWS), [])

    def test_finds_what_is_wrong_with_a_row(self):
        without = dict(ROWS[0])
        del without["p50_us"]
        for broken, words in (
                (without, "p50_us is missing"),
                (row("x", "fast"), "queries_per_second is 'fast'"),
                (row("x", -1.0), "queries_per_second is -1.0"),
                (row("x", 0), "queries_per_second is 0"),
                (row("x", None), "does not say why"),
                (row("x", None, unavailable="failed: no transaction"), "failed: no transaction"),
                (row("x", 1.0, transport="udp"), "transport is 'udp'"),
                (row("x", 1.0, p5_us=1), "p5_us is not a known name")):
            with self.subTest(words):
                self.assertIn(words, "\n".join(faults([broken])))

    def test_finds_rows_that_are_there_twice_or_not_at_all(self):
        self.assertIn("twice", "\n".join(faults([ROWS[0], ROWS[0]])))
        self.assertIn("there is no row of libpqxx", faults(ROWS, PATHS_OF_POINT_SELECTS))
        self.assertNotEqual(faults({}), [])


class Publishing(unittest.TestCase):
    README = f"before\n{publishing._BEGIN}\nold\n{publishing._END}\nafter\n"

    def test_replaces_the_report_and_nothing_else(self):
        text = publishing.with_report(self.README, "new\n")
        self.assertTrue(text.startswith("before\n"))
        self.assertTrue(text.endswith("after\n"))
        self.assertIn("\nnew\n", text)
        self.assertNotIn("old", text)
        self.assertEqual(publishing.with_report(text, "new"), text)

    def test_needs_both_marks(self):
        with self.assertRaises(Failure):
            publishing.with_report("nothing here", "new")
