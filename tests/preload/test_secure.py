#!/usr/bin/env python3
"""Under the preload library a setuid program listens to no variable of its caller's. The argument is
the library; the program is made here, with CC, where both users can reach it."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LIBRARY = Path(sys.argv.pop())
SOURCE = Path(__file__).resolve().parent / "secure.c"
OWNER, CALLER = 65534, 65533


def make_program(folder):
    """The program, and a copy that is setuid. Both name the library by its path, so that the linker
    takes it though it takes nothing from the environment."""
    library = Path(shutil.copy(LIBRARY, folder))
    plain, setuid = folder / "plain", folder / "setuid"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run([*compiler, SOURCE, "-o", plain, "-Wl,--no-as-needed", library,
                    f"-Wl,-rpath,{folder}"], check=True)
    shutil.copy(plain, setuid)
    os.chown(setuid, OWNER, OWNER)
    os.chmod(setuid, 0o4755)
    return plain, setuid


class Secure(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.folder.chmod(0o755)
        self.programs = make_program(self.folder)
        self.written = self.folder / "written"
        self.written.mkdir()
        self.written.chmod(0o777)

    def run_with(self, program, name, value):
        """The caller's run, with STEPWELL_NAME; `$$` in the value is the process's id."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STEPWELL_")}
        return subprocess.run(
            ["/bin/sh", "-c", f'export STEPWELL_{name}="{value}"; exec {program}'],
            env=environment, user=CALLER, group=CALLER, extra_groups=[], cwd="/",
            capture_output=True, text=True, timeout=60, check=True)

    def see(self, name, value, is_heeded):
        """is_heeded(stderr) must hold of the plain program and must not of the setuid one."""
        for program, secure in zip(self.programs, (False, True)):
            result = self.run_with(program, name, value)
            self.assertEqual(result.stdout, f"secure {int(secure)}\n")
            self.assertEqual(is_heeded(result.stderr), not secure, result.stderr)
            self.assertIn("strategy ", result.stderr)

    def test_the_strategy(self):
        self.see("STRATEGY", "pool", lambda said: "strategy pool" in said)

    def test_the_options(self):
        self.see("CONF", "tracking:1", lambda said: "requested" in said)

    def test_the_table_and_its_file(self):
        file = self.written / "table"

        def is_heeded(_):
            found = file.exists()
            file.unlink(missing_ok=True)
            return found
        self.see("STATS", file, is_heeded)

    def test_the_question_of_stepwell_run(self):
        file = self.written / "answer"

        def is_heeded(_):
            found = file.read_text()
            file.write_text("")
            return found == "+\n"
        file.touch()
        file.chmod(0o666)
        self.see("RUN", f"$$:{file}", is_heeded)


def why_not():
    """What keeps a setuid program from being one; "" where nothing does."""
    if os.geteuid() != 0:
        return "only root can make a program of another user's"
    with tempfile.TemporaryDirectory() as folder:
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            return f"{Path(folder).parent} is mounted nosuid"
    with open("/proc/self/status", encoding="ascii") as status:
        if "NoNewPrivs:\t1\n" in status.read():
            return "setuid programs have no effect here (no_new_privs)"
    return ""


if __name__ == "__main__":
    if why_not():
        print("skipped:", why_not())
        sys.exit(77)
    unittest.main()
