#!/usr/bin/env python3
"""What the preload library reads from the environment, and what it says of it: STEPWELL_STRATEGY,
STEPWELL_CONF, STEPWELL_STATS. The argument is the library."""

import os
import re
import subprocess
import sys
import unittest

LIBRARY = sys.argv.pop()


def run(*command, **environment):
    """Runs the command under the library; `environment` says STEPWELL_X as X."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("STEPWELL_")}
    variables.update({f"STEPWELL_{name}": value for name, value in environment.items()})
    return subprocess.run(command or ["echo", "said"], capture_output=True, text=True, timeout=120,
                          env={**variables, "LD_PRELOAD": LIBRARY})


def strategy_in(report):
    return re.search(r"strategy (\w+)", report).group(1)


class Configuration(unittest.TestCase):
    def expect_said(self, result, *lines):
        """The program does its work; stderr is these lines (each a part of one) and no other."""
        self.assertEqual((result.returncode, result.stdout), (0, "said\n"), result.stderr)
        self.assertEqual(result.stderr.count("\n"), len(lines), result.stderr)
        for line, said in zip(lines, result.stderr.splitlines()):
            self.assertTrue(said.startswith("stepwell: "), said)
            self.assertIn(line, said)

    def test_nothing_is_said_of_what_is_right(self):
        self.expect_said(run())
        self.expect_said(run(STRATEGY="", CONF="", STATS=""))
        self.expect_said(run(STRATEGY="pool", CONF="huge_pages:never,limit:1G", STATS="0"))

    def test_an_unknown_key_is_one_line_with_the_nearest(self):
        self.expect_said(run(CONF="limt:1G"), "did you mean 'limit'?")
        self.expect_said(run(CONF="limit:lots"), "option 'limit' takes a number of bytes")

    def test_a_wrong_conf_leaves_the_strategy(self):
        self.assertEqual(strategy_in(run(STRATEGY="pool", CONF="x:1", STATS="1").stderr), "pool")

    def test_a_wrong_strategy_is_one_line_and_leaves_the_conf(self):
        self.expect_said(run(STRATEGY="pol", CONF="limit:64M"), "did you mean 'pool'?")
        result = run("python3", "-c", "try: bytearray(1 << 28)\nexcept MemoryError: print('limited')",
                     STRATEGY="pol", CONF="limit:64M")
        self.assertIn("limited", result.stdout)

    def test_both_wrong_are_two_lines(self):
        self.expect_said(run(STRATEGY="pol", CONF="limt:1"), "'limit'", "'pool'")

    def test_a_long_conf_is_read_to_its_end(self):
        self.expect_said(run(CONF="limit:1G," * 200 + "limt:1"), "did you mean 'limit'?")

    def test_the_jemalloc_strategy_says_what_to_preload(self):
        self.expect_said(run(STRATEGY="jemalloc"), "libstepwell-jemalloc.so")


if __name__ == "__main__":
    unittest.main()
