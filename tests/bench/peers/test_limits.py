"""Overhead and retention from rows as the runner saves them."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"], "bench", "peers")))
import limits  # noqa: E402

MIB = 1 << 20


def row(allocator, **numbers):
    return {"program": "p", "allocator": allocator, "round": 1, "failed": "", **numbers}


def metered(lb, mapped=0, requested=0):
    return row("meter", lb=lb * MIB, mapped_growth=mapped * MIB, requested_1000ms=requested * MIB)


def ran(peak, files=0, idle=0):
    return row("glibc", resident_peak_growth=peak * MIB, file_growth=files * MIB,
               resident_1000ms=idle * MIB)


class Limits(unittest.TestCase):
    def only(self, *rows):
        measured = limits.apply(list(rows))
        self.assertEqual([r["allocator"] for r in measured], ["glibc"])
        return measured[0]

    def test_overhead_leaves_out_what_grows_beside_the_heap(self):
        self.assertAlmostEqual(self.only(metered(100, mapped=3), ran(130, files=7))["overhead"],
                               1.20)

    def test_retention_leaves_out_what_is_still_requested(self):
        found = self.only(metered(100, mapped=3, requested=20), ran(130, files=7, idle=45))
        self.assertEqual(found["retention_1000ms"], 15 * MIB)

    def test_the_limit_is_the_median_of_the_metered_runs(self):
        found = self.only(metered(90), metered(100), ran(110), metered(500))
        self.assertAlmostEqual(found["overhead"], 1.10)

    def test_a_program_that_tells_its_own_limit_needs_no_meter(self):
        found = self.only(dict(ran(110, files=1), lb=100 * MIB))
        self.assertAlmostEqual(found["overhead"], 1.09)
        self.assertEqual(found["retention_1000ms"], -1 * MIB)

    def test_a_limit_of_few_pages_gives_no_overhead(self):
        self.assertNotIn("overhead", self.only(metered(7), ran(9)))
        self.assertIn("overhead", self.only(metered(8), ran(9)))

    def test_failed_runs_count_for_nothing(self):
        broken = dict(metered(1000), failed="exit code 1")
        self.assertAlmostEqual(self.only(metered(100), broken, ran(110))["overhead"], 1.10)
        self.assertNotIn("overhead", self.only(broken, ran(110)))

    def test_rows_that_know_no_limit_stay_as_they_are(self):
        self.assertEqual(self.only(row("glibc", cpu_ms=5)), row("glibc", cpu_ms=5))


if __name__ == "__main__":
    unittest.main()
