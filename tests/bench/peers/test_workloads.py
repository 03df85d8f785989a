"""bench/workloads: what it refuses before any work."""
import os
import pathlib
import subprocess
import sys
import unittest

WORKLOADS = pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"], "bench", "workloads")


class CommandLine(unittest.TestCase):
    def test_numbers_begin_at_one(self):
        for option in "--steps", "--threads":
            for value in "0", "-3", "two", "1.5":
                with self.subTest(option=option, value=value):
                    ran = subprocess.run([sys.executable, WORKLOADS, "tiny", f"{option}={value}"],
                                         capture_output=True, text=True)
                    self.assertEqual((ran.returncode, ran.stdout), (2, ""))
                    self.assertIn(f"argument {option}: a whole number from 1 on is wanted, not "
                                  f"'{value}'", ran.stderr)


if __name__ == "__main__":
    unittest.main()
