#!/usr/bin/python3
"""Runs each program of the suite of small objects: under libc's malloc and under Stepwell it says
how many operations it did and how long one took; under a malloc that hands a block out twice it
fails."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["STEPWELL_BUILD_DIR"])
sys.path.insert(0, str(SOURCE / "bench" / "peers"))

import run  # noqa: E402
import suites  # noqa: E402

PLACES = {"bin": BUILD / "bin" / "programs", "python": "/usr/bin/python3", "source": SOURCE}
PROGRAMS = [p for p in suites.load("small").programs if p.command[0].startswith("{bin}")]
# These hold a block for no longer than they write to it, or so few that none is handed out twice.
DONT_NOTICE = {"cache-scratch", "cache-scratch-2", "cache-thrash", "cache-thrash-2", "large",
               "growth", "columns", "sweep"}


def quick(program, preload=""):
    return subprocess.run(run.expand([*program.command, *program.quick], PLACES), timeout=120,
                          env={**os.environ, "LD_PRELOAD": preload}, capture_output=True,
                          text=True)


class Programs(unittest.TestCase):
    def check_under(self, preload):
        for program in PROGRAMS:
            with self.subTest(program.name):
                result = quick(program, preload)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                numbers = json.loads(result.stdout)
                for column in program.columns:
                    if column.key not in ("resident_peak", "page_faults", "wall_ms"):
                        self.assertGreater(numbers[column.key], 0)

    def test_under_libc(self):
        self.check_under("")

    def test_under_stepwell(self):
        self.check_under(str(BUILD / "lib" / "libstepwell-preload.so"))

    def test_notice_a_block_that_is_handed_out_twice(self):
        for program in PROGRAMS:
            if program.name not in DONT_NOTICE:
                with self.subTest(program.name):
                    self.assertNotEqual(quick(program, os.environ["PEERS_SPOIL"]).returncode, 0)

    def test_say_what_they_take(self):
        for words in (["--threads", "0"], ["--threads"], ["--slow"]):
            result = subprocess.run([PLACES["bin"] / "tiny", *words], capture_output=True,
                                    text=True, check=False)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn("--threads 1..64", result.stderr)


if __name__ == "__main__":
    unittest.main()
