#!/usr/bin/env python3
"""Manual pages and shell completion: they know every command and option that the program has.
STEPWELL_COMMAND names the program, the arguments are the folders of pages and of completion."""

import os
import re
import shutil
import subprocess
import sys
import unittest

STEPWELL = os.path.realpath(os.environ["STEPWELL_COMMAND"])
COMPLETION = sys.argv.pop()
PAGES = sys.argv.pop()
ENVIRONMENT = {**os.environ, "PATH": f"{os.path.dirname(STEPWELL)}:{os.environ['PATH']}"}


def output_of(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120,
                          env=ENVIRONMENT, **options).stdout


def commands():
    text = output_of(STEPWELL, "--help").split("Commands:\n")[1].split("\n\n")[0]
    names = re.findall(r"(?m)^  (\w+)", text)
    assert "compare" in names and "help" in names
    return [name for name in names if name != "help"]


def options(command):
    """The long options that --help names."""
    return set(re.findall(r"(?m)^ .{,6}--([a-z-]+)", output_of(STEPWELL, command, "--help")))


class Manual(unittest.TestCase):
    def page(self, name):
        with open(os.path.join(PAGES, name)) as file:
            return file.read()

    def test_a_page_per_command_and_no_other(self):
        expected = {"stepwell.1", "stepwell.7", *(f"stepwell-{name}.1" for name in commands())}
        self.assertEqual(set(os.listdir(PAGES)), expected)
        for name in commands():
            self.assertIn(f".BR stepwell\\-{name} (1)\n", self.page("stepwell.1"))

    def test_every_option_is_there_and_explained(self):
        for name in commands():
            page = self.page(f"stepwell-{name}.1").replace("\\-", "-")
            for option in options(name) - {"usage"}:
                self.assertRegex(page, rf"\.TP\n.*\\fB--{option}\\fR.*\n\S", name)

    def test_the_environment(self):
        page = self.page("stepwell.7")
        for name in re.findall(r"(?m)^  (\w+)[:=]", output_of(STEPWELL, "run", "--help")):
            self.assertRegex(page, rf"\.TP\n\\fB{name}\\fR[:=].*\n[A-Z]")

    def test_groff_has_no_complaint(self):
        if not shutil.which("groff"):
            self.skipTest("no groff")
        for name in os.listdir(PAGES):
            done = subprocess.run(["groff", "-man", "-ww", "-z", os.path.join(PAGES, name)],
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)


class Candidates(unittest.TestCase):
    """What the program says."""

    def complete(self, *words):
        return [line.split("\t")[0]
                for line in output_of(STEPWELL, "__complete", *words).splitlines()]

    def test_commands(self):
        for words in [""], ["comp"], ["help", ""]:
            self.assertEqual(set(self.complete(*words)), {*commands(), "help"})
        self.assertEqual(self.complete("unknown", ""), [])

    def test_options(self):
        for name in commands():
            listed = {word.strip("-=") for word in self.complete(name, "--")}
            self.assertEqual(listed - {"!commands"}, options(name) - {"usage"}, name)

    def test_values(self):
        table = output_of(STEPWELL, "list").split("\n\n")[0]
        listed = [name for name in re.findall(r"(?m)^(\w+) ", table) if name != "strategy"]
        self.assertIn("pool", listed)
        self.assertEqual(self.complete("run", "--strategy", ""), listed)
        self.assertEqual(self.complete("run", "--strategy=p"), [f"--strategy={s}" for s in listed])
        self.assertIn("huge_pages:never", self.complete("train", "--conf", "h"))
        self.assertIn("limit:", self.complete("train", "-q", "--conf", ""))
        self.assertEqual(self.complete("list", "--color="),
                         ["--color=auto", "--color=always", "--color=never"])
        self.assertIn("digits", self.complete("train", "--model", ""))
        self.assertEqual(self.complete("train", "--data", ""), ["!directories"])
        self.assertEqual(self.complete("train", "--data="), ["!directories"])
        self.assertEqual(self.complete("list", "--json="), ["!files"])

    def test_of_numbers_there_are_none(self):
        for name in "steps", "batch", "threads", "seed", "runs":
            self.assertEqual(self.complete("compare", f"--{name}", ""), [], name)
            self.assertEqual(self.complete("compare", f"--{name}="), [], name)

    def test_of_a_list_the_last_part_is_completed(self):
        self.assertIn("pool,arena", self.complete("compare", "--strategies", "pool,ar"))
        self.assertIn("--strategies=pool,arena", self.complete("compare", "--strategies=pool,"))
        self.assertIn("limit:1G,tracking:0", self.complete("run", "--conf", "limit:1G,tr"))
        self.assertIn("--conf=limit:1G,retain:", self.complete("run", "--conf=limit:1G,"))
        self.assertNotIn("a,pool", self.complete("run", "--strategy", "a,"))  # no list

    def test_the_command_to_run(self):
        self.assertEqual(self.complete("run", "--", ""), ["!commands"])
        self.assertEqual(self.complete("run", "--strategy", "pool", "--", ""), ["!commands"])
        self.assertIn("!commands", self.complete("run", ""))
        for words in ["ls", ""], ["--", "ls", "--str"], ["--stats", "ls", "-"]:
            self.assertEqual(self.complete("run", *words), ["!files"])


class Shells(unittest.TestCase):
    """What the shells make of it: (typed, the candidates among others)."""

    cases = [
        ("stepwell comp", {"compare"}),
        ("stepwell run --str", {"--strategy="}),
        ("stepwell run --strategy si", {"sizeclass"}),
        ("stepwell train --conf track", {"tracking:0", "tracking:1"}),
        ("stepwell train --model dig", {"digits"}),
        ("stepwell compare --strategies pool,ar", {"pool,arena"}),
    ]
    # bash replaces what stands behind the = or the :
    whole = [("stepwell train --conf limit:1G,track", {"limit:1G,tracking:0", "limit:1G,tracking:1"})]

    def require(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"no {shell}")

    def file(self, name):
        return os.path.join(COMPLETION, name)

    def test_bash(self):
        script = ('source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _stepwell; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')

        def complete(line):
            return set(output_of("bash", "-c", script, "bash", self.file("stepwell.bash"),
                                 line).split())

        for line, expected in self.cases:
            self.assertEqual(complete(line), expected)
        self.assertEqual(complete("stepwell run --strategy=si"), {"sizeclass"})
        self.assertEqual(complete("stepwell run --conf huge_pages:n"), {"never"})
        self.assertEqual(complete("stepwell train --conf limit:1G,track"),
                         {"1G,tracking:0", "1G,tracking:1"})
        self.assertEqual(complete("stepwell train --data /et"), {"/etc"})
        self.assertEqual(complete("stepwell train --data=/etc/passw"), set())
        self.assertIn("bash", complete("stepwell run -- bas"))
        self.assertEqual(complete("stepwell run -- ls /etc/passw"), {"/etc/passwd", "/etc/passwd-"}
                         & {f"/etc/{name}" for name in os.listdir("/etc")})

    def test_fish(self):
        self.require("fish")
        for line, expected in self.cases + self.whole:
            got = output_of("fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]",
                            self.file("stepwell.fish"), line)
            self.assertEqual({row.split("\t")[0] for row in got.splitlines()}, expected)

    def test_zsh(self):
        """With zsh's own helpers replaced by one that prints what it is given."""
        self.require("zsh")
        script = ('_describe() { [[ $1 == -o ]] && shift; print -rl -- "${(@P)2}"; }; _files() {}; _command_names() {}; '
                  "words=(${(z)2}); CURRENT=$#words; source $1; true")
        for line, expected in self.cases + self.whole:
            got = output_of("zsh", "-f", "-c", script, "zsh", self.file("_stepwell"), line)
            words = {re.split(r"(?<!\\):", row)[0].replace("\\:", ":")
                     for row in got.splitlines()}
            typed = line.split()[-1]
            self.assertEqual({word for word in words if word.startswith(typed)}, expected)


if __name__ == "__main__":
    unittest.main()
