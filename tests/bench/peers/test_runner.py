#!/usr/bin/python3
"""Runs the runner of script/compare-peers over a suite of its own: what a run's numbers are, the
table, the CSV file and back, the order of runs, and what it says and returns when something is
wrong or missing."""
import contextlib
import csv
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

SOURCE = pathlib.Path(os.environ["STEPWELL_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["STEPWELL_BUILD_DIR"])
sys.path.insert(0, str(SOURCE / "bench" / "peers"))

import allocators  # noqa: E402
import compare  # noqa: E402
import limits  # noqa: E402
import rows  # noqa: E402
import run  # noqa: E402
import suites  # noqa: E402
import table  # noqa: E402
from program import CPU, RESIDENT, Column, Program, Suite  # noqa: E402

OWN = Column("own_ns", "own", "ns")


def python(name, code, **more):
    return Program(name, f"what {name} does", ("{python}", "-c", code), **more)


TINY = Suite("tiny", "for the test", (
    Program("nothing", "a process that does nothing", ("/bin/true",)),
    python("speaks", "print('words'); print('{\"own_ns\": 7.5, \"resident_peak\": 3145728}')",
           columns=(OWN, RESIDENT)),
))


def is_gone(session):
    """Has every process of the session ended? Given some time: one that is killed may still run."""
    for _ in range(100):
        states = subprocess.run(["ps", "-o", "stat=", "--sid", str(session)], text=True,
                                capture_output=True, check=False).stdout.split()
        if all(state.startswith("Z") for state in states):
            return True
        time.sleep(0.1)
    return False


class Case(unittest.TestCase):
    suite = TINY

    def setUp(self):
        for target, value in ((suites, ("names", lambda: ["tiny"])),
                              (suites, ("load", lambda name: self.suite))):
            patch = mock.patch.object(target, *value)
            patch.start()
            self.addCleanup(patch.stop)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = os.path.join(folder.name, "rows.csv")

    def compare(self, *words):
        """(exit code, stdout, stderr)"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = compare.main(["--suite", "tiny", "--build", str(BUILD), *words])
            except SystemExit as left:
                code = left.code
        return code, out.getvalue(), err.getvalue()

    def with_programs(self, *programs):
        self.suite = Suite("tiny", "for the test", programs)


class Runs(Case):
    def test_every_program_runs_under_every_allocator_in_every_round(self):
        code, out, err = self.compare("--allocators", "glibc,glibc-tuned,stepwell", "--rounds", "2",
                                      "--strategies", "sizeclass", "--csv", self.file)
        self.assertEqual(code, 0, err)
        with open(self.file, encoding="utf-8") as file:
            comments = [line for line in file if line.startswith("#")]
            file.seek(0)
            found = list(csv.DictReader(line for line in file if not line.startswith("#")))
        self.assertIn("--allocators glibc,glibc-tuned,stepwell", comments[0])
        self.assertRegex(comments[1], r"^# seed \d+$")
        self.assertEqual(
            sorted((r["program"], r["allocator"], r["round"]) for r in found),
            sorted((p, a, n) for p in ("nothing", "speaks") for n in ("1", "2")
                   for a in ("glibc", "glibc-tuned", "stepwell", "stepwell-sizeclass")))
        for row in found:
            self.assertEqual((row["suite"], row["failed"]), ("tiny", ""))
            self.assertGreater(float(row["cpu_ms"]), 0)
            self.assertGreaterEqual(float(row["wall_ms"]), float(row["cpu_ms"]) / 2)
            self.assertGreater(int(row["page_faults"]), 10)
        self.assertIn("16/16", err)
        self.assertIn("speaks: what speaks does", out)

    def test_what_a_program_prints_takes_precedence(self):
        self.assertEqual(self.compare("--allocators", "glibc", "--rounds", "1", "--csv",
                                      self.file)[0], 0)
        by_program = {row["program"]: row for row in rows.load(self.file)[1]}
        self.assertEqual(by_program["speaks"]["own_ns"], 7.5)
        self.assertEqual(by_program["speaks"]["resident_peak"], 3 << 20)
        self.assertNotIn("own_ns", by_program["nothing"])

    def test_resident_size_is_the_programs_own(self):
        """A child of this Python would be said to have Python's pages."""
        self.compare("--allocators", "glibc", "--programs", "nothing", "--csv", self.file)
        for row in rows.load(self.file)[1]:
            self.assertLess(row["resident_peak"], 4 << 20)

    def test_processor_time_and_pages_are_counted(self):
        self.with_programs(python("works", "import time\nx = bytearray(1) * (64 << 20)\n"
                                           "while time.process_time() < 0.3: pass"))
        self.compare("--allocators", "glibc", "--rounds", "1", "--csv", self.file)
        [row] = rows.load(self.file)[1]
        self.assertGreater(row["cpu_ms"], 290)
        self.assertGreater(row["resident_peak"], 64 << 20)

    def test_settings_reach_the_program_and_no_others_do(self):
        names = ("LD_PRELOAD", "MALLOC_TOP_PAD_", "STEPWELL_STRATEGY", "STEPWELL_CONF", "MINE")
        self.with_programs(python("tells", "import json, os; print(json.dumps({n: len(os.environ"
                                           f".get(n, '')) for n in {names}}}))",
                                  environment={"MINE": "1"}))
        with mock.patch.dict(os.environ, {"MALLOC_TOP_PAD_": "1", "STEPWELL_CONF": "huge_pages:x"}):
            self.compare("--allocators", "glibc,glibc-tuned", "--strategies", "pool", "--rounds",
                         "1", "--csv", self.file)
        found = {row["allocator"]: [row[name] > 0 for name in names]
                 for row in rows.load(self.file)[1]}
        self.assertEqual(found, {"glibc": [False, False, False, False, True],
                                 "glibc-tuned": [False, True, False, False, True],
                                 "stepwell-pool": [True, False, True, False, True]})

    def test_quick_adds_the_quick_words_and_runs_once(self):
        code = "import sys, json; print(json.dumps({'words': len(sys.argv)}))"
        self.with_programs(python("counts", code, quick=("a", "b")))
        self.compare("--allocators", "glibc", "--quick", "--csv", self.file)
        self.assertEqual([row["words"] for row in rows.load(self.file)[1]], [3])


class Order(Case):
    def test_each_round_is_whole_and_drawn_by_the_seed(self):
        programs = [Program(name, "", (), metered=name == "d") for name in "abcd"]

        def order(seed):
            return run.draw_order(programs, "xyz", "meter", 3, seed)

        self.assertEqual(order(5), order(5))
        self.assertNotEqual(order(5), order(6))
        named = [(number, program.name, allocator) for number, program, allocator in order(5)]
        rounds = [named[i:i + 13] for i in range(0, 39, 13)]
        for number, pairs in enumerate(rounds, 1):
            wanted = [(number, p, a) for p in "abcd" for a in "xyz"] + [(number, "d", "meter")]
            self.assertEqual(sorted(pairs), sorted(wanted))
            changes = sum(one[1] != other[1] for one, other in zip(pairs, pairs[1:]))
            self.assertEqual(changes, len(programs) - 1)  # a program's runs follow each other
            self.assertNotEqual(pairs, wanted)
        self.assertNotEqual([p[1:] for p in rounds[0]], [p[1:] for p in rounds[1]])


class Counting(Case):
    MARKED = """
import ctypes, mmap
mark = lambda advice: ctypes.CDLL(None).madvise(None, ctypes.c_size_t(0), advice)
maps = [mmap.mmap(-1, 4096) for _ in range(100)]
mark(0x53570001)
for _ in range(60): mmap.mmap(-1, 4096).close()
mark(0x53570002)
for one in maps: one.close()
print('{"steps": 4, "step_ms": 3}')
"""
    COLUMNS = (Column("step_ms", "step", "ms"), Column("memory_calls_per_step", "calls/step"))

    def test_memory_system_calls_are_counted_between_the_marks_in_a_run_of_their_own(self):
        self.with_programs(python("maps", self.MARKED, counted=True, columns=self.COLUMNS))
        code, out, err = self.compare("--allocators", "glibc,stepwell", "--rounds", "2", "--csv",
                                      self.file)
        self.assertEqual(code, 0, err)
        found = rows.load(self.file)[1]
        counted = [row for row in found if row["round"] == 0]
        self.assertEqual(sorted(row["allocator"] for row in counted), ["glibc", "stepwell"])
        for row in counted:
            # 60 mappings made and undone in 4 steps, and a few calls of the interpreter's own.
            self.assertGreaterEqual(row["memory_calls_per_step"], 30)
            self.assertLess(row["memory_calls_per_step"], 35)
            self.assertNotIn("step_ms", row)
        for row in found:
            if row["round"] > 0:
                self.assertEqual(row["step_ms"], 3)
                self.assertNotIn("memory_calls_per_step", row)
        self.assertRegex(out, r"glibc +3 .* 3\d")

    WAITS = """
import json, os, sys, time
figures = {"steps": 1, "lb": 16 << 20, "resident_peak_growth": 20 << 20, "told": len(sys.argv)}
if len(sys.argv) > 1:
    open(f"{os.environ['MEETING']}/{os.getpid()}", "w").close()
    end = time.monotonic() + 20
    while len(os.listdir(os.environ["MEETING"])) < 2:
        time.sleep(0.01)
        time.monotonic() < end or sys.exit("nobody else is waiting")
    figures.update(resident_10000ms=17 << 20, file_growth=1 << 20)
print(json.dumps(figures))
"""

    def with_one_that_waits(self):
        code = self.MARKED.rsplit("print", 1)[0] + self.WAITS
        meeting = tempfile.TemporaryDirectory()
        self.addCleanup(meeting.cleanup)
        self.with_programs(python("waits", code, counted=True, untimed=("wait",),
                                  environment={"MEETING": meeting.name}))

    def test_what_takes_waiting_is_seen_in_the_untimed_runs_and_several_wait_at_once(self):
        self.with_one_that_waits()
        code, _, err = self.compare("--allocators", "glibc,stepwell", "--rounds", "1", "--csv",
                                    self.file)
        self.assertEqual(code, 0, err)
        for row in limits.apply(rows.load(self.file)[1]):
            if row["round"] == 0:
                self.assertEqual(row["retention_10000ms"], 16 << 20)
                self.assertNotIn("overhead", row)
                self.assertNotIn("told", row)
            else:
                self.assertEqual((row["told"], row["overhead"]), (1, 1.25))

    def test_short_runs_do_not_wait(self):
        self.with_one_that_waits()
        code, _, err = self.compare("--allocators", "glibc", "--quick", "--csv", self.file)
        self.assertEqual(code, 0, err)
        self.assertTrue(all("resident_10000ms" not in row for row in rows.load(self.file)[1]))

    def test_a_program_that_sets_no_marks_is_told(self):
        self.with_programs(python("maps", "print('{\"steps\": 4}')", counted=True,
                                  columns=self.COLUMNS))
        code, _, err = self.compare("--allocators", "glibc", "--rounds", "1")
        self.assertEqual(code, 1)
        self.assertIn("set no marks", err)

    def test_a_counted_program_that_fails_is_told(self):
        self.with_programs(Program("absent", "", ("/no/such/program",), counted=True),
                           python("fails", "import sys; sys.exit('no water')", counted=True))
        code, _, err = self.compare("--allocators", "glibc", "--rounds", "1")
        self.assertEqual(code, 1)
        self.assertEqual(err.count("absent under glibc failed: exit code 127"), 2)
        self.assertEqual(err.count("fails under glibc failed: exit code 1; no water"), 2)


class Wrong(Case):
    def test_a_program_that_fails_is_told_and_the_others_count(self):
        self.with_programs(Program("nothing", "", ("/bin/true",)),
                           python("fails", "import sys; sys.exit('no water')"),
                           python("dies", "import os; os.kill(os.getpid(), 9)"),
                           Program("absent", "", ("/no/such/program",)))
        code, out, err = self.compare("--allocators", "glibc", "--rounds", "1", "--csv", self.file)
        self.assertEqual(code, 1)
        self.assertIn("fails under glibc failed: exit code 1; no water", err)
        self.assertIn("dies under glibc failed: ended by signal 9", err)
        self.assertIn("absent under glibc failed: exit code 127", err)
        self.assertRegex(out, r"glibc +failed")
        failed = {row["program"]: row["failed"] for row in rows.load(self.file)[1]}
        self.assertEqual(failed["nothing"], "")
        self.assertEqual(failed["fails"], "exit code 1; no water")
        self.assertEqual(self.compare("--from-csv", self.file)[0], 1)

    def test_a_program_that_hangs_is_ended_with_what_it_started(self):
        self.with_programs(Program("hangs", "", ("/bin/sh", "-c", "sleep 30 & echo $!; wait")))
        found, start = [], time.monotonic()
        original = run.finish

        def remember(process, timeout):
            found.append(process.pid)
            return original(process, timeout)

        with mock.patch.object(run, "finish", remember):
            code, _, err = self.compare("--allocators", "glibc", "--rounds", "1", "--timeout", "1")
        self.assertEqual(code, 1)
        self.assertIn("still running after 1 s", err)
        self.assertLess(time.monotonic() - start, 25)
        self.assertTrue(is_gone(found[0]))

    def test_whoever_ends_the_comparison_ends_its_programs(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        for counted, number in ((False, signal.SIGTERM), (True, signal.SIGTERM),
                                (True, signal.SIGHUP)):
            self.with_programs(Program("hangs", "", ("/bin/sleep", "60"), counted=counted))
            found, start = [], time.monotonic()
            original = run.finish
            timer = threading.Timer(0.5, os.kill, (os.getpid(), number))

            def remember(process, timeout, original=original, found=found, timer=timer):
                found.append(process.pid)
                if len(found) == 1:  # from here on there is a program to be ended
                    timer.start()
                return original(process, timeout)

            signal.signal(number, signal.SIG_DFL)
            with mock.patch.object(run, "finish", remember):
                code, _, err = self.compare("--allocators", "glibc,glibc-tuned", "--rounds", "1")
            timer.join()
            self.assertEqual(code, 1)
            self.assertIn("interrupted", err)
            self.assertLess(time.monotonic() - start, 25)
            self.assertTrue(found)
            self.assertTrue(all(is_gone(session) for session in found))

    def test_a_program_that_writes_no_text_is_measured_all_the_same(self):
        self.with_programs(Program("raw", "", ("/bin/sh", "-c", "printf 'a\\377b\\n'")))
        code, out, err = self.compare("--allocators", "glibc", "--rounds", "1")
        self.assertEqual((code, "failed" in out), (0, False), err)

    def test_an_ignored_end_of_children_changes_nothing(self):
        self.with_programs(python("dies", "import os; os.kill(os.getpid(), 9)"))
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGCHLD, before)
        code, _, err = self.compare("--allocators", "glibc", "--rounds", "1")
        self.assertEqual(code, 1)
        self.assertIn("ended by signal 9", err)

    def test_a_file_that_cannot_be_written_is_told_before_the_work(self):
        self.with_programs(python("works", "raise SystemExit('it should not')"))
        for option in ("--csv", "--picture"):
            for path, why in (("/no/such/folder/rows.csv", "no folder /no/such/folder"),
                              (os.path.dirname(self.file), "is a folder")):
                code, out, err = self.compare("--allocators", "glibc", "--rounds", "1", option, path)
                self.assertEqual((code, out), (2, ""))
                self.assertIn(why, err)
                self.assertNotIn("works", err)

    def test_a_library_that_cannot_be_preloaded_is_no_run(self):
        with tempfile.NamedTemporaryFile(suffix=".so") as library:
            broken = allocators.Allocator("broken", "", (library.name,))
            with mock.patch.object(allocators, "PEERS", (broken,)):
                code, _, err = self.compare("--allocators", "broken", "--programs", "nothing")
        self.assertEqual(code, 1)
        self.assertIn("was not preloaded as told", err)

    def test_a_report_that_is_not_there_fails_one_run(self):
        with mock.patch("json.load", side_effect=[ValueError, {"cpu_ms": 1}]):
            code, _, err = self.compare("--allocators", "glibc", "--rounds", "1")
        self.assertEqual(code, 1)
        self.assertEqual(err.count("failed: the program that measures left no report"), 1)

    def test_a_missing_allocator_is_told_with_its_package(self):
        lake = allocators.Allocator("lakealloc", "", ("liblakealloc.so.1",), "liblakealloc1")
        with mock.patch.object(allocators, "PEERS", (allocators.PEERS[0], lake)):
            code, out, err = self.compare("--rounds", "1")
            self.assertEqual(code, 0)
            self.assertIn("not on this machine: lakealloc; apt-get install liblakealloc1", err)
            self.assertNotIn("lakealloc", out)
            code, _, err = self.compare("--allocators", "glibc,lakealloc")
            self.assertEqual(code, 2)
            self.assertIn("apt-get install liblakealloc1", err)

    def test_stepwell_that_is_not_built_is_told(self):
        with tempfile.TemporaryDirectory() as empty:
            code, _, err = self.compare("--build", empty)
        self.assertEqual(code, 2)
        self.assertIn("not built", err)

    def test_wrong_names_and_numbers(self):
        for words, said in ((["--programs", "nothin"], "do you mean nothing?"),
                            (["--allocators", "glibk"], "do you mean glibc?"),
                            (["--strategies", "qqq"], "there are system"),
                            (["--suite", ""], "one suite is wanted, of tiny"),
                            (["--rounds", "0"], "above zero"),
                            (["--rounds", "x"], "invalid int"),
                            (["--from-csv", "/no/such/file"], "No such file")):
            code, out, err = self.compare(*words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(said, err)

    def test_what_is_wrong_is_said_before_a_build(self):
        self.assertEqual(self.compare("--check", "--build", "/no/such/build"), (0, "", ""))
        for words, said in ((["--programs", "nothin"], "do you mean nothing?"),
                            (["--allocators", "glibk"], "do you mean glibc?"),
                            (["--strategies", "qqq"], "there are system"),
                            (["--csv", "/no/such/folder/rows.csv"], "no folder")):
            code, out, err = self.compare("--check", "--build", "/no/such/build", *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(said, err)

    def test_a_missing_module_leaves_the_program_out(self):
        self.with_programs(Program("nothing", "", ("/bin/true",)),
                           python("needs", "", modules=(("no_such_module", "python3-no"),)))
        code, _, err = self.compare("--allocators", "glibc", "--rounds", "1")
        self.assertEqual(code, 0)
        self.assertIn("needs is left out; it takes: apt-get install python3-no", err)


class Table(Case):
    def rows_of(self, **medians):
        """Three rows for each allocator, round the median."""
        return [{"program": "speaks", "allocator": name.replace("_", "-"), "round": i, "failed": "",
                 "own_ns": median + i - 2, "resident_peak": median << 20}
                for name, median in medians.items() for i in (1, 2, 3)]

    def lines(self, found):
        order = list(dict.fromkeys(row["allocator"] for row in found))
        return table.render(TINY.programs, found, order).splitlines()

    def test_medians_spread_and_ratios(self):
        lines = self.lines(self.rows_of(glibc=100, mimalloc=50, stepwell=40))
        cells = {line.split()[0]: line.split()[1:] for line in lines[2:5]}
        self.assertEqual(lines[0], "speaks: what speaks does")
        self.assertEqual(cells["glibc"],
                         ["100", "99..101", "1.00", "2.00", "100", "1.00", "2.00"])
        self.assertEqual(cells["mimalloc"], ["50", "49..51", "0.50", "1.00", "50", "0.50", "1.00"])
        self.assertEqual(cells["stepwell"], ["40", "39..41", "0.40", "0.80", "40", "0.40", "0.80"])

    def test_says_where_ours_is_clearly_worse(self):
        text = "\n".join(self.lines(self.rows_of(glibc=100, tbb=50, stepwell=60)))
        self.assertIn("stepwell: time above 1.05 x the best peer's: speaks (1.20)", text)
        self.assertIn("stepwell: memory above 1.05 x the best peer's: speaks (1.20)", text)
        text = "\n".join(self.lines(self.rows_of(glibc=100, tbb=50, stepwell=52)))
        self.assertNotIn("above", text)

    def test_what_no_run_looked_at_has_no_column(self):
        columns = (CPU, RESIDENT, Column("ripples", "ripples"), Column("waves", "waves"))
        found = [{"program": "p", "allocator": a, "round": 1, "failed": "", "waves": 3}
                 for a in ("glibc", "tbb")]
        text = table.render([Program("p", "", (), columns=columns)], found, ["glibc", "tbb"])
        self.assertIn("waves", text)
        self.assertNotIn("ripples", text)
        self.assertIn("peak RSS", text)

    def test_who_fails_once_has_no_numbers(self):
        found = self.rows_of(glibc=100, tbb=20, stepwell=50)
        found[3] = {"program": "speaks", "allocator": "tbb", "round": 1, "failed": "exit code 1"}
        lines = self.lines(found)
        cells = {line.split()[0]: line.split()[1:] for line in lines[2:5]}
        self.assertEqual(cells["tbb"], ["failed", "-", "-", "-", "failed", "-", "-"])
        self.assertEqual(cells["stepwell"], ["50", "49..51", "0.50", "0.50", "50", "0.50", "0.50"])

    def test_what_was_not_counted_has_not_failed(self):
        found = self.rows_of(glibc=100, stepwell=50)
        found[3:] = [{"program": "speaks", "allocator": "stepwell", "round": 0, "failed": ""}]
        self.assertIn(["stepwell", *"-------"], [line.split() for line in self.lines(found)])

    def test_of_a_run_what_it_was_in_the_one_with_the_median(self):
        columns = (CPU, RESIDENT, Column("slowest_ns", "slowest"),
                   Column("slowest_size", "its size", ratios=False, of="slowest_ns"))
        found = [{"program": "p", "allocator": "glibc", "round": i, "failed": "",
                  "slowest_ns": ns, "slowest_size": size}
                 for i, (ns, size) in enumerate(((30, 4096), (10, 64), (20, 111)), 1)]
        for some, size in ((found, "111"), (found[:2], "64")):
            text = table.render([Program("p", "", (), columns=columns)], some, ["glibc"])
            self.assertEqual(text.splitlines()[2].split()[-1], size)

    def test_all_programs_together_by_the_geometric_mean(self):
        pair = tuple(python(name, "", columns=(CPU, RESIDENT)) for name in ("a", "b"))
        found = [{"program": p, "allocator": a, "round": 1, "failed": "", "cpu_ms": ms,
                  "resident_peak": 1 << 20}
                 for p, a, ms in (("a", "glibc", 10), ("b", "glibc", 10), ("a", "stepwell", 20),
                                  ("b", "stepwell", 5))]
        lines = table.render(pair, found, ["glibc", "stepwell"]).splitlines()
        last = lines[lines.index("") + 1:]
        self.assertIn(["stepwell", "1.00", "1.00", "1.00", "1.00"], [line.split() for line in last])

    def test_a_mean_with_a_gap_is_none(self):
        pair = tuple(python(name, "", columns=(CPU, RESIDENT)) for name in ("a", "b"))
        good = {"round": 1, "failed": "", "cpu_ms": 5, "resident_peak": 1 << 20}
        found = [{**good, "program": "a", "allocator": "glibc"},
                 {**good, "program": "b", "allocator": "glibc"},
                 {**good, "program": "a", "allocator": "stepwell"},
                 {"program": "b", "allocator": "stepwell", "round": 1, "failed": "signal 11"}]
        lines = table.render(pair, found, ["glibc", "stepwell"]).splitlines()
        last = [line.split() for line in lines[lines.index("") + 1:]]
        self.assertIn(["stepwell", "-", "-", "-", "-"], last)

    def test_the_file_gives_the_same_table(self):
        _, out, _ = self.compare("--allocators", "glibc,stepwell", "--rounds", "3", "--csv",
                                 self.file)
        code, again, _ = self.compare("--from-csv", self.file)
        self.assertEqual(code, 0)
        self.assertIn("# ", pathlib.Path(self.file).read_text(encoding="utf-8"))
        self.assertTrue(again.startswith("script/compare-peers --suite tiny"))
        self.assertEqual(again.split("\n\n", 1)[1], out)

    def test_of_the_file_only_what_is_asked_for(self):
        rows.save(self.file, [], [{"suite": "tiny", **row} for row in (
            *self.rows_of(glibc=100, tbb=20, stepwell=50),
            {"program": "nothing", "allocator": "tbb", "round": 1, "failed": "exit code 3"})])
        code, out, err = self.compare("--from-csv", self.file, "--allocators", "glibc,stepwell")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(["stepwell", "50", "49..51", "0.50", "0.50", "50", "0.50", "0.50"],
                      [line.split() for line in out.splitlines()])
        code, out, err = self.compare("--from-csv", self.file)
        self.assertEqual(code, 1)
        self.assertIn("round 1 of nothing under tbb failed: exit code 3", err)
        code, _, err = self.compare("--from-csv", self.file, "--allocators", "glibk")
        self.assertEqual(code, 2)
        self.assertIn("do you mean glibc?", err)

    def test_a_file_that_is_something_else(self):
        pathlib.Path(self.file).write_text("a,b\n1,2\n", encoding="utf-8")
        code, out, err = self.compare("--from-csv", self.file)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("no columns suite", err)


class Parts(unittest.TestCase):
    def test_numbers_are_those_of_an_object_on_the_last_line(self):
        self.assertEqual(run.last_object('{"a": 1}\n{"b": 2, "c": 1.5, "d": "x", "e": true}\n'),
                         {"b": 2, "c": 1.5})
        for text in ("", "words", "[1, 2]", "7", '{"a": 1}\nwords'):
            self.assertEqual(run.last_object(text), {})

    def test_time_left_is_what_earlier_runs_took(self):
        progress = run.Progress(10, io.StringIO())
        self.assertEqual(progress.expected(False, "a", "x"), 0)
        progress.add(False, "a", "x", 20.0, [])
        progress.add(False, "b", "x", 60.0, [])
        self.assertEqual(progress.expected(False, "a", "x"), 20)
        self.assertEqual(progress.expected(False, "a", "y"), 20)
        self.assertEqual(progress.expected(False, "c", "y"), 40)
        self.assertEqual(progress.expected(True, "a", "x"), 20)
        progress.add(True, "a", "x", 2.0, [])  # a timed run takes a tenth
        self.assertEqual(progress.expected(True, "a", "x"), 2)
        self.assertAlmostEqual(progress.expected(True, "b", "x"), 6)

    def test_every_suite_in_the_tree_loads_and_names_each_program_once(self):
        for name in suites.names():
            suite = suites.load(name)
            programs = [program.name for program in suite.programs]
            self.assertEqual(suite.name, name)
            self.assertEqual(len(programs), len(set(programs)))
            for program in suite.programs:
                self.assertTrue(program.columns and program.about, program.name)


if __name__ == "__main__":
    unittest.main()
