import unittest

from harness import clients, figures, processes
from harness.figures import Run, Sample
from harness.measuring import Case

CASE = Case("pgbouncer", "unix", 64, client=None)


def sample(rate, p50=None, cpu=None, connections=None, busy=None, unavailable=None):
    return Sample(Run(int(rate), rate, p50_us=p50, unavailable=unavailable), cpu, connections, busy)


class Arithmetic(unittest.TestCase):
    def test_a_median_leaves_out_what_is_not_known(self):
        self.assertEqual(figures.median([3, None, 1, 2]), 2)
        self.assertIsNone(figures.median([None]))

    def test_a_percentile_is_one_of_the_values(self):
        values = list(range(1, 101))
        self.assertEqual(figures.percentile(values, 0.5), 50)
        self.assertEqual(figures.percentile(values, 0.99), 99)
        self.assertEqual(figures.percentile([7], 0.999), 7)
        self.assertIsNone(figures.percentile([], 0.5))

    def test_the_spread_is_told_in_percent_of_the_median(self):
        self.assertEqual(figures.spread_percent([90, 100, 120]), 30)
        self.assertIsNone(figures.spread_percent([]))


class RowOfSamples(unittest.TestCase):
    def test_has_medians_and_the_peak_of_connections(self):
        row = figures.row_of(CASE, [sample(100, 10, 5.0, 8, 8), sample(300, 30, 7.0, 6, 4),
                                    sample(200, 20, None, None, None)])
        self.assertEqual((row["path"], row["transport"], row["in_flight"]),
                         ("pgbouncer", "unix", 64))
        self.assertEqual((row["queries_per_second"], row["p50_us"]), (200, 20))
        self.assertEqual(row["middle_cpu_us_per_query"], 6)
        self.assertEqual((row["server_connections"], row["server_connections_busy"]), (8, 6))
        self.assertEqual(row["repetitions"], 3)

    def test_leaves_out_a_repetition_that_failed(self):
        row = figures.row_of(CASE, [sample(0, unavailable="failed: no transaction"), sample(100)])
        self.assertEqual((row["queries_per_second"], row["repetitions"]), (100, 1))
        self.assertNotIn("unavailable", row)

    def test_that_are_unavailable_has_no_figures_but_the_reason(self):
        row = figures.row_of(CASE, [sample(0, unavailable="UNIMPLEMENTED: not yet")])
        self.assertIsNone(row["queries_per_second"])
        self.assertEqual(row["unavailable"], "UNIMPLEMENTED: not yet")


class LineOfALoadProgram(unittest.TestCase):
    def test_becomes_a_run(self):
        run = clients.parse_line('{"queries": 9, "errors": 0, "seconds": 1.0, "qps": 9.0, '
                                 '"p50_us": 1.5, "p99_us": 2.5, "p999_us": 3.5}')
        self.assertEqual(run, Run(9, 9.0, 1.5, 2.5, 3.5))

    def test_may_say_that_it_is_unavailable(self):
        run = clients.parse_line('{"unavailable": "UNIMPLEMENTED: later"}')
        self.assertEqual(run.unavailable, "UNIMPLEMENTED: later")

    def test_with_errors_is_no_result(self):
        with self.assertRaisesRegex(processes.Failure, "2 calls failed"):
            clients.parse_line('{"queries": 9, "errors": 2, "qps": 9.0}')


class FilesOfProc(unittest.TestCase):
    def test_cpu_time_is_read_after_a_name_with_blanks_and_parentheses(self):
        stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 700 30 0 0 20 0 5 0 1000 1 1"
        self.assertEqual(processes.parse_cpu_ticks(stat), 730)

    def test_a_size_is_read_in_kib(self):
        self.assertEqual(processes.parse_status_kib("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS"), 2048)
