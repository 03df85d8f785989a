"""script/compare-peers with the suite torch: from the command to CSV, table and picture.

usage: test_torch_suite.py PROGRAM,...
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PEERS = pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"], "bench", "peers")
sys.path.insert(0, str(PEERS))
import limits  # noqa: E402
import rows  # noqa: E402

PROGRAMS = sys.argv.pop()
ALLOCATORS = ["glibc", "stepwell"]
# Of each run; what the meter's runs add is in limits.OF_METER.
MEASURED = {"step_ms", "step_ms_min", "sys_ms_per_step", "page_faults_per_step", "resident_start",
            "resident_peak_growth", "file_growth", "huge_pages", "resident_1000ms",
            "first_step_ratio"}
COUNTED = "memory_calls_per_step"
# Less than 1 only where a block is not touched to its end, or was there before; or where threads meet
# by chance, and in the metered run more of their requests at once.
LEAST_OVERHEAD = {"server": 0.6}


def compare(*words):
    ran = subprocess.run([sys.executable, PEERS, "--build", os.environ["STEPWELL_BUILD_DIR"],
                          *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ran.returncode != 0:
        raise AssertionError(f"exit code {ran.returncode}: {ran.stderr}")
    return ran.stdout


class TorchSuite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.csv = pathlib.Path(cls.folder.name, "torch.csv")
        cls.picture = pathlib.Path(cls.folder.name, "torch.svg")
        cls.table = compare("--suite", "torch", "--quick", "--programs", PROGRAMS, "--allocators",
                            ",".join(ALLOCATORS), "--csv", cls.csv, "--picture", cls.picture)
        cls.rows = rows.load(cls.csv)[1]

    def test_every_run_tells_all(self):
        for row in self.rows:
            self.assertLessEqual(MEASURED if row["round"] else {COUNTED}, set(row), row)

    def test_memory_system_calls_are_counted_of_every_allocator(self):
        counted = [(row["program"], row["allocator"]) for row in self.rows if COUNTED in row]
        self.assertCountEqual(counted, [(name, allocator) for name in PROGRAMS.split(",")
                                        for allocator in ALLOCATORS])

    def test_nobody_holds_less_than_the_least(self):
        measured = [row for row in limits.apply(self.rows) if row["round"]]
        self.assertEqual(len(measured), len(PROGRAMS.split(",")) * len(ALLOCATORS))
        for row in measured:
            self.assertGreater(row["overhead"], LEAST_OVERHEAD.get(row["program"], 0.9), row)
            self.assertLess(row["overhead"], 4, row)
            self.assertLess(row["retention_1000ms"], row["resident_peak_growth"], row)

    def test_the_saved_rows_make_the_same_table_and_picture(self):
        again = pathlib.Path(self.folder.name, "again.svg")
        table = compare("--from-csv", self.csv, "--picture", again)
        self.assertTrue(table.endswith(self.table))
        self.assertEqual(again.read_text(), self.picture.read_text())
        for name in PROGRAMS.split(","):
            self.assertIn(f">{name}</text>", self.picture.read_text())


if __name__ == "__main__":
    unittest.main()
