#!/usr/bin/env python3
"""`stepwell run` as a user meets it: exit codes, signals, the environment it makes, and the line that
says where Stepwell is not behind malloc. STEPWELL_COMMAND names the program, CC a compiler."""

import ctypes
import os
import resource
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

STEPWELL = os.path.realpath(os.environ["STEPWELL_COMMAND"])
PREFIX = os.path.dirname(os.path.dirname(STEPWELL))
NOBODY = 65534
PR_SET_CHILD_SUBREAPER = 36


def environment(**changes):
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith("STEPWELL_") and k != "LD_PRELOAD"}
    return {**kept, **changes}


def run(*arguments, stepwell=STEPWELL, env=None, **options):
    return subprocess.run([stepwell, "run", *arguments], capture_output=True, text=True,
                          timeout=120, env=env or environment(), **options)


class Test(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        os.chmod(self.folder.name, 0o755)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text, mode=0o755):
        with open(self.path(name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(self.path(name), mode)
        return self.path(name)

    def build(self, name, source, *flags):
        subprocess.run([os.environ.get("CC", "cc"), "-x", "c", "-", "-o", self.path(name), *flags],
                       input=source, text=True, check=True)
        return self.path(name)

    def expect(self, result, code=0, stdout=None, stderr=""):
        self.assertEqual((result.returncode, result.stderr), (code, stderr), result.stdout)
        if stdout is not None:
            self.assertEqual(result.stdout, stdout)

    def expect_told(self, result, *parts, code=0):
        """One line, with the parts; the command is run all the same."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("stepwell run: Stepwell is not behind malloc in '"),
                        result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class ExitCodes(Test):
    def test_the_commands_own_is_passed_on(self):
        self.expect(run("--", "sh", "-c", "echo out; exit 7"), 7, "out\n")
        self.expect(run("true"), 0)

    def test_a_signal_that_ends_the_command_is_seen_as_such(self):
        for number in signal.SIGKILL, signal.SIGTERM, signal.SIGUSR2:
            self.expect(run("--", "sh", "-c", f"kill -{int(number)} $$"), -number)

    def test_what_cannot_be_run(self):
        folder, text = self.folder.name, self.write("text", "no program", 0o644)
        missing = "stepwell run: cannot run '%s': No such file or directory\n"
        self.expect(run("--", "no-such-command"), 127, "", missing % "no-such-command")
        self.expect(run("--", "/no/such"), 127, "", missing % "/no/such")
        denied = "stepwell run: cannot run '%s': Permission denied\n"
        self.expect(run("--", folder), 126, "", denied % folder)
        self.expect(run("--", text), 126, "", denied % text)

    def test_stepwell_itself_failing_is_125(self):
        os.mkdir(self.path("bin"))
        alone = shutil.copy(STEPWELL, self.path("bin/stepwell"))
        result = run("true", stepwell=alone,
                     env=environment(LD_LIBRARY_PATH=os.path.join(PREFIX, "lib")))
        self.assertEqual(result.returncode, 125)
        self.assertIn(f"{self.folder.name}/lib/libstepwell-preload.so is missing", result.stderr)

    def test_a_wrong_command_line_is_125(self):
        for arguments, part in [
            (["--strategy", "pol", "true"], "did you mean 'pool'"),
            (["--conf=limt:1G", "true"], "did you mean 'limit'"),
            (["--conf=limit:x", "true"], "'limit' takes a number of bytes"),
            (["--strateg1", "pool", "true"], "did you mean '--strategy'"),
            (["-s", "true"], "'-s'"),
            ([], "no command to run"),
            (["--stats", "--"], "no command to run"),
            (["--conf=retain:1M,limit=1G", "true"], "written key:value, not 'limit=1G'"),
            (["--strategy=system", "--conf=limit:1G", "true"], "'limit' does nothing under strategy"),
            (["--stats=yes", "true"], "STEPWELL_STATS takes 0, 1 or a file"),
            (["--stats=/no/dir/x", "true"], "in '/no/dir': No such file or directory"),
        ]:
            with self.subTest(arguments):
                result = run(*arguments)
                self.assertEqual((result.returncode, result.stdout), (125, ""))
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                self.assertIn(part, result.stderr)

    def test_a_wrong_variable_is_125_and_said_once(self):
        for name, value, part in [("STRATEGY", "pol", "did you mean 'pool'"),
                                  ("CONF", "limt:1G", "did you mean 'limit'"),
                                  ("STATS", "true", "not 'true'")]:
            with self.subTest(name):
                result = run("sh", "-c", "true; true", env=environment(**{f"STEPWELL_{name}": value}))
                self.assertEqual((result.returncode, result.stderr.count("\n")), (125, 1))
                self.assertIn(part, result.stderr)

    def test_a_variable_that_is_misspelt(self):
        misspelt = environment(STEPWELL_STRATGY="pool", STEPWELL_HOME="/opt")
        self.expect(run("--", "echo", "ran", env=misspelt), 0, "ran\n",
                    "stepwell run: nobody reads STEPWELL_STRATGY; did you mean STEPWELL_STRATEGY?\n")
        self.expect(run("-q", "--", "echo", "ran", env=misspelt), 0, "ran\n")

    def test_the_commands_options_are_its_own(self):
        self.expect(run("printf", "%s.", "--strategy", "-x", "--"), 0, "--strategy.-x.--.")
        self.expect(run("--strategy=pool", "--", "printf", "%s.", "-q"), 0, "-q.")
        self.expect(run("printf", "%s.", "-h"), 0, "-h.")


class Environment(Test):
    def variables(self, *arguments, **changes):
        result = run(*arguments, "--", "env", env=environment(**changes))
        self.expect(result)
        return dict(line.split("=", 1) for line in result.stdout.splitlines())

    def test_what_it_sets(self):
        library = f"{PREFIX}/lib/libstepwell-preload.so"
        plain = self.variables()
        self.assertEqual(plain["LD_PRELOAD"], library)
        self.assertEqual([name for name in plain if name.startswith("STEPWELL")], [])
        full = self.variables("--strategy=pool", "--conf", "limit:1G", "--stats=/dev/null")
        self.assertEqual([full["STEPWELL_" + name] for name in ("STRATEGY", "CONF", "STATS")],
                         ["pool", "limit:1G", "/dev/null"])

    def test_what_is_preloaded_already_stays_behind_ours(self):
        library = f"{PREFIX}/lib/libstepwell-preload.so"
        empty = self.build("empty.so", "", "-shared")
        self.assertEqual(self.variables(LD_PRELOAD=empty)["LD_PRELOAD"], f"{library}:{empty}")

    def test_jemalloc_is_preloaded_for_its_strategy(self):
        for way in ["--strategy=jemalloc"], []:
            variables = self.variables(*way, STEPWELL_STRATEGY="" if way else "jemalloc")
            self.assertIn(f":{PREFIX}/lib/libstepwell-jemalloc.so", variables["LD_PRELOAD"])
        result = run("--strategy=jemalloc", "--stats", "ls")
        self.assertIn("strategy jemalloc", result.stderr)

    def test_where_the_table_is_to_go_is_looked_at_first(self):
        os.mkdir(self.path("folder"))
        for target, part in ((self.path("folder"), "it is a folder"), ("/none/table", "/none")):
            result = run(f"--stats={target}", "--", "echo", "ran")
            self.assertEqual((result.returncode, result.stdout), (125, ""))
            self.assertIn(part, result.stderr)
        self.expect(run("--stats=/dev/null", "--", "echo", "ran"), 0, "ran\n")
        result = run("--stats", "out.txt", "--", "echo", "ran")
        self.assertEqual(result.returncode, 127)
        self.assertIn("--stats=FILE", result.stderr)

    def test_a_file_for_the_table_is_named_from_here(self):
        result = run("--stats=stats.%p", "--", "sh", "-c", "cd /; exec ls", cwd=self.folder.name)
        self.assertEqual(result.stderr, "")
        name, = os.listdir(self.folder.name)
        self.assertRegex(name, r"^stats\.\d+$")

    def test_a_folder_whose_name_has_a_percent_sign(self):
        folder = self.path("d%pd%%")
        os.mkdir(folder)
        for name in "x.txt", "100%":
            result = run(f"--stats={name}", "--", "true", cwd=folder)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(os.listdir(folder), [name])
            os.remove(os.path.join(folder, name))
        result = run("--stats=none/x.txt", "--", "echo", "ran", cwd=folder)
        self.assertEqual((result.returncode, result.stdout), (125, ""))

    def test_a_folder_that_the_process_makes(self):
        result = run(f"--stats={self.folder.name}/d%p/x", "--", sys.executable, "-c",
                     f"import os; os.mkdir(f'{self.folder.name}/d{{os.getpid()}}')")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        name, = os.listdir(self.folder.name)
        self.assertEqual(os.listdir(self.path(name)), ["x"])

    def test_a_prefix_elsewhere(self):
        shutil.copytree(os.path.join(PREFIX, "lib"), self.path("lib"),
                        ignore=lambda folder, names: [n for n in names if ".so" not in n])
        os.mkdir(self.path("bin"))
        moved = shutil.copy(STEPWELL, self.path("bin/stepwell"))
        result = run("--", "env", stepwell=moved)
        self.assertIn(f"\nLD_PRELOAD={self.folder.name}/lib/libstepwell-preload.so\n",
                      "\n" + result.stdout)


def become_subreaper():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


WAITS_FOR_ALL = """
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int ended = 0;
    if (fork() == 0) return 0;
    while (waitpid(-1, NULL, __WALL) > 0) ended++;
    return printf("%d\\n", ended) < 0;
}
"""


class Signals(Test):
    def start(self, script):
        process = subprocess.Popen([STEPWELL, "run", "--", "sh", "-c", script], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment())
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def test_those_sent_to_it_go_to_the_command(self):
        for name in "HUP", "INT", "QUIT", "TERM", "USR1", "USR2":
            with self.subTest(name):
                process = self.start(f"trap 'echo got; exit 3' {name}; echo ready; "
                                     "while :; do sleep 0.02; done")
                process.send_signal(signal.Signals[f"SIG{name}"])
                self.assertEqual(process.communicate(timeout=60), ("got\n", ""))
                self.assertEqual(process.returncode, 3)

    def test_one_sent_to_the_group_comes_once(self):
        counts = ("import signal, sys, time; count = 0\n"
                  "def got(*_): global count; count += 1\n"
                  "signal.signal(signal.SIGTERM, got); print('ready', flush=True)\n"
                  "while not count: time.sleep(0.01)\n"
                  "time.sleep(0.3); print(count)")
        process = subprocess.Popen([STEPWELL, "run", "--", sys.executable, "-c", counts], text=True,
                                   stdout=subprocess.PIPE, start_new_session=True, env=environment())
        self.assertEqual(process.stdout.readline(), "ready\n")
        os.killpg(process.pid, signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=60)[0], "1\n")

    def test_the_command_is_the_process_and_has_nobody_to_wait_for(self):
        waits = ("import os\n"
                 "try: os.wait()\n"
                 "except ChildProcessError: print(os.getpid())")
        process = subprocess.Popen([STEPWELL, "run", "--", sys.executable, "-c", waits], text=True,
                                   stdout=subprocess.PIPE, env=environment())
        self.assertEqual(process.communicate(timeout=60)[0], f"{process.pid}\n")

    def test_who_waits_for_all_there_is_waits_for_nobody(self):
        """A debugger or a tracer says __WALL, and then a child without a signal for its end counts."""
        waits = self.build("waits", WAITS_FOR_ALL)
        self.expect(run("--", waits), 0, "1\n")
        self.assertEqual(run("--", waits, preexec_fn=become_subreaper).returncode, 0)

    def test_no_child_is_seen_by_the_command(self):
        children = "/proc/thread-self/children"
        if not os.path.exists(children):
            self.skipTest("this kernel lists no children")
        self.expect(run("--", "sh", "-c", f"read all < {children}; echo $all."), 0, ".\n")

    def test_under_a_tracer_of_its_own(self):
        if not shutil.which("strace"):
            self.skipTest("needs strace")
        if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode:
            self.skipTest("nobody may trace here")
        self.expect(run("--", "strace", "-f", "-o", "/dev/null", "sh", "-c", "exit 3"), 3)

    def test_a_command_that_takes_orphans_in_waits_for_its_own(self):
        waits = "import os\ntry:\n  while True: os.wait()\nexcept ChildProcessError: print('alone')"
        self.expect(run("--", sys.executable, "-c", waits, preexec_fn=become_subreaper), 0, "alone\n")

    def test_the_witness_ends_with_the_command(self):
        process = self.start("echo ready; exec sleep 60")
        os.set_blocking(process.stderr.fileno(), False)
        process.kill()
        self.assertTrue(select.select([process.stderr], [], [], 10)[0])
        self.assertEqual(process.communicate(timeout=60)[1], "")

    def test_the_witness_has_nothing_open_that_the_command_has(self):
        """Who waits for the end of a pipe waits for those who may write to it."""
        ends = os.pipe()
        closes = f"import os, time; os.close({ends[1]}); print('ready', flush=True); time.sleep(60)"
        process = subprocess.Popen([STEPWELL, "run", "--", sys.executable, "-c", closes],
                                   pass_fds=[ends[1]], stdout=subprocess.PIPE, text=True,
                                   env=environment())
        os.close(ends[1])
        self.assertEqual(process.stdout.readline(), "ready\n")
        self.assertEqual(select.select([ends[0]], [], [], 10)[0], [ends[0]])
        self.assertEqual(os.read(ends[0], 1), b"")
        os.close(ends[0])
        process.terminate()
        process.communicate(timeout=60)

    def test_where_address_space_is_short(self):
        """OpenBLAS's threads ask for more than there is, without end; run waits for none of them."""
        for mib in 60, 100, 150:
            with self.subTest(mib):
                limits = [mib << 20, mib << 20]
                result = run("--", "sh", "-c", "echo ran; exit 3",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limits))
                self.expect(result, 3, "ran\n")

    def test_where_address_space_is_short_the_command_is_told_nothing_of_it(self):
        """Of how run itself does without OpenBLAS's threads."""
        limits = [400 << 20, 400 << 20]
        for before in {}, {"OPENBLAS_NUM_THREADS": "3"}:
            result = run("--", "env", env=environment(**before),
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limits))
            said = dict(line.split("=", 1) for line in result.stdout.splitlines()
                        if line.startswith(("OPENBLAS", "STEPWELL_BLAS")))
            self.assertEqual((result.returncode, said), (0, before))

    def test_ignored_ones_stay_ignored(self):
        result = run("--", "sh", "-c", "kill -HUP $$; kill -CHLD $$; echo on",
                     preexec_fn=lambda: [signal.signal(number, signal.SIG_IGN)
                                         for number in (signal.SIGHUP, signal.SIGCHLD)])
        self.expect(result, 0, "on\n")


STATIC = "int main(void) { return 0; }"
OWN = """
#include <stddef.h>
static char pool[1 << 20]; static size_t used;
void *malloc(size_t size) { used = (used + 15) & ~15ul; used += size; return pool + used - size; }
void free(void *block) { (void)block; }
int main(void) { return malloc(10) == NULL; }
"""


BY_VALUE = """
#include <stdio.h>
#include <stdlib.h>
void *(*volatile allocate)(size_t) = malloc;
int main(void) { return !allocate(10) || puts("ran") < 0; }
"""


class Witness(Test):
    def test_nothing_is_said_where_all_is_well(self):
        script = self.write("script", "#!/bin/sh\necho ran\n")
        by_value = self.build("by_value", BY_VALUE, "-fno-builtin", "-no-pie")
        bare = self.write("bare", "echo ran\n")
        for command in (["sh", "-c", "echo ran | cat"], [sys.executable, "-c", "print('ran')"],
                        [script], [bare], [by_value], ["env", "A=1", "sh", "-c", "sleep 0.3; echo ran"]):
            with self.subTest(command):
                self.expect(run("--", *command), 0, "ran\n")

    def test_a_static_binary(self):
        static = self.build("static", STATIC, "-static")
        self.expect_told(run("--", static), static, "static binary")
        self.expect(run("-q", "--", static))
        script = self.write("script", f"#!{static} argument\n")
        self.expect_told(run("--", script), script, f"its interpreter {static} is a static binary")

    def test_one_that_runs_on(self):
        sleeper = "#include <unistd.h>\nint main(void) { usleep(800000); return 5; }"
        static = self.build("static", sleeper, "-static")
        self.expect_told(run("--", static), static, "static binary", code=5)
        self.expect_told(run("--", "sh", "-c", f"{static}; {static}"), static, "static binary",
                         code=5)

    def test_one_that_starts_late(self):
        sleeper = "#include <unistd.h>\nint main(void) { return (int)sleep(5); }"
        static = self.build("late", sleeper, "-static")
        self.expect_told(run("--", "sh", "-c", f"sleep 6; {static}"), static, "static binary")

    def test_an_allocator_of_its_own(self):
        own = self.build("own", OWN, "-fno-builtin")
        self.expect_told(run("--", own), own, "has an allocator of its own linked in")
        hidden = self.build("hidden", OWN, "-fno-builtin", "-fvisibility=hidden")
        self.expect_told(run("--", hidden), hidden, "has an allocator of its own linked in")
        slow = self.build("slow", OWN.replace("return", "usleep(1500000); return", 1)
                          .replace("#include", "#include <unistd.h>\n#include", 1), "-fno-builtin")
        for way in ["env", "A=1", slow], ["sh", "-c", f"{slow}; true"]:
            self.expect_told(run("--", *way), slow, "has an allocator of its own linked in")

    def test_ld_preload_taken_out(self):
        sleep = os.path.realpath(shutil.which("sleep"))
        for command in (["env", "-u", "LD_PRELOAD", "sleep", "1.5"],
                        ["sh", "-c", "env -i sleep 1.5; true"]):
            with self.subTest(command):
                self.expect_told(run("--", *command), f"'{sleep}'", "without LD_PRELOAD")
        empty = self.build("empty.so", "", "-shared")
        result = run("--", "env", f"LD_PRELOAD={empty}", "sleep", "1.5")
        self.expect_told(result, f"'{sleep}'", "with another LD_PRELOAD")

    def test_setuid_and_setgid(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to give a file to somebody else")
        for bit, why in (stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid"):
            with self.subTest(why):
                program = shutil.copy(shutil.which("true"), self.path(why))
                os.chown(program, NOBODY, NOBODY)
                os.chmod(program, 0o755 | bit)
                self.expect_told(run("--", program), program, f"is {why}")

    def test_file_capabilities(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to give a file a capability and to become another user")
        program = shutil.copy(shutil.which("true"), self.path("capable"))
        permitted = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service
        os.setxattr(program, "security.capability", permitted)
        shutil.copytree(os.path.join(PREFIX, "lib"), self.path("lib"),
                        ignore=lambda folder, names: [n for n in names if ".so" not in n])
        os.mkdir(self.path("bin"))
        reachable = shutil.copy(STEPWELL, self.path("bin/stepwell"))
        result = run("--", program, stepwell=reachable, user=NOBODY, group=NOBODY)
        self.expect_told(result, program, "has file capabilities")

    def test_another_architecture(self):
        """A program of 32 bits that exits with 0, where the kernel runs such."""
        code = bytes.fromhex("31c040" "31db" "cd80")  # exit(0)
        header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, 0x8048054, 52, 0, 0,
                             52, 32, 1, 0, 0, 0)
        segment = struct.pack("<IIIIIIII", 1, 0, 0x8048000, 0x8048000, 84 + len(code),
                              84 + len(code), 5, 0x1000)
        program = self.write("foreign", header + segment + code)
        try:
            subprocess.run([program], check=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("this kernel runs no programs of 32 bits")
        self.expect_told(run("--", program), program, "another architecture")

    def test_the_question_is_not_seen_by_the_command(self):
        result = run("--", "sh", "-c", "env; ls /proc/self/fd; exec env")
        self.expect(result)
        self.assertNotIn("STEPWELL_RUN", result.stdout)
        self.assertNotRegex(result.stdout, r"(?m)^[4-9]$")


if __name__ == "__main__":
    unittest.main()
