#!/usr/bin/env python3
"""Runs the built `stepwell` as a user would: exit codes, help, names that are wrong, JSON, CSV, and
that the numbers keep their order. STEPWELL_COMMAND names the program; the argument is the tier of
tests to run, quick or slow."""

import csv
import io
import json
import os
import pathlib
import pty
import re
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

STEPWELL = os.environ["STEPWELL_COMMAND"]
COMMANDS = ["list", "train", "compare", "run", "doctor"]
STRATEGIES = ["system", "pool", "sizeclass", "arena"]
MEASURES = """step_ms requested_peak allocated_peak active_peak resident_peak reserved_peak
    metadata_peak overhead internal_fragmentation external_fragmentation utilisation retention_0ms
    retention_1000ms retention_after_trim survivors releasable pinned unseen drift page_faults_per_step
    memory_system_calls_per_step""".split()
COMPARE = ["compare", "--strategies", "system,pool,arena", "--steps", "40", "--runs", "2"]
SANITIZED = "san" in os.environ.get("STEPWELL_BUILD_DIR", "")  # presets asan-ubsan and tsan


def run(*arguments, **options):
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    environment.update(options.pop("environment", {}))
    return subprocess.run([STEPWELL, *arguments], capture_output=True, text=True, timeout=300,
                          env=environment, **options)


def on_terminal(*arguments, environment=None):
    """What the program writes when stdout and stderr are a terminal."""
    try:
        leader, follower = pty.openpty()
    except OSError as error:  # a container without /dev/pts
        raise unittest.SkipTest(str(error))
    process = subprocess.Popen([STEPWELL, *arguments], stdout=follower, stderr=follower,
                               env={**os.environ, "TERM": "xterm", **(environment or {})})
    os.close(follower)
    written = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    return process.wait(), written.decode()


class Test(unittest.TestCase):
    def expect(self, result, code):
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def expect_one_line(self, result, code, *parts):
        self.expect(result, code)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class Quick(Test):
    def test_help_of_the_program_and_of_each_command(self):
        text = self.expect(run("--help"), 0).stdout
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", text)
            own = self.expect(run(command, "--help"), 0).stdout
            self.assertIn(f"Usage: stepwell {command}", own)
            self.assertIn("Examples:", own)
            self.assertIn("Exit code:", own)
            self.assertEqual(own, self.expect(run("help", command), 0).stdout)
        self.assertEqual(text, self.expect(run("help"), 0).stdout)

    def test_help_fits_80_columns(self):
        for command in COMMANDS:
            for line in run(command, "--help").stdout.splitlines():
                self.assertLess(len(line), 80, line)
                self.assertNotRegex(line, r"^\w+$")  # the rest of one that was too long

    def test_version(self):
        self.assertRegex(self.expect(run("--version"), 0).stdout, r"^stepwell \d+\.\d+\.\d+\n$")

    def test_nothing_asked_is_a_mistake(self):
        self.assertIn("Usage", self.expect(run(), 2).stderr)

    def test_unknown_names_are_answered_with_the_nearest(self):
        cases = [
            (["compre"], "'compre'", "'compare'", "list, train, compare, run"),
            (["help", "trian"], "'trian'", "'train'", "doctor"),
            (["train", "--strategy", "poool"], "'poool'", "'pool'", "system, "),
            (["train", "--strategy="], "''", "arena"),
            (["compare", "--strategies", "system,arenna"], "'arenna'", "'arena'", "pool"),
            (["train", "--model", "digitz"], "'digitz'", "'digits'", "mnist"),
            (["train", "--stepz", "3"], "'--stepz'", "'--steps'", "--batch"),
            (["compare", "--strategy=pool"], "'--strategy'", "'--strategies'", "--runs"),
            (["list", "--color=allways"], "'allways'", "'always'", "never"),
            (["list", "--version"], "'--version'", "--json"),
            (["doctor", "-x"], "'-x'", "--quiet"),
            (["--versoin"], "unknown option '--versoin'", "'--version'", "--help"),
            (["-x"], "unknown option '-x'", "--help, --version"),
        ]
        for arguments, *parts in cases:
            with self.subTest(arguments):
                self.expect_one_line(run(*arguments), 2, *parts)

    def test_a_wrong_option_of_any_command(self):
        for command in COMMANDS:
            for wrong, then in (("--helf", "did you mean '--help'?"),
                                ("--no-such-option=1", "there are: --"), ("-Z", "there are: --")):
                with self.subTest(command, wrong=wrong):
                    code = 125 if command == "run" else 2
                    self.expect_one_line(run(command, wrong), code, f"stepwell {command}: ",
                                         f"'{wrong.split('=')[0]}'", then)

    def test_values_that_are_missing_or_too_many(self):
        self.expect_one_line(run("train", "--steps"), 2, "--steps takes a value: --steps=N")
        self.expect_one_line(run("run", "--conf"), 125, "--conf takes a value")
        self.expect_one_line(run("list", "--quiet=1"), 2, "--quiet takes no value")
        self.expect_one_line(run("run", "--stats=", "true"), 125, "--stats= lacks a file")
        self.expect_one_line(run("train", "--data="), 2, "--data= lacks a directory")
        self.expect_one_line(run("compare", "--csv="), 2, "--csv= lacks a file")
        self.expect_one_line(run("list", "--json="), 2, "--json= lacks a file")

    def test_values_that_are_no_numbers(self):
        for value in ["20x", "", "-1", "0", "1e3", "99999999999999999999999", " 5"]:
            with self.subTest(value):
                self.expect_one_line(run("train", f"--steps={value}"), 2, "--steps", "whole number")

    def test_other_mistakes_on_the_command_line(self):
        self.expect_one_line(run("list", "extra"), 2, "'extra'")
        self.expect_one_line(run("train", "extra"), 2, "'extra'")
        self.expect_one_line(run("help", "list", "extra"), 2, "'extra'")
        self.expect_one_line(run("help", "help", "extra"), 2, "'extra'")
        for names in ("", "pool,", ",pool", "pool,,arena"):
            self.expect_one_line(run("compare", "--strategies", names), 2, "lacks a name", "A,B,")
        self.expect_one_line(run("compare", "--strategies", "pool,pool"), 2, "twice")
        for files in ("-", "-"), ("out", "out"), ("out", "./out"), ("./out", "out"):
            self.expect_one_line(run("compare", "--json", files[0], "--csv", files[1]), 2,
                                 "--json and --csv")
        self.expect_one_line(run("train", "--conf", "trackin:1"), 2, "tracking")
        self.expect_one_line(run("compare", "--conf", "huge_pages:maybe"), 2, "huge_pages")

    def test_what_cannot_be_run_is_said_before_it_is_tried(self):
        for command in "train", "compare":
            self.expect_one_line(run(command, "--model=mnist"), 2, "'mnist'", "--data=DIR")
            self.expect_one_line(run(command, "--threads=257"), 2, "from 1 to 256")

    def test_help_can_be_asked_for_shortly(self):
        for command in COMMANDS:
            for asked in run(command, "-h"), run("help", command):
                self.assertEqual(self.expect(asked, 0).stdout, run(command, "--help").stdout)
        self.assertEqual(self.expect(run("help", "--help"), 0).stdout, run("--help").stdout)

    def test_abbreviated_options_work_as_in_getopt(self):
        self.expect(run("train", "--strat", "pool", "--ste", "2", "-q"), 0)
        self.expect_one_line(run("run", "--st", "pool", "true"), 125,
                             "'--st' could be any of --strategy, --stats")
        self.expect_one_line(run("train", "--st=2"), 2, "'--st' could be any of --strategy, --steps")

    def test_bad_data_is_one_line_and_exit_code_1(self):
        self.expect_one_line(run("train", "-q", "--data", "/nonexistent"), 1,
                             "the data directory '/nonexistent': No such file or directory")
        self.expect_one_line(run("train", "-q", "--data", __file__), 1, "is a file")
        self.expect_one_line(run("train", "-q", "--data", "/"), 1, "/: no file train-images-idx3")
        self.expect_one_line(run("compare", "-q", "--strategies=pool", "--data", "/nonexistent"), 1,
                             "/nonexistent")

    def test_list_names_strategies_and_allocators(self):
        text = self.expect(run("list"), 0).stdout
        listed = json.loads(self.expect(run("list", "--json"), 0).stdout)
        names = [strategy["name"] for strategy in listed["strategies"]]
        for name in STRATEGIES:
            self.assertIn(name, names)
            self.assertRegex(text, rf"(?m)^{name} +\S")
        for allocator in listed["allocators"]:
            self.assertRegex(text, rf"(?m)^{allocator['name']} +\S")
            self.assertEqual(allocator["available"], allocator["path"] is not None)
            if allocator["path"]:
                self.assertTrue(os.path.exists(allocator["path"]))
        self.assertEqual(listed["allocators"][0]["name"], "glibc")

    def test_allocators_are_found_where_the_linker_would(self):
        with tempfile.TemporaryDirectory() as directory:
            mine = os.path.join(directory, "libmimalloc.so.2")
            open(mine, "w").close()
            listed = json.loads(run("list", "--json",
                                    environment={"LD_LIBRARY_PATH": f"/none:{directory}"}).stdout)
            paths = {a["name"]: a["path"] for a in listed["allocators"]}
            self.assertEqual(paths["mimalloc"], mine)

    def test_train_shows_result_and_memory(self):
        text = self.expect(run("train", "--steps", "30"), 0).stdout
        for word in ["loss", "accuracy", "requested", "allocated", "active", "resident",
                     "reserved", "metadata", "parameter", "optimizer_state", "overhead"]:
            self.assertIn(word, text)

    def test_train_json_keeps_the_order_of_levels(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy):
                result = self.expect(run("train", "--strategy", strategy, "--steps", "30",
                                         "--json"), 0)
                data = json.loads(result.stdout)
                self.assertEqual(data["strategy"], strategy)
                self.assertEqual(data["steps"], 30)
                self.assertGreater(data["requested"], 0)
                self.assertGreater(data["accuracy"], 0.2)
                for kind in ["", "_peak"]:
                    self.assertLessEqual(data["requested" + kind], data["allocated" + kind])
                    self.assertLessEqual(data["allocated" + kind], data["active" + kind])
                self.assertLessEqual(data["resident"], data["reserved"])
                self.assertEqual(sum(tag["requested"] for tag in data["tags"]), data["requested"])
                tags = {tag["tag"]: tag for tag in data["tags"]}
                self.assertGreater(tags["parameter"]["requested"], 0)
                self.assertEqual(tags["activation"]["requested"], 0)
                self.assertGreater(tags["activation"]["requested_peak"], 0)

    def test_train_refuses_a_batch_that_the_data_does_not_have(self):
        result = run("train", "--batch", "100000", "--steps", "2")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("a batch of 100000 is more than the data has: ", result.stderr)

    def test_train_without_a_ledger_says_what_it_does_not_know(self):
        arguments = ["train", "-q", "--steps=5", "--conf=tracking:0"]
        data = json.loads(self.expect(run(*arguments, "--json"), 0).stdout)
        for name in ("requested", "requested_peak", "active_peak", "blocks", "survivors", "overhead",
                     "internal_fragmentation", "utilisation", "releasable", "pinned", "retention"):
            self.assertIsNone(data[name], name)
        self.assertIsNotNone(data["external_fragmentation"])
        self.assertEqual(data["tags"], [])
        for name in "allocated", "resident":
            self.assertGreater(data[name], 0)
            self.assertIsNone(data[f"{name}_peak"])
        shown = self.expect(run(*arguments), 0).stdout
        self.assertRegex(shown, r"requested +n/a +n/a")
        self.assertRegex(shown, r"allocated +\d+\.\d+ +n/a")

    def test_train_is_the_same_for_the_same_seed_only(self):
        hashes = [json.loads(run("train", "-q", "--steps", "20", "--json", f"--seed={seed}").stdout)
                  ["weights_hash"] for seed in (1, 1, 2)]
        self.assertEqual(hashes[0], hashes[1])
        self.assertNotEqual(hashes[0], hashes[2])

    def test_a_heap_too_small_fails_and_says_so(self):
        result = self.expect(run("train", "-q", "--strategy=pool", "--model=mlp", "--steps=2",
                                 "--conf=limit:4M"), 1)
        self.assertEqual(result.stdout, "")
        self.assertIn("memory", result.stderr)

    @unittest.skipIf(SANITIZED, "the sanitizer's own memory would be counted")
    def test_a_limit_is_for_the_whole_command(self):
        """Each activation is 128 MiB, and the two steps of the rehearsal are as large."""
        arguments = ["train", "-q", "--model=wide", "--batch=8192", "--steps=2", "--conf=limit:100M"]
        with subprocess.Popen([STEPWELL, *arguments], stderr=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 1)
        self.assertLess(usage.ru_maxrss, 150 << 10)

    def test_train_reports_by_tag_when_memory_is_out(self):
        arguments = ["train", "-q", "--model=mlp", "--steps=2"]
        result = self.expect(run(*arguments, "--conf=limit:60M"), 1)
        said = result.stderr
        self.assertNotIn("drift", result.stdout)  # of one step there is none
        self.assertIn("the option limit:62914560 is reached", said)
        self.assertRegex(said, "by tag, MiB requested: .*parameter 24.09, .*gradient 24.09")
        self.assertIn("a smaller batch cannot help", said)
        said = self.expect(run(*arguments, "--conf=limit:60M,oom_report:0"), 1).stderr
        self.assertEqual(said.count("\n"), 1, said)

    def test_train_shows_what_is_known_when_it_fails(self):
        """The second step of mlp needs more than its first, which had no optimizer state yet."""
        arguments = ["train", "-q", "--model=mlp", "--steps=3", "--strategy=pool"]
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "out.json")
            result = self.expect(run(*arguments, "--conf=limit:106M", "--json", path), 1)
            data = json.loads(pathlib.Path(path).read_text())
        self.assertIn("out of memory in step 2", result.stderr)
        self.assertIn("mlp on pool: failed after 1 step, the last with loss ", result.stdout)
        self.assertRegex(result.stdout, r"(?m)^optimizer_state +0 +48")
        self.assertIn("out of memory in step 2", data["error"])
        self.assertEqual(data["steps"], 1)
        for name in ("final_loss", "accuracy", "step_ms", "weights_hash"):
            self.assertIsNone(data[name], name)
        self.assertGreater(data["requested_peak"], 96 << 20)
        wrong = self.expect(run("train", "-q", "--data=/nonexistent", "--json"), 1)
        self.assertIn("/nonexistent", json.loads(wrong.stdout)["error"])
        self.assertIsNone(json.loads(run("train", "-q", "--steps=2", "--json").stdout)["error"])

    def test_a_strategy_that_fails_is_a_row_and_the_others_are_compared(self):
        """limit is not for system, and too little for mlp."""
        arguments = ["compare", "-q", "--model=mlp", "--steps=2", "--runs=2", "--conf=limit:60M"]
        why = "a smaller batch cannot help"
        with tempfile.TemporaryDirectory() as directory:
            files = [os.path.join(directory, name) for name in ("out.json", "out.csv")]
            result = self.expect(run(*arguments, "--strategies=pool,system", "--json", files[0],
                                     "--csv", files[1]), 1)
            pool, system = json.loads(pathlib.Path(files[0]).read_text())["rows"]
            with open(files[1]) as file:
                lines = list(csv.DictReader(file))
        self.assertEqual(result.stderr.count(why), 1, result.stderr)  # it is not tried again
        self.assertRegex(result.stdout, r"(?m)^pool +n/a +n/a ")
        self.assertRegex(result.stdout, r"(?m)^system +[0-9]")
        self.assertRegex(result.stdout, r"(?m)^pool failed: out of memory in step 1")
        self.assertIn("in all 2 runs", result.stdout)
        self.assertIn(why, pool["failed"])
        self.assertIsNone(system["failed"])
        self.assertEqual({value for key, value in pool.items() if key not in ("strategy", "failed")},
                         {None})
        self.assertGreater(system["step_ms"], 0)
        self.assertEqual([line["failed"] for line in lines], [pool["failed"], ""])
        self.assertEqual([bool(line["final_loss"]) for line in lines], [False, True])

    def test_a_run_of_few_steps_is_measured_all_the_same(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("train", "t10k"):
                files = {"images-idx3": (0x803, 64, 28, 28), "labels-idx1": (0x801, 64)}
                for what, numbers in files.items():
                    pathlib.Path(directory, f"{name}-{what}-ubyte").write_bytes(
                        struct.pack(f">{len(numbers)}I", *numbers)
                        + bytes(64 * (784 if len(numbers) > 2 else 1)))
            for batch in (64, 8):  # 8 epochs of a step, or of eight
                result = self.expect(run("compare", "-q", f"--data={directory}", f"--batch={batch}",
                                         "--strategies=pool", "--runs=1", "--json"), 0)
                [row] = json.loads(result.stdout)["rows"]
                for measure in ("page_faults_per_step", "step_ms"):
                    self.assertIsNotNone(row[measure], (batch, measure))
                if row["memory_system_calls_per_step"] is None:  # ptrace is refused here
                    self.assertRegex(result.stderr, "is n/a: .*(ptrace|seccomp|filter)")

    def test_where_every_strategy_fails_the_files_say_why(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "out.json")
            result = self.expect(run("compare", "-q", "--strategies=pool,arena", "--model=mlp",
                                     "--steps=2", "--conf=limit:60M", "--json", path), 1)
            data = json.loads(pathlib.Path(path).read_text())
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("out of memory"), 2, result.stderr)
        self.assertIsNone(data["losses_agree"])
        self.assertIsNone(data["recommendation"]["strategy"])
        for row in data["rows"]:
            self.assertIn("out of memory", row["failed"])

    def test_doctor_tells_facts(self):
        result = run("doctor", "--json")
        self.assertIn(result.returncode, (0, 1))
        data = json.loads(result.stdout)
        facts = {fact["name"]: fact for fact in data["facts"]}
        for name in ["transparent_huge_pages", "overcommit_memory", "address_space_limit",
                     "cgroup_memory", "numa_nodes", "cores", "ld_preload", "max_map_count"]:
            self.assertIn(name, facts)
            self.assertTrue(facts[name]["value"] and facts[name]["meaning"])
        self.assertEqual(data["works"], result.returncode == 0)
        for fact in data["facts"]:
            self.assertEqual(fact["advice"] is None, fact["state"] == "fine", fact)

    def test_doctor_sees_whether_the_host_takes_free_pages(self):
        devices = pathlib.Path("/sys/bus/virtio/drivers/virtio_balloon").glob("virtio*/features")
        reports = any(device.read_text()[5] == "1" for device in devices)
        data = json.loads(run("doctor", "--json").stdout)
        fact = next(fact for fact in data["facts"] if fact["name"] == "free_page_reporting")
        self.assertEqual(fact["value"], "on" if reports else "off")

    def test_doctor_sees_what_tunes_malloc(self):
        environment = {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
        data = json.loads(run("doctor", "--json", environment=environment).stdout)
        facts = {fact["name"]: fact for fact in data["facts"]}
        self.assertEqual(facts["malloc_variables"]["value"], "MALLOC_ARENA_MAX=2")
        self.assertEqual(facts["malloc_variables"]["state"], "advice")
        self.assertEqual(facts["glibc_tunables"]["state"], "advice")

    @unittest.skipIf(SANITIZED, "a sanitizer stands behind malloc itself")
    def test_doctor_tells_of_our_own_library_and_variables(self):
        def fact(name, **variables):
            data = json.loads(run("doctor", "--json", environment=variables).stdout)
            return next(fact for fact in data["facts"] if fact["name"] == name)
        self.assertTrue(fact("preload_library")["value"].endswith("/libstepwell-preload.so"))
        self.assertEqual(fact("stepwell_variables", STEPWELL_CONF="limit:1G")["state"], "fine")
        for name, value, part in (("STRATEGY", "pol", "'pool'"), ("CONF", "limt:1", "'limit'"),
                                  ("STATS", "yes", "'yes'")):
            wrong = fact("stepwell_variables", **{f"STEPWELL_{name}": value})
            self.assertEqual(wrong["state"], "advice")
            self.assertIn(part, wrong["advice"])
        misspelt = fact("stepwell_variables", STEPWELL_STRATGY="pool")
        self.assertEqual(misspelt["state"], "advice")
        self.assertIn("STEPWELL_STRATEGY", misspelt["advice"])
        self.assertEqual(fact("stepwell_variables", STEPWELL_HOME="/opt")["state"], "fine")

    @unittest.skipIf(SANITIZED, "a sanitizer stands behind malloc itself")
    def test_who_has_stepwell_behind_malloc_is_told_that_system_is_not_libc(self):
        library = os.path.join(os.path.dirname(os.path.dirname(STEPWELL)), "lib/libstepwell-preload.so")
        preloaded = {"LD_PRELOAD": library}
        facts = json.loads(run("doctor", "--json", environment=preloaded).stdout)["facts"]
        fact = next(fact for fact in facts if fact["name"] == "ld_preload")
        self.assertEqual(fact["state"], "advice")
        self.assertIn("Stepwell's", fact["meaning"])
        steps = ["-q", "--steps=5"]
        for arguments in (["compare", "--strategies=system", "--runs=1", *steps],
                          ["train", "--strategy=system", *steps]):
            said = self.expect(run(*arguments, environment=preloaded), 0).stderr
            self.assertIn("`system` is Stepwell's own", said)
            self.assertEqual(said.count("\n"), 1)
            self.assertEqual(self.expect(run(*arguments), 0).stderr, "")

    @unittest.skipIf(SANITIZED, "a sanitizer needs terabytes of address space")
    def test_doctor_fails_where_nothing_would_work(self):
        script = f"ulimit -v 60000; exec '{STEPWELL}' doctor"
        result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
        self.expect(result, 1)
        self.assertIn("ulimit -v unlimited", re.sub(r"\s+", " ", result.stdout))

    @unittest.skipIf(SANITIZED, "a sanitizer needs terabytes of address space")
    def test_little_address_space_is_a_sentence_and_no_hang(self):
        """OpenBLAS asks for its buffers again and again, without end, and exit() waits for it."""
        def limited(kilobytes, *arguments):
            script = f"ulimit -v {kilobytes}; exec '{STEPWELL}' \"$@\""
            return subprocess.run(["bash", "-c", script, "bash", *arguments], capture_output=True,
                                  text=True, timeout=60)
        wanting = "OpenBLAS needs 128 MiB of address space for its buffers, and RLIMIT_AS"
        train = ["train", "-q", "--model=mlp", "--steps=2"]
        compare = ["compare", "-q", "--strategies=pool", "--steps=2", "--runs=1"]
        self.expect(limited(120000, "list"), 0)
        self.expect(limited(120000, "list", "extra"), 2)
        self.expect_one_line(limited(120000, *train), 1, wanting)
        self.expect_one_line(limited(120000, *compare), 1, wanting)
        for kilobytes in range(160000, 400000, 40000):  # where it fits in part, it is the same
            self.assertIn(limited(kilobytes, *train).returncode, (0, 1), kilobytes)
        self.expect(limited(500000, *train), 0)
        self.expect(limited(500000, *compare), 0)

    def test_piped_output_has_no_escape_codes(self):
        for arguments in [["list"], ["train", "--steps", "5"], ["doctor"]]:
            result = run(*arguments)
            self.assertNotIn("\033", result.stdout + result.stderr)
            self.assertNotIn("\r", result.stdout + result.stderr)
        self.assertIn("\033[", run("doctor", "--color=always").stdout)
        self.assertIn("\033[", run("doctor", "--color").stdout)

    def test_terminal_has_colour_unless_told_otherwise(self):
        self.assertIn("\033[", on_terminal("list")[1])
        for arguments, environment in [(["list"], {"NO_COLOR": "1"}), (["list"], {"TERM": "dumb"}),
                                       (["list", "--color=never"], {})]:
            self.assertNotIn("\033[", on_terminal(*arguments, environment=environment)[1])
        self.assertIn("\033[",
                      on_terminal("list", "--color=always", environment={"NO_COLOR": "1"})[1])

    def test_quiet_has_no_progress(self):
        self.assertEqual(run("train", "--steps", "5", "--quiet").stderr, "")
        self.assertNotEqual(run("train", "--steps", "5").stderr, "")
        self.assertIn("\r", on_terminal("train", "--steps", "5")[1])

    def test_compare_shows_its_heading_before_its_last_runs(self):
        arguments = ["compare", "--strategies=pool,arena", "--steps=4", "--runs=2"]
        with subprocess.Popen([STEPWELL, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as child:
            said = child.stdout.read()
        self.assertLess(said.index("digits: 4 steps"), said.index("run 2 of 2"))

    def test_json_goes_to_the_file_that_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "out.json")
            for arguments in [["--json", path], [f"--json={path}"]]:
                result = self.expect(run("list", *arguments), 0)
                self.assertIn("system", result.stdout)  # the table as well
                with open(path) as file:
                    self.assertIn("strategies", json.load(file))
                self.assertEqual(os.listdir(directory), ["out.json"])
            self.assertTrue(stat.S_IMODE(os.stat(path).st_mode) & stat.S_IRUSR)

    def test_results_that_cannot_be_written_are_a_failure(self):
        self.assertIn("/none", self.expect(run("list", "--json=/none/out.json"), 1).stderr)
        for arguments in [["compare", "--csv=/none/out"], ["train", "--json=/none/out"]]:
            self.expect_one_line(run(*arguments), 1, "/none/out")  # before the work, not after it
        asked = [["list"], ["list", "--json"], ["doctor", "--json"], ["--help"], ["--version"],
                 ["help", "list"], *([c, "--help"] for c in COMMANDS)]
        for arguments in asked:
            with self.subTest(arguments), open("/dev/full", "w") as full:
                result = subprocess.run([STEPWELL, *arguments], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b"stepwell: cannot write the results: ", result.stderr)
                closed = subprocess.run(["bash", "-c", 'exec "$@" >&-', "bash", STEPWELL, *arguments],
                                        stderr=subprocess.PIPE)
                self.assertEqual(closed.returncode, 1)
                self.assertIn(b"stepwell: cannot write the results: ", closed.stderr)


class Slow(Test):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as directory:
            files = [os.path.join(directory, name) for name in ("out.json", "out.csv")]
            cls.result = run(*COMPARE, "--json", files[0], "--csv", files[1])
            if cls.result.returncode != 0:
                raise AssertionError(cls.result.stderr)
            with open(files[0]) as file:
                cls.data = json.load(file)
            with open(files[1]) as file:
                cls.csv = list(csv.DictReader(file))

    def test_rows_have_every_key_and_its_spread(self):
        self.assertEqual([row["strategy"] for row in self.data["rows"]],
                         ["system", "pool", "arena"])
        for row in self.data["rows"]:
            for key in MEASURES:
                for suffix in ["", "_min", "_max"]:
                    self.assertIn(key + suffix, row)
                if key == "memory_system_calls_per_step" and row[key] is None:
                    continue  # where ptrace is refused
                self.assertLessEqual(row[key + "_min"], row[key], key)
                self.assertLessEqual(row[key], row[key + "_max"], key)
        self.assertEqual(self.data["runs"], 2)
        self.assertEqual(self.data["settings"]["steps"], 40)
        self.assertIsNone(self.data["settings"]["epochs"])  # the steps decide
        self.assertGreater(self.data["machine"]["cores"], 0)

    def test_a_training_does_not_drift(self):
        for row in self.data["rows"]:
            self.assertEqual(row["drift"], 0)

    def test_levels_keep_their_order(self):
        for row in self.data["rows"]:
            with self.subTest(row["strategy"]):
                self.assertGreater(row["requested_peak"], 0)
                self.assertLessEqual(row["requested_peak"], row["allocated_peak"])
                self.assertLessEqual(row["allocated_peak"], row["active_peak"])
                # the ratio's median need not come from the run of the peak's: compare within bounds
                self.assertGreaterEqual(
                    row["overhead_max"] * 1.0001, row["resident_peak"] / row["requested_peak"])
                self.assertLessEqual(
                    row["overhead_min"] * 0.9999, row["resident_peak"] / row["requested_peak"])
                self.assertGreater(row["step_ms"], 0)
                for key in ["internal_fragmentation", "external_fragmentation"]:
                    self.assertTrue(0 <= row[key] <= 1, key)
                self.assertLessEqual(row["retention_after_trim"], row["retention_0ms"] + 65536)

    def test_every_strategy_does_the_same_work(self):
        self.assertTrue(self.data["losses_agree"])
        self.assertTrue(self.data["weights_agree"])
        for key in ["final_loss", "accuracy", "weights_hash", "requested_peak", "survivors"]:
            self.assertEqual(len({row[key] for row in self.data["rows"]}), 1, key)
        self.assertIn("agree to the last bit in all 6 runs", self.result.stdout)

    def test_recommendation_is_one_of_the_rows_and_in_the_text(self):
        recommendation = self.data["recommendation"]
        self.assertIn(recommendation["strategy"], [row["strategy"] for row in self.data["rows"]])
        self.assertTrue(recommendation["text"].startswith(f"Take {recommendation['strategy']} "))
        self.assertIn(recommendation["text"], re.sub(r"\s+", " ", self.result.stdout))

    def test_csv_says_what_json_says(self):
        self.assertEqual(len(self.csv), len(self.data["rows"]))
        for line, row in zip(self.csv, self.data["rows"]):
            self.assertEqual(line["strategy"], row["strategy"])
            self.assertEqual(float(line["final_loss"]), row["final_loss"])
            for key in MEASURES:
                for column in [key, key + "_min", key + "_max"]:
                    value = float(line[column]) if line[column] else None
                    self.assertEqual(value, row[column], column)

    def test_table_is_plain_and_fits(self):
        self.assertNotIn("\033", self.result.stdout)
        for line in self.result.stdout.splitlines():
            self.assertLessEqual(len(line), 100)
            self.assertEqual(line, line.rstrip(), "no spaces at the ends of lines")
        self.assertIn("*", self.result.stdout)

    def test_results_on_stdout_progress_on_stderr(self):
        self.assertIn("run 1 of 2", self.result.stderr)
        self.assertNotIn("run 1 of 2", self.result.stdout)
        quiet = self.expect(run("compare", "--strategies=pool", "--steps=5", "--runs=1", "--quiet",
                                "--csv"), 0)
        self.assertEqual(quiet.stderr, "")
        self.assertEqual(len(list(csv.reader(io.StringIO(quiet.stdout)))), 2)

    @unittest.skipIf(SANITIZED, "the sanitizer's own memory calls would be counted")
    def test_large_activations_tell_strategies_apart(self):
        """Activations of 32 MiB: libc maps and unmaps them each step; a pool that keeps them does
        not, and gives them back when it is trimmed."""
        data = json.loads(self.expect(run("compare", "--model=wide", "--steps=4", "--runs=1",
                                          "--strategies=system,pool", "--json"), 0).stdout)
        system, pool = data["rows"]
        self.assertGreater(pool["retention_0ms"], 3 * system["retention_0ms"])
        self.assertLess(pool["retention_after_trim"], 0.1 * pool["retention_0ms"])
        if system["memory_system_calls_per_step"] is None:
            self.skipTest("ptrace is refused here")
        self.assertGreaterEqual(system["memory_system_calls_per_step"], 2)
        self.assertEqual(pool["memory_system_calls_per_step"], 0)
        self.assertGreater(system["page_faults_per_step"], 1000)
        self.assertLess(pool["page_faults_per_step"], 100)

    def test_a_single_step_can_be_compared(self):
        data = json.loads(self.expect(run("compare", "--strategies=pool", "--steps=1", "--runs=1",
                                          "--json"), 0).stdout)
        self.assertEqual(len(data["rows"]), 1)
        self.assertIsNone(data["recommendation"]["strategy"])

    def test_a_heap_without_ledger_says_null_not_zero(self):
        data = json.loads(self.expect(run("compare", "--strategies=pool,system", "--steps=20",
                                          "--runs=1", "--conf=tracking:0", "--json"), 0).stdout)
        for row in data["rows"]:
            for name in "requested_peak", "allocated_peak", "overhead":
                self.assertIsNone(row[name], name)
            self.assertGreater(row["resident_peak"], 0)

    def test_a_worker_that_is_killed_fails_its_strategy(self):
        """As the kernel kills one that has no memory."""
        process = subprocess.Popen([STEPWELL, "compare", "-q", "--strategies=pool", "--steps=100000",
                                    "--runs=1"], stderr=subprocess.PIPE, text=True)
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        workers = []
        for _ in range(500):
            with open(children) as file:
                workers = file.read().split()
            if workers:
                break
            time.sleep(0.01)
        os.kill(int(workers[0]), signal.SIGKILL)
        stderr = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 1, stderr)
        self.assertIn("pool: the training was killed by signal 9", stderr)

    def test_compare_sees_exit_codes_where_children_are_ignored(self):
        """As a parent that ignores SIGCHLD hands it down."""
        result = run("compare", "-q", "--strategies=pool", "--runs=1", "--steps=5", "--json",
                     preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertGreater(json.loads(self.expect(result, 0).stdout)["rows"][0]["step_ms"], 0)

    def test_workers_end_with_the_parent(self):
        process = subprocess.Popen([STEPWELL, "compare", "-q", "--strategies=pool",
                                    "--steps=1000000", "--runs=1"])
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        workers = []
        while not workers:
            with open(children) as file:
                workers = file.read().split()
            time.sleep(0.01)
        time.sleep(0.2)
        process.kill()
        process.wait()
        for _ in range(500):
            try:
                with open(f"/proc/{workers[0]}/stat") as file:
                    if file.read().rpartition(")")[2].split()[0] == "Z":
                        return
            except FileNotFoundError:
                return
            time.sleep(0.01)
        self.fail("the worker outlived its parent")


if __name__ == "__main__":
    tier = {"quick": Quick, "slow": Slow}[sys.argv.pop(1)]
    unittest.main(defaultTest=tier.__name__)
