"""Debian's own packages in containers over hashed layers: apt-get makes a layer of
servers, which serve under load, are killed and come back; a compile. As root and as
an ordinary user.

The root and the pool of packages are those of bench/debian_root.py."""
import os
import pathlib
import re
import subprocess
import sys

import bundle
import box
import harness
from bundle import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import debian_root  # noqa: E402

# Services are not started by their packages.
INSTALL = """
set -e
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
printf 'deb [trusted=yes] file:/pool ./\\n' >/etc/apt/sources.list
export DEBIAN_FRONTEND=noninteractive
# Its sandbox of another user gains nothing here, and takes ids that one may not have.
echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/90here
apt-get -qq update
apt-get -qq install -y --no-install-recommends postgresql redis-server >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
rm -r /tmp/log /var/lib/apt/lists
dpkg --audit
"""

REDIS = ("redis-server --dir /data --appendonly yes --appendfsync always --save '' "
         "--protected-mode no --bind 0.0.0.0")

POSTGRES = """
set -e
bin=/usr/lib/postgresql/15/bin
[ -s /var/lib/postgresql/here/PG_VERSION ] || $bin/initdb -D /var/lib/postgresql/here -A trust --no-locale -E UTF8 >/dev/null
exec $bin/postgres -D /var/lib/postgresql/here -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp
"""

COMPILE = """
set -e
cp -r /usr/src/lua5.4 /tmp/lua
cd /tmp/lua/src
make -s -j2 linux CFLAGS='-std=gnu99 -O1 -DLUA_COMPAT_5_3 -DLUA_USE_LINUX' >/dev/null
./lua -e 'local t = {} for i = 1, 1000 do t[i] = i * i end print(#t, t[1000])'
# In the lower tree as well.
cd /usr/src/lua5.4/src
make -s -j2 linux CFLAGS=-O0 >/dev/null
./luac -v
"""


class Servers:
    """Beside a BoxTest."""

    def setUp(self):
        try:
            self.debian = debian_root.ensure()
        except debian_root.Unavailable as why:
            self.skipTest(str(why))
        super().setUp()

    def installed(self):
        """What apt-get changes becomes a layer, and the container goes."""
        self.ok("run", "--name", "setup", "--keep", "-v", f"{self.debian}/pool:/pool:ro", "debian:12", "--",
                "sh", "-c", INSTALL, timeout=500)
        self.ok("commit", "setup", "--name", "servers:1", timeout=300)
        self.ok("rm", "setup")
        self.layers = ["debian:12", "servers:1"]

    def inside(self, name, *command, **options):
        return self.ok("exec", name, *command, **options)

    def answers(self, name, *command):
        return wait_until(lambda: self.ufs("exec", name, *command).returncode == 0, 60)

    def redis(self):
        found = self.start(REDIS, "-v", "kept:/data", "--restart", "always", *self.limits, name="redis")
        ask = ("redis-cli",)
        self.assertTrue(self.answers("redis", *ask, "ping"))
        said = self.inside("redis", "redis-benchmark", "-q", "-n", "5000", "-c", "20", "-t", "set,lpush",
                           "-r", "1000", timeout=300)
        self.assertEqual(len(re.findall(r"requests per second", said)), 2, said)
        self.assertEqual(self.inside("redis", *ask, "set", "answer", "42"), "OK\n")
        before = self.inside("redis", *ask, "llen", "mylist")
        self.assertEqual(before, "5000\n")
        # Killed from outside, started again by its supervisor, over the same volume.
        os.kill(found["pid"], 9)
        self.assertTrue(wait_until(lambda: self.inspect("redis")["pid"] not in (0, found["pid"]), 30))
        self.assertTrue(self.answers("redis", *ask, "ping"))
        self.assertEqual(self.inside("redis", *ask, "get", "answer"), "42\n")
        self.assertEqual(self.inside("redis", *ask, "llen", "mylist"), before)
        self.ok("stop", "redis")
        self.ok("rm", "redis")
        self.ok("volume", "rm", "kept")

    def postgres(self):
        """Its data on the union itself: in the upper."""
        def start():
            self.ok("run", "-d", "--name", "db", "-u", "postgres", "-e", "PGHOST=127.0.0.1", "--upper", self.data,
                    *self.layers, "--", "sh", "-c", POSTGRES)

        self.addCleanup(self.ufs, "rm", "--force", "db")
        start()
        query = ("psql", "-qAt", "postgres", "-c")
        self.assertTrue(self.answers("db", *query, "SELECT 1"), self.ok("logs", "db"))
        self.inside("db", "pgbench", "-q", "-i", "-s", "2", "postgres")
        self.inside("db", "pgbench", "-n", "-c", "4", "-j", "2", "-t", "100", "postgres", timeout=300)
        sums = ("SELECT (SELECT count(*) FROM pgbench_history), "
                "(SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)")
        self.assertEqual(self.inside("db", *query, sums), "400|t\n")
        self.ok("kill", "db")
        self.assertEqual(self.ok("wait", "db"), "137\n")
        self.ok("rm", "db")
        # Another container over what the first has left recovers it from its log.
        start()
        self.assertTrue(self.answers("db", *query, "SELECT 1"), self.ok("logs", "db"))
        self.assertEqual(self.inside("db", *query, sums), "400|t\n")
        self.ok("stop", "--time", "20", "db")
        self.ok("rm", "db")

    def test_packages_become_servers(self):
        self.installed()
        self.redis()
        self.postgres()


class RootServers(Servers, box.BoxTest):
    limits = ("-m", "256m", "--cpus", "1.5")

    def setUp(self):
        super().setUp()
        os.environ["UFS_STORE"] = self.at("store")
        self.addCleanup(os.environ.pop, "UFS_STORE")
        self.data = self.at("data")
        self.ok("layer", "import", str(self.debian / "root"), "--name", "debian:12", timeout=300)

    def test_compile(self):
        done = self.ufs("run", "--cpus", "2", "-m", "1g", "--pids-limit", "200", "debian:12", "--", "sh", "-c", COMPILE,
                        timeout=500)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^1000\t1000000\nLua 5\.4\.")


class UserServers(Servers, box.UserBoxTest):
    limits = ()  # no cgroup is his here

    def setUp(self):
        super().setUp()
        self.data = self.user.home + "/data"
        # What is root's in it, he could not read.
        with subprocess.Popen(["tar", "-C", self.debian / "root", "--numeric-owner", "-cf", "-", "."],
                              stdout=subprocess.PIPE) as tar:
            done = subprocess.run(self.command("layer", "import", "-", "--name", "debian:12"), stdin=tar.stdout,
                                  capture_output=True, timeout=300)
        self.assertEqual((tar.returncode, done.returncode), (0, 0), done.stderr)


if __name__ == "__main__":
    if os.geteuid() == 0 and os.environ.get("UFS_CLI_TEST_INSIDE") != "1":
        # Made here, if need be: where the tests run, apt's own state is not seen.
        try:
            debian_root.ensure()
        except debian_root.Unavailable as why:
            print(why)
            sys.exit(harness.SKIPPED)
    bundle.main()
