#!/usr/bin/env python3
"""Out of memory under the preload library, for every strategy: what the program meets (oom.cc says)
and what is written meanwhile. The arguments are the folder of the libraries, oom.cc's program,
and the tier of tests to run, Quick or Slow."""

import json
import os
import re
import subprocess
import sys
import unittest

LIBRARIES, PROGRAM = sys.argv[1:3]
STEPWELL = os.path.join(LIBRARIES, "../bin/stepwell")

REPORT = re.compile(
    r"stepwell: out of memory: (\d+) bytes were asked for, and ([^.]*)\. Strategy (\w+), pid \d+\.\n"
    r"stepwell: MiB live \((?:requested|allocated)\) ([\d.]+), resident ([\d.]+), "
    r"reserved ([\d.]+), largest free ([\d.]+)\n"
    r"(?:stepwell: by size of block, MiB: up to 1 KiB ([\d.]+), to 32 KiB ([\d.]+), "
    r"to 1 MiB ([\d.]+), to 32 MiB ([\d.]+), above ([\d.]+)\n)?"
    r"(?:stepwell: by tag, MiB requested:(?: \w+ [\d.]+,?)+\n)?")


def strategies():
    listed = subprocess.run([STEPWELL, "list", "--json"], capture_output=True, check=True).stdout
    return [row["name"] for row in json.loads(listed)["strategies"] if row["available"]]


def run(what, strategy, conf="", library="libstepwell-preload.so"):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("STEPWELL_")}
    preload = f"{LIBRARIES}/{library}"
    if strategy == "jemalloc":
        preload += f":{LIBRARIES}/libstepwell-jemalloc.so"
    return subprocess.run([PROGRAM, what], capture_output=True, text=True, timeout=300,
                          env={**variables, "LD_PRELOAD": preload, "STEPWELL_STRATEGY": strategy,
                               "STEPWELL_CONF": conf})


class Test(unittest.TestCase):
    def expect(self, result, stderr=""):
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
        self.assertEqual(result.stderr, stderr)

    def expect_one_report(self, result, strategy):
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
        match = REPORT.fullmatch(result.stderr)
        self.assertTrue(match, result.stderr)
        self.assertEqual(match.group(3), strategy)
        return match


    def expect_sizes_of_all_live(self, report):
        by_size = sum(float(report.group(i)) for i in range(8, 13))
        self.assertAlmostEqual(by_size, float(report.group(4)), delta=0.1)


class Quick(Test):
    def test_too_little_address_space(self):
        for strategy in strategies():
            with self.subTest(strategy):
                report = self.expect_one_report(run("address", strategy), strategy)
                self.assertEqual(report.group(2), "the system gives no more")
                self.assertEqual(int(report.group(1)), 1 << 20)
                if strategy == "system":  # libc does not tell
                    self.assertFalse(report.group(8))
                    continue
                self.expect_sizes_of_all_live(report)
                large = float(report.group(10)) + float(report.group(11))
                self.assertGreater(large, 0.9 * float(report.group(4)))  # in blocks of 1 MiB
                self.assertGreater(large, 100)

    def test_the_option_limit(self):
        for strategy in strategies():
            if strategy in ("system", "jemalloc"):  # do not know the option
                continue
            for tracking in 0, 1:
                with self.subTest(strategy, tracking=tracking):
                    conf = f"limit:64M,tracking:{tracking}"
                    report = self.expect_one_report(run("exhaust", strategy, conf), strategy)
                    self.assertEqual(report.group(2), "the option limit:67108864 is reached")
                    self.assertGreater(float(report.group(4)), 40)
                    self.assertLessEqual(float(report.group(6)), 64)
                    self.expect_sizes_of_all_live(report)
                    self.assertEqual("by tag" in report.group(0), tracking == 1)

    def test_checked_blocks_are_told_by_size(self):
        report = self.expect_one_report(run("exhaust", "arena", "limit:64M,checked:1"), "arena")
        self.expect_sizes_of_all_live(report)

    def test_it_can_be_kept_quiet(self):
        self.expect(run("exhaust", "auto", "limit:64M,oom_report:0"))

    def test_of_what_nobody_can_have_nothing_is_said(self):
        for strategy in strategies():
            with self.subTest(strategy):
                self.expect(run("probe", strategy))
                if strategy != "jemalloc":  # which takes the kernel's word that pages come later
                    self.expect(run("probe-64T", strategy))
                if strategy not in ("system", "jemalloc"):
                    self.expect(run("probe", strategy, "limit:1G"))


class Slow(Test):
    def test_every_call_of_the_system_fails(self):
        for strategy in strategies():
            for what in "inject", "inject-on":
                with self.subTest(strategy, what=what):
                    result = run(what, strategy, library="libstepwell-preload-failing.so")
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(REPORT.sub("", result.stderr), "")  # one per process


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
