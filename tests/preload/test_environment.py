#!/usr/bin/env python3
"""What the preload library reads from the environment, and what it says of it: STEPWELL_STRATEGY,
STEPWELL_CONF, STEPWELL_STATS. The arguments are a library that makes pages look large, a program
that ends within malloc, and our library."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

LIBRARY = sys.argv.pop()
INTERRUPTED = sys.argv.pop()
LARGE_PAGES = sys.argv.pop()


def preloaded(environment, libraries=LIBRARY):
    """The variables of a program under the libraries; `environment` says STEPWELL_X as X."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("STEPWELL_")}
    variables["PYTHONCOERCECLOCALE"] = "0" # else Python's environment is not what it was started with
    variables.update({f"STEPWELL_{name}": value for name, value in environment.items()})
    return {**variables, "LD_PRELOAD": libraries}


def run(*command, libraries=LIBRARY, cwd=None, **environment):
    """Runs the command under the library."""
    return subprocess.run(command or ["echo", "said"], capture_output=True, text=True, timeout=120,
                          cwd=cwd, env=preloaded(environment, libraries))


def start(program, **environment):
    """The same of a Python program, that goes on; it has said "ready"."""
    process = subprocess.Popen([sys.executable, "-u", "-c", program], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=preloaded(environment))
    assert process.stdout.readline() == "ready\n"
    return process


def run_unread(program, **environment):
    """A Python program's exit code and output, where nobody reads its stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=writing,
                            text=True, timeout=120, restore_signals=True, env=preloaded(environment))
    os.close(writing)
    return result.returncode, result.stdout


TABLE = re.compile(r"""stepwell: (?:python[\d.]*|preload.interrupted) \(pid (\d+)\), strategy (\w+)
stepwell: \d+\.\d\d s, of CPU \d+\.\d\d user, \d+\.\d\d system; page faults [1-9]\d*, from disk \d+; peak RSS \d+\.\d\d MiB
stepwell: MiB             current         peak
((?:stepwell: \w+ +\d+\.\d\d +(?:\d+\.\d\d|n/a)\n)+)""")
WAITS = "print('ready'); import sys; sys.stdin.read()"


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

    def test_what_is_right_in_a_wrong_conf_is_taken(self):
        for conf in "limit:64M,limt:1", "limt:1, limit:64M", "limit:64M,retain=0":
            result = run(sys.executable, "-c", "try: bytearray(1 << 28)\nexcept MemoryError: print('limited')",
                         CONF=conf + ",oom_report:0")
            self.assertEqual(result.stdout, "limited\n")
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            self.assertIn("going on without it", result.stderr)

    def test_a_request_beyond_the_limit_is_told_of(self):
        result = run(sys.executable, "-c", "try: bytearray(50 << 20)\nexcept MemoryError: print('said')",
                     CONF="limit:20M")
        self.assertEqual(result.stdout, "said\n")
        self.assertRegex(result.stderr, r"^stepwell: out of memory: 524\d+ bytes were asked for, and the "
                                        r"option limit:20971520 is reached. Strategy auto")

    def test_an_option_for_other_strategies_is_one_line(self):
        self.expect_said(run(STRATEGY="system", CONF="limit:1G"),
                         "option 'limit' does nothing under strategy 'system'; it is for pool, ")
        self.expect_said(run(STRATEGY="pool", CONF="limit:1G,retain:1M"),
                         "option 'retain' does nothing under strategy 'pool'; it is for auto")

    def test_what_stats_does_not_take_is_one_line(self):
        for value in "yes", "on", "1,sginal":
            self.expect_said(run(STATS=value), f"STEPWELL_STATS takes 0, 1 or a file, which has a "
                             f"'/', '.' or '%' in its name, perhaps with ',signal' behind it, not '{value}'")
            self.assertFalse(os.path.exists(value))

    def test_a_wrong_conf_leaves_the_strategy(self):
        self.assertEqual(strategy_in(run(STRATEGY="pool", CONF="x:1", STATS="1").stderr), "pool")

    def test_a_wrong_strategy_is_one_line_and_leaves_the_conf(self):
        self.expect_said(run(STRATEGY="pol", CONF="limit:64M"), "did you mean 'pool'?")
        result = run(sys.executable, "-c", "try: bytearray(1 << 28)\nexcept MemoryError: print('limited')",
                     STRATEGY="pol", CONF="limit:64M")
        self.assertIn("limited", result.stdout)

    def test_both_wrong_are_two_lines(self):
        self.expect_said(run(STRATEGY="pol", CONF="limt:1"), "'limit'", "'pool'")

    def test_a_long_conf_is_read_to_its_end(self):
        self.expect_said(run(CONF="limit:1G," * 200 + "limt:1"), "did you mean 'limit'?")

    def test_where_pages_are_not_what_it_was_built_for_libc_goes_on(self):
        both = f"{LARGE_PAGES}:{LIBRARY}"
        self.expect_said(run(libraries=both), "pages are not the 4 KiB")
        self.expect_said(run(libraries=both, STRATEGY="pool"), "strategy 'auto'", "strategy 'system'")
        self.expect_said(run(libraries=both, STRATEGY="system"))

    def test_the_jemalloc_strategy_says_what_to_preload(self):
        self.expect_said(run(STRATEGY="jemalloc"), "libstepwell-jemalloc.so")


class Table(unittest.TestCase):
    def rows(self, text):
        """Exactly one table, and what it says: current and peak by name, in MiB."""
        match = TABLE.fullmatch(text)
        self.assertTrue(match, text)
        return {line.split()[1]: [float(number) for number in line.split()[2:] if number != "n/a"]
                for line in match.group(3).splitlines()}

    def test_what_it_says(self):
        program = "a = bytearray(100 << 20); b = bytearray(30 << 20); del a; print('said')"
        result = run(sys.executable, "-c", program, STATS="1", CONF="tracking:1")
        self.assertEqual(result.stdout, "said\n")
        rows = self.rows(result.stderr)
        self.assertEqual(list(rows), ["requested", "allocated", "active", "resident", "reserved",
                                      "metadata", "releasable", "pinned", "retention", "unseen"])
        self.assertGreater(rows["requested"][1], 130)
        self.assertLess(rows["requested"][1], 150)
        for name in "requested", "allocated", "reserved":
            self.assertLess(rows[name][0], rows[name][1] + 0.01)
        self.assertLessEqual(rows["requested"][1], rows["allocated"][1])
        retention = rows["resident"][0] - rows["requested"][0]
        self.assertAlmostEqual(rows["retention"][0], retention, delta=0.02)

    def test_what_is_not_the_heaps_is_unseen(self):
        program = """if True:
            import ctypes, mmap
            kept = mmap.mmap(-1, 80 << 20)
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # to the end, and beyond
            kept[::4096] = bytes(80 << 8)"""
        rows = self.rows(run(sys.executable, "-c", program, STATS="1").stderr)
        self.assertGreater(rows["unseen"][0], 80)
        self.assertLess(rows["unseen"][0], 110)

    def test_a_peak_that_nobody_watched_is_not_given(self):
        program = "a = bytearray(100 << 20); a[::4096] = a[::4096]; del a; print('said')"
        text = run(sys.executable, "-c", program, STATS="1").stderr
        rows = self.rows(text)
        self.assertEqual([len(rows[name]) for name in ("allocated", "resident", "reserved")], [1, 1, 2])
        self.assertGreater(float(re.search(r"peak RSS (\S+)", text).group(1)), 100)

    def test_the_peak_is_the_programs_own(self):
        """And not that of who started it: Python does so by vfork."""
        program = ("import os, subprocess; large = b'x' * (300 << 20); "
                   "subprocess.run(['ls', '/'], env={**os.environ, 'STEPWELL_STATS': '1'})")
        text = run(sys.executable, "-c", program).stderr
        self.assertLess(float(re.search(r"peak RSS (\S+)", text).group(1)), 100)

    def test_a_program_that_ends_within_malloc_ends(self):
        for conf in "", "tracking:1", "checked:1":
            tables = 0
            for _ in range(6):
                result = run(INTERRUPTED, STATS="1", CONF=conf)
                self.assertEqual(result.returncode, 0, conf)
                has_table = TABLE.fullmatch(result.stderr)
                tables += bool(has_table)
                if not has_table:
                    self.assertRegex(result.stderr, r"^stepwell: preload.interrupted \(pid \d+\) "
                                     r"ended within a call of malloc: no table\n$")
            if conf == "":  # nearly all of its time it has a lock in hand
                self.assertLess(tables, 6)

    def test_a_program_that_allocates_nothing_says_so(self):
        self.assertRegex(run("true", STATS="1").stderr, r"^stepwell: true \(pid \d+\) allocated nothing\n$")

    def test_every_strategy_has_one(self):
        for strategy in "system", "pool", "sizeclass", "arena", "auto":
            result = run(sys.executable, "-c", "pass", STATS="1", STRATEGY=strategy)
            self.assertIn("allocated", self.rows(result.stderr))
            self.assertEqual(strategy_in(result.stderr), strategy)

    def test_a_file_per_process(self):
        with tempfile.TemporaryDirectory() as folder:
            program = "import os; p = os.fork(); p and os.waitpid(p, 0)"
            result = run(sys.executable, "-c", program, STATS=f"{folder}/table.%p.txt")
            self.assertEqual((result.stdout, result.stderr), ("", ""))
            names = os.listdir(folder)
            self.assertEqual(len(names), 2, names)
            for name in names:
                with open(os.path.join(folder, name)) as file:
                    text = file.read()
                self.rows(text)
                self.assertEqual(name, f"table.{TABLE.match(text).group(1)}.txt")

    def test_a_file_is_named_as_the_program_found_it(self):
        """Which went elsewhere, and wrote its title over its environment."""
        program = ("import ctypes, os\n"
                   "environ = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), 'environ')\n"
                   "start = environ[0]\n"
                   "ctypes.memset(start, ord('x'), sum(len(k) + len(v) + 2 for k, v in os.environb.items()) - 1)\n"
                   "os.chdir('/')")
        with tempfile.TemporaryDirectory() as folder:
            result = run(sys.executable, "-c", program, cwd=folder, STATS="table.%p")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            [name] = os.listdir(folder)
            with open(os.path.join(folder, name)) as file:
                self.rows(file.read())

    def test_nobody_reads_it(self):
        usual = "import os, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        refused = "try: bytearray(1 << 28)\nexcept MemoryError: print('said')"
        self.assertEqual(run_unread(usual + "print('said')", STATS="1"), (0, "said\n"))
        self.assertEqual(run_unread(usual + refused, CONF="limit:64M"), (0, "said\n"))
        self.assertEqual(run_unread(usual + "os.write(2, b'x')")[0], -signal.SIGPIPE) # the program's own

    def test_a_file_that_cannot_be_written(self):
        result = run(sys.executable, "-c", "print('said')", STATS="/no/such/file")
        self.assertEqual((result.stdout, result.stderr),
                         ("said\n", "stepwell: can't write '/no/such/file', named in STEPWELL_STATS: "
                                    "No such file or directory\n"))

    def test_a_full_disk_is_told_of(self):
        result = run(sys.executable, "-c", "print('said')", STATS="/dev/full")
        self.assertEqual((result.stdout, result.stderr),
                         ("said\n", "stepwell: can't write '/dev/full', named in STEPWELL_STATS: "
                                    "No space left on device\n"))

    def test_a_program_that_closes_stderr(self):
        self.rows(run(sys.executable, "-c", "import os; os.close(2)", STATS="1").stderr)

    def test_nothing_is_written_into_a_file_that_took_the_place_of_stderr(self):
        with tempfile.NamedTemporaryFile() as file:
            program = ("import os; os.closerange(2, 1024); "
                       f"[os.open({file.name!r}, os.O_WRONLY) for _ in range(300)]; os.close(2)")
            result = run(sys.executable, "-c", program, STATS="1")
            self.assertEqual(result.returncode, 0)
            self.assertEqual(file.read(), b"")


class Signal(unittest.TestCase):
    def read_table(self, process):
        lines = [process.stderr.readline() for _ in range(8)]
        self.assertTrue(TABLE.fullmatch("".join(lines)), lines)
        return int(TABLE.match("".join(lines)).group(1))

    def end(self, process, code=0):
        """No table at the end: none was asked for."""
        self.assertEqual(process.communicate(timeout=60)[1], "")
        self.assertEqual(process.returncode, code)

    def test_a_table_whenever_it_comes(self):
        process = start(WAITS, STATS="0,signal")
        for _ in range(3):
            process.send_signal(signal.SIGUSR2)
            self.assertEqual(self.read_table(process), process.pid)
        self.end(process)

    def test_into_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            process = start(WAITS, STATS=f"{folder}/table.%p,signal")
            process.send_signal(signal.SIGUSR2)
            path = f"{folder}/table.{process.pid}"
            deadline = time.monotonic() + 60
            while not (os.path.exists(path) and os.path.getsize(path)):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            self.end(process)
            with open(path) as file:
                tables = file.read()
            self.assertEqual([int(pid) for pid in TABLE.findall(tables) for pid in pid[:1]],
                             [process.pid] * 2) # and one at the end

    def test_while_the_heap_is_busy(self):
        busy = ("import select, sys; print('ready')\n"
                "while not select.select([sys.stdin], [], [], 0)[0]: [bytearray(n * 99) for n in range(999)]")
        process = start(busy, STATS="0,signal")
        for _ in range(50):
            process.send_signal(signal.SIGUSR2)
            self.assertEqual(self.read_table(process), process.pid)
        self.end(process)

    def test_in_a_child(self):
        process = start("import os; p = os.fork(); p or print('ready'); "
                        "p and os.waitpid(p, 0) or p or os.read(0, 9)", STATS="0,signal")
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            child = int(file.read())
        os.kill(child, signal.SIGUSR2)
        self.assertEqual(self.read_table(process), child)
        self.end(process)

    def test_not_asked_for_it_is_the_programs(self):
        process = start(WAITS, STATS="0")
        process.send_signal(signal.SIGUSR2)
        self.end(process, -signal.SIGUSR2)

    def test_a_program_that_handles_it_has_it(self):
        for handler in ("signal.signal(signal.SIGUSR2, lambda *_: sys.exit(3)); print('ready'); "
                        "time.sleep(60)",
                        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}); "
                        "print('ready'); signal.sigwait({signal.SIGUSR2}); sys.exit(3)",
                        "signal.signal(signal.SIGUSR2, signal.SIG_IGN); print('ready'); "
                        "sys.stdin.readline(); sys.exit(3)"):
            process = start("import signal, sys, time; " + handler, STATS="0,signal")
            process.send_signal(signal.SIGUSR2)
            self.end(process, 3)

    def test_one_that_ignores_it_from_the_start_goes_on_doing_so(self):
        result = run("sh", "-c", "trap '' USR2; exec sh -c 'kill -USR2 $$; echo said'",
                     STATS="0,signal")
        self.assertEqual((result.stdout, result.stderr), ("said\n", ""))


class Fault(unittest.TestCase):
    """A checked heap explains faults on what it has closed, and no other."""

    def test_one_that_is_not_ours_ends_the_program_as_ever(self):
        for program in ("import ctypes; ctypes.string_at(8)",
                        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"):
            result = run(sys.executable, "-c", program, CONF="checked:1")
            self.assertEqual((result.returncode, result.stderr), (-signal.SIGSEGV, ""))

    def test_a_program_that_handles_them_is_left_to_it(self):
        program = ("import faulthandler; faulthandler.enable()\n"
                   "import ctypes; ctypes.string_at(8)")
        result = run(sys.executable, "-c", program, CONF="checked:1")
        self.assertEqual(result.returncode, -signal.SIGSEGV)
        self.assertRegex(result.stderr, "^Fatal Python error: Segmentation fault")


if __name__ == "__main__":
    unittest.main()
