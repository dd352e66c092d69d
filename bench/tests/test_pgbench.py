import os
import tempfile
import unittest

from harness import pgbench
from harness.processes import Failure

OUTPUT = """pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: <builtin: select only>
scaling factor: 10
query mode: prepared
number of clients: 64
number of threads: 2
maximum number of tries: 1
duration: 3 s
number of transactions actually processed: 82500
number of failed transactions: {failed} (0.000%)
latency average = 2.326 ms
initial connection time = 61.201 ms
tps = 27512.250000 (without initial connection time)
"""
OUTPUT_RECONNECTING = """number of transactions actually processed: 914
number of failed transactions: 0 (0.000%)
latency average = 209.946 ms
average connection time = 6.201 ms
tps = 304.840000 (including reconnection times)
"""
LOG = ["0 1 301 0 1700000000 999900", "1 1 299 0 1700000001 100", "0 2 350 0 1700000001 400",
       "0 3 skipped 0 1700000001 500 12"]


class Output(unittest.TestCase):
    def test_gives_the_transactions_and_their_rate(self):
        self.assertEqual(pgbench.parse_output(OUTPUT.format(failed=0)), (82500, 27512.25))

    def test_of_a_reconnecting_run_includes_connecting(self):
        self.assertEqual(pgbench.parse_output(OUTPUT_RECONNECTING), (914, 304.84))

    def test_with_failed_transactions_is_no_result(self):
        with self.assertRaisesRegex(Failure, "3 transactions failed"):
            pgbench.parse_output(OUTPUT.format(failed=3))

    def test_without_a_transaction_is_no_result(self):
        text = "number of transactions actually processed: 0\nnumber of failed transactions: 0 (NaN%)"
        with self.assertRaisesRegex(Failure, "no transaction ended in time"):
            pgbench.parse_output(text)

    def test_that_cannot_be_read_is_no_result(self):
        with self.assertRaisesRegex(Failure, "has no"):
            pgbench.parse_output("pgbench: error: connection to server failed")


class Log(unittest.TestCase):
    def test_lines_have_latencies(self):
        self.assertEqual(pgbench.latencies(LOG[:3]), [301, 299, 350])

    def test_of_a_reconnecting_run_is_read_from_end_to_end_of_each_client(self):
        self.assertEqual(pgbench.latencies_with_connect(LOG[:3]), [500])

    def test_files_of_all_threads_are_read_without_what_was_skipped_and_then_removed(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, lines in (("log.17", LOG[:2]), ("log.17.1", LOG[2:]), ("other.17", LOG)):
                with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                    file.write("\n".join(lines) + "\n")
            found = pgbench.read_logs(os.path.join(folder, "log"))
            self.assertEqual(sorted(pgbench.latencies(found)), [299, 301, 350])
            self.assertEqual(os.listdir(folder), ["other.17"])


class Command(unittest.TestCase):
    def test_runs_by_the_clock_or_briefly_by_number(self):
        words = pgbench.command("pgbench", 8, 2.5, "/x/log", 10)
        self.assertEqual(words[words.index("-T") + 1], "3")
        self.assertNotIn("-T", pgbench.command("pgbench", 8, 0.1, "/x/log", 10))

    def test_has_no_more_threads_than_clients(self):
        words = pgbench.command("pgbench", 1, 1, "/x/log", 10)
        self.assertEqual(words[words.index("-j") + 1], "1")

    def test_pipelines_as_many_statements_as_are_counted(self):
        self.assertEqual(pgbench.pipelined_script().count(pgbench.POINT_SELECT),
                         pgbench.PIPELINE_DEPTH)
