"""Completion in bash, zsh and fish offers every option that --help tells of."""
import os
import re
import shutil
import tempfile
import unittest

import harness
from harness import UFS, run

COMPLETION = os.path.join(os.path.dirname(os.path.realpath(__file__)),
                          "../../tools/completion")

BASH = """
compopt() { :; }
. "$0"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_ufs
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Stands in for zsh's own, which works in an editor alone.
ZSH = """
_describe() { print -l -- ${(P)@[-1]} }
fpath=(${0:h}); autoload -U _ufs
words=("$@") CURRENT=$#
_ufs
"""
FISH = "source $argv[1]; complete -C (string join ' ' -- $argv[2..])"


def names(lines):
    """The options at the beginnings of lines."""
    return set(re.findall(r"^(--?[a-z][a-z-]*)", "\n".join(lines), re.MULTILINE))


class Completion(unittest.TestCase):
    def setUp(self):
        path = tempfile.mkdtemp(prefix="ufs-completion.")
        self.addCleanup(shutil.rmtree, path)
        os.symlink(UFS, path + "/ufs")
        self.env = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}",
                    "HOME": path}

    def output(self, *command):
        done = run(*command, env=self.env)
        self.assertEqual((done.returncode, done.stderr), (0, ""), command)
        return done.stdout.splitlines()

    def verbs(self, *before):
        """Those that a --help lists, as command lines."""
        told = "\n".join(self.output("ufs", *before, "--help"))
        listed = re.search(r"^Verbs:\n((?:  .*\n)+)", told, re.MULTILINE)
        return [(*before, line.split()[0]) for line in listed[1].splitlines()]

    def commands(self):
        for verb in self.verbs():
            if verb[0] in ("layer", "store", "trace", "volume"):
                yield from self.verbs(*verb)
            elif verb[0] != "oci":
                yield verb

    def told(self, verb):
        lines = self.output("ufs", *verb, "--help")
        return names(word for line in lines if line.startswith("  -")
                     for word in line.split()[0].split(","))

    def check(self, *shell):
        if not shutil.which(shell[0]):
            self.skipTest(f"needs {shell[0]}")
        commands = list(self.commands())
        self.assertIn(("layer", "import"), commands)
        for verb in commands:
            offered = names(self.output(*shell, "ufs", *verb, "-"))
            self.assertEqual(self.told(verb) - offered, set(), verb)

    def test_help_names_values_as_people_do(self):
        for verb in self.commands():
            for line in self.output("ufs", *verb, "--help"):
                self.assertNotRegex(line, r"^  -.*:(INT|UINT|FLOAT|SIZE|POSITIVE|\{)", verb)

    def test_bash(self):
        self.check("bash", "-c", BASH, f"{COMPLETION}/ufs.bash")

    def test_zsh(self):
        self.check("zsh", "-fc", ZSH, f"{COMPLETION}/_ufs")

    def test_fish(self):
        self.check("fish", "--no-config", "-c", FISH, f"{COMPLETION}/ufs.fish")

    def test_mount_options_in_bash(self):
        help_text = "\n".join(self.output("ufs", "mount", "--help"))
        listed = help_text.split("Mount options (-o)")[1].split("\n\n")[0]
        told = set(re.findall(r"^  ([a-z_+]+)(?:=| |$)", listed, re.MULTILINE))
        self.assertIn("redirect_dir", told)
        offered = self.output("bash", "-c", BASH, f"{COMPLETION}/ufs.bash", "ufs",
                              "mount", "-o", "")
        self.assertEqual(told - {word.split("=")[0] for word in offered}, set())
        self.assertIn("fsync=strict", offered)


if __name__ == "__main__":
    harness.main()
