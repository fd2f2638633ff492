"""`cmake --install` puts everything in place, and the .deb that `cpack` makes
installs and runs on a Debian root with nothing else in it.

Runs in a mount and a pid namespace of its own. The root is the lower layer of
an overlay, so that the cached one stays clean.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77  # what CTest counts as skipped
SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("UFS_BUILD", str(SOURCE / "build/release"))
sys.path.insert(0, str(SOURCE / "bench"))
import debian_root  # noqa: E402

# Not what ufs depends on, but what its other files are for.
COMPANIONS = ["bash-completion", "fish", "fuse3", "man-db", "mount", "zsh"]

INSTALLED = {
    "usr/bin/ufs", "usr/bin/ufs-oci", "usr/sbin/mount.fuse.ufs",
    "usr/share/man/man8/mount.fuse.ufs.8",
    *(f"usr/share/man/man{page.suffix[1:]}/{page.name}"
      for page in (SOURCE / "tools/man").iterdir()),
    "usr/share/bash-completion/completions/ufs",
    "usr/share/zsh/vendor-completions/_ufs",
    "usr/share/fish/vendor_completions.d/ufs.fish",
    "usr/share/doc/ufs/README.md", "usr/share/doc/ufs/copyright"}


def run(*command, **options):
    return subprocess.run(
        [os.fspath(word) for word in command], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=options.pop("timeout", 300), **options)


class PackageTest(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ufs-package.",
                                                 dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def check(self, *command, **options):
        done = run(*command, **options)
        self.assertEqual(done.returncode, 0, f"{command}:\n{done.stdout}")
        return done.stdout


class Install(PackageTest):
    def test_into_a_destdir(self):
        self.check("cmake", "--install", BUILD, "--prefix", "/usr",
                   env={**os.environ, "DESTDIR": str(self.dir)})
        found = {str(path.relative_to(self.dir)) for path in self.dir.rglob("*")
                 if not path.is_dir() or path.is_symlink()}
        self.assertEqual(found, INSTALLED)
        self.assertRegex(self.check(self.dir / "usr/bin/ufs", "--version"),
                         r"^ufs \d")
        helper = self.dir / "usr/sbin/mount.fuse.ufs"
        self.assertEqual(helper.resolve(), self.dir / "usr/bin/ufs")
        self.assertIn("meant to be called by mount(8)", run(helper).stdout)


class Package(PackageTest):
    def setUp(self):
        super().setUp()
        self.check("cpack", "--config", f"{BUILD}/CPackConfig.cmake", "-B",
                   self.dir / "deb")
        [self.deb] = (self.dir / "deb").glob("*.deb")
        fields = self.check("dpkg-deb", "-f", self.deb, "Depends", "Recommends")
        wanted = re.findall(r"[:,|] *([a-z0-9][a-z0-9+.-]+)", fields)
        static = "statically linked" in self.check("ldd", f"{BUILD}/tools/ufs")
        self.assertEqual("libc6" not in wanted, static, "the libraries it is linked with")
        root = debian_root.ensure_bare(sorted({*wanted, *COMPANIONS}))

        self.root = self.dir / "root"
        top = self.dir / "top"
        for directory in (self.root, top):
            directory.mkdir()
        self.check("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", top)
        self.addCleanup(run, "umount", "-l", top)
        for part in ("upper", "work"):
            (top / part).mkdir()
        self.check("mount", "-t", "overlay", "overlay", "-o",
                   f"lowerdir={root},upperdir={top}/upper,workdir={top}/work",
                   self.root)
        self.addCleanup(run, "umount", "-R", "-l", self.root)
        self.check("mount", "-t", "proc", "proc", self.root / "proc")
        self.check("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs",
                   self.root / "dev")
        for name, minor, major in (("null", 3, 1), ("zero", 5, 1),
                                   ("urandom", 9, 1), ("fuse", 229, 10)):
            os.mknod(self.root / "dev" / name, 0o20666, os.makedev(major, minor))
            os.chmod(self.root / "dev" / name, 0o666)
        (self.root / "dev/fd").symlink_to("/proc/self/fd")
        shutil.copy(self.deb, self.root / "tmp/ufs.deb")

    def inside(self, script):
        """A line of shell in the root, without a network."""
        return self.check("unshare", "--net", "chroot", self.root, "/usr/bin/env",
                          "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                          "DEBIAN_FRONTEND=noninteractive", "/bin/bash", "-euc",
                          script)

    def install(self, *packages):
        return self.inside("apt-get install -y --no-install-recommends "
                           + " ".join(packages))

    def test_installs_runs_and_goes(self):
        self.install("/tmp/ufs.deb")
        self.assertRegex(self.inside("ufs --version"), r"^ufs \d")
        self.assertRegex(self.inside(
            "mkdir -p /a /b /mnt; echo a >/a/f; echo b >/b/f; echo x >/b/g;"
            "ufs mount /a /b /mnt; cat /mnt/f; rm /mnt/g; echo new >/mnt/new;"
            "ufs diff /mnt; ufs stat /mnt >/dev/null; ufs umount /mnt;"
            "ls /var/lib/ufs/uppers/*/upper"),
            r"^upper: /var/lib/ufs/\S+\nb\nD /g\nA /new\ng\nnew\n$")
        self.assertEqual(self.inside(
            "mount -t fuse.ufs one /mnt -o lowerdir=/b:/a; cat /mnt/f; umount /mnt;"
            "echo 'two /mnt fuse.ufs lowerdir=/a:/b,upperdir=/up 0 0' >/etc/fstab;"
            "mkdir /up; mount -a; cat /mnt/f; echo c >/mnt/f; umount /mnt; cat /up/f;"
            "mount /mnt; cat /mnt/f; grep -c '^two /mnt fuse.ufs' /proc/mounts;"
            "umount /mnt; rm /etc/fstab"), "b\na\nc\nc\n1\n")
        files = set(self.inside("dpkg -L ufs").split())
        self.assertEqual({path for path in INSTALLED if f"/{path}" not in files},
                         set())
        self.inside("dpkg -r ufs; ! command -v ufs; ! test -e /usr/sbin/mount.fuse.ufs")

    def test_manual_and_completion(self):
        self.install("/tmp/ufs.deb", *COMPANIONS)
        for page, word in (("ufs", "uppers"), ("ufs-mount", "lowerdir"),
                           ("mount.fuse.ufs", "lowerdir")):
            text = self.inside(f"man -P cat {page} 2>&1 | col -b || true")
            self.assertIn(word, text)
            self.assertEqual(self.inside(
                f"man --warnings -E UTF-8 -l $(man -w {page}) 2>&1 >/dev/null"), "")

        def complete(line):
            """What bash offers at the end of a command line."""
            return self.inside(
                ". /usr/share/bash-completion/bash_completion;"
                "_completion_loader ufs || true;"  # 124: it was found
                f"COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}};"
                "read -ra COMP_WORDS <<<\"$COMP_LINE\";"
                "[[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('');"
                "COMP_CWORD=$((${#COMP_WORDS[@]} - 1));"
                "compopt() { :; };"
                "$(complete -p ufs | sed 's/.*-F \\([^ ]*\\) .*/\\1/');"
                "printf '%s\\n' \"${COMPREPLY[@]}\"").split()

        self.assertEqual(complete("ufs um"), ["umount"])
        self.assertLessEqual({"mount", "umount", "stat", "diff"},
                             set(complete("ufs ")))
        self.assertEqual(complete("ufs mount --up"), ["--upper"])
        self.assertEqual(complete("ufs stat --w"), ["--watch"])
        self.assertEqual(complete("ufs mount -o upper"), ["upperdir="])
        self.assertEqual(complete("ufs mount -o ro,auto_un"), ["ro,auto_unmount"])
        self.inside("mkdir -p /layers/one; cd /layers")
        self.assertEqual(complete("ufs mount /layers/o"), ["/layers/one"])

        self.inside("zsh -n /usr/share/zsh/vendor-completions/_ufs")
        self.assertIn("_ufs", self.inside(
            "zsh -c 'autoload -U compinit; compinit -u -d /tmp/zcompdump;"
            "print $_comps[ufs]'"))
        self.inside("fish --no-execute /usr/share/fish/vendor_completions.d/ufs.fish")
        offered = self.inside("fish -c 'complete -C \"ufs \"'")
        for verb in ("mount", "umount", "stat", "diff"):
            self.assertIn(verb, offered)


def main():
    if os.geteuid() != 0:
        print("needs root: it makes a Debian root and mounts")
        sys.exit(SKIPPED)
    if os.environ.get("UFS_PACKAGE_TEST_INSIDE") != "1":
        os.environ["UFS_PACKAGE_TEST_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork",
                              "--mount-proc", "--kill-child", "--propagation",
                              "private", sys.executable, *sys.argv])
    try:
        unittest.main(verbosity=2)
    except debian_root.Unavailable as error:
        print(error)
        sys.exit(SKIPPED)


if __name__ == "__main__":
    main()
