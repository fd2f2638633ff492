"""The programs: each a shell script for a Debian root, run alike in the union and in a plain copy of the same root.

What a script prints must be the same in both, and so must the trees be afterwards. A path whose contents come out
different in any two runs is named here with the reason; nothing is left out of the comparison silently.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    script: str
    unstable: dict = dataclasses.field(default_factory=dict)  # path pattern -> why its contents differ between runs
    scrambled: dict = dataclasses.field(default_factory=dict)  # the same, of files whose sizes do not
    absent: dict = dataclasses.field(default_factory=dict)    # path pattern -> why it may be missing or renamed
    needs: tuple = ()                                         # programs that must have run before
    timeout: int = 300


# Whatever runs: these hold times or names of the moment.
ALWAYS_UNSTABLE = {
    "var/log/*": "times",
    "var/cache/ldconfig/aux-cache": "inode numbers and change times of every library",
}

APT = Program("apt", r"""
# Services are not started by their packages: what is compared is what apt and dpkg write.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
printf 'deb [trusted=yes] file:/pool ./\n' >/etc/apt/sources.list
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends POOL_PACKAGES >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
rm /tmp/apt.log
dpkg --audit
dpkg-query -W -f '${Package} ${Version} ${Status}\n'
dpkg --verify || true
apt-get -qq remove --purge -y nano tree >/dev/null
apt-get -qq check
dpkg-query -W nano tree 2>&1 | sort
""", unstable={
    "var/cache/apt/*.bin": "offsets and times inside apt's own cache",
    "var/lib/dpkg/info/*.triggers": "order of interest",
    "etc/ssl/*": "a snake-oil certificate is a random key",
    "var/lib/apt/extended_states": "order of a hash table",
    "var/lib/systemd/deb-systemd-helper-enabled/*": "order of a directory",
}, scrambled={
    "var/lib/postgresql/*": "a new cluster has a random system identifier",
}, absent={
    "etc/ssl/certs/*": "links named by the hash of a random certificate",
}, timeout=600)

COMPILE = Program("compile", r"""
cp -r /usr/src/lua5.4 /tmp/lua
cd /tmp/lua/src
make -s -j2 linux CFLAGS='-std=gnu99 -O1 -DLUA_COMPAT_5_3 -DLUA_USE_LINUX'
./lua -e 'local t = {} for i = 1, 1000 do t[i] = i * i end print(#t, t[1000])'
echo 'print(select("#", ...))' >/tmp/lua/arguments.lua
./luac -o /tmp/lua/arguments.luac /tmp/lua/arguments.lua
./lua /tmp/lua/arguments.luac a b c
cd .. && make -s install INSTALL_TOP=/usr/local
/usr/local/bin/lua -v
# And in place, in the lower tree, twice.
cd /usr/src/lua5.4/src
make -s -j2 linux CFLAGS=-O0
make -s clean
make -s -j2 linux CFLAGS=-O0
sha256sum lua luac
""")

GIT = Program("git", r"""
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git config --global user.name tester
git config --global user.email tester@localhost
git config --global init.defaultBranch main
git config --global pack.threads 1
mkdir -p /home/git && cd /home/git
git init -q one
cp -r /usr/include/linux /usr/share/doc/git one/
cd one
git add -A
git commit -q -m first
for file in linux/[a-m]*.h; do echo '/* changed */' >>"$file"; done
git rm -q -r --cached doc git 2>/dev/null || true
git mv linux/fs.h linux/renamed.h
git commit -q -a -m second
git clone -q --no-hardlinks . ../two
git clone -q . ../linked
cd ../two
git checkout -q -b side HEAD~1
echo side >side.txt && git add side.txt && git commit -q -m side
git checkout -q main && git merge -q -m merged side
git gc -q
git fsck --full --no-progress
git status --porcelain
git log --format='%H %T %s'
cd ../linked && git pull -q ../two main && git rev-parse HEAD
# A repository that lies in the lower tree of a later mount is checked by the remount comparison.
git -C ../two worktree add -q ../tree side && git -C ../tree status --porcelain
""", unstable={
    "home/git/*/.git/index": "holds inode numbers and change times",
    "home/git/two/.git/worktrees/tree/index": "holds inode numbers and change times",
    "home/git/*/.git/gc.log": "messages of the moment",
})

SQLITE = Program("sqlite", r"""
mkdir -p /var/lib/sqlite && cd /var/lib/sqlite
insert() { # FILE FIRST LAST
  i=$2
  while [ "$i" -le "$3" ]; do echo "INSERT INTO t VALUES($i, hex(zeroblob(50 + $i % 50)));"; i=$((i + 1)); done |
    sqlite3 -cmd '.timeout 60000' "$1"
}
# Write-ahead log: shared memory of several processes, through the union.
sqlite3 wal.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);'
insert wal.db 1 300 & a=$!
insert wal.db 1001 1300 & b=$!
insert wal.db 2001 2300 & c=$!
wait $a; wait $b; wait $c
sqlite3 wal.db 'SELECT count(*), sum(id), sum(length(x)) FROM t; PRAGMA integrity_check; PRAGMA wal_checkpoint(TRUNCATE);'
# Memory-mapped reads and a rollback journal, over growth and shrinkage.
sqlite3 map.db 'PRAGMA mmap_size=268435456; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO t SELECT i, hex(zeroblob(40)) FROM n;
  SELECT count(*), sum(length(x)) FROM t; DELETE FROM t WHERE id % 3 = 0; VACUUM; SELECT count(*) FROM t; PRAGMA integrity_check;'
sqlite3 map.db 'PRAGMA mmap_size=268435456; BEGIN; UPDATE t SET x = id; ROLLBACK; SELECT sum(length(x)) FROM t;'
sqlite3 wal.db .dump | sort | sha256sum
sqlite3 map.db .dump | sha256sum
""", unstable={"var/lib/sqlite/wal.db": "pages in the order in which three writers got the lock"})

PYTHON = Program("python", r"""
cd /root
python3 -m venv /opt/venv
/opt/venv/bin/pip --disable-pip-version-check --no-cache-dir list
# A wheel of our own, built with nothing but zip, installed, upgraded and removed.
make_wheel() { python3 - "$1" <<'END'
import sys, zipfile
version = sys.argv[1]
with zipfile.ZipFile(f"sample-{version}-py3-none-any.whl", "w") as wheel:
    for n in range(200):
        wheel.writestr(f"sample/part{n}.py", f"VALUE = {n}\n")
    wheel.writestr("sample/__init__.py", f"VERSION = {version!r}\n")
    wheel.writestr("sample/data/table.bin", bytes(range(256)) * 64)
    info = f"sample-{version}.dist-info/"
    wheel.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: sample\nVersion: {version}\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\nsample = sample.part7:print\n")
    wheel.writestr(info + "RECORD", "")
END
}
make_wheel 1.0; make_wheel 2.0
pip="/opt/venv/bin/pip --disable-pip-version-check --no-cache-dir -q"
$pip install --no-index ./sample-1.0-py3-none-any.whl
/opt/venv/bin/python -c 'import sample, sample.part199 as p; print(sample.VERSION, p.VALUE)'
$pip install --no-index --upgrade ./sample-2.0-py3-none-any.whl
/opt/venv/bin/python -c 'import sample; print(sample.VERSION)'
$pip uninstall -y pip && ls /opt/venv/bin
python3 -m compileall -q -f -j 2 /usr/lib/python3.11 || echo "compileall: some files do not compile"
python3 -c 'import json, sqlite3, ssl, xml.dom.minidom; print(json.dumps([1, 2]))'
cp -r /usr/lib/python3.11/json /root/json-copy && rm -rf /usr/lib/python3.11/json && ! python3 -c 'import json' 2>/dev/null
mv /root/json-copy /usr/lib/python3.11/json && python3 -c 'import json; print(json.loads("[3]"))'
""", unstable={
    "*.pyc": "holds the time of its source",
    "root/sample-*.whl": "a zip file holds times",
    "*/RECORD": "order of installed byte code",
    "*/direct_url.json": "holds the hash of the wheel",
})

ROUND_TRIPS = Program("roundtrips", r"""
mkdir -p /srv/tree && cd /srv/tree
cp -a /usr/share/perl lower-perl
cp -a /usr/share/zoneinfo lower-zoneinfo
truncate -s 8M sparse && printf data | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
ln lower-perl/5.36.0/strict.pm hard-link
ln -s ../nowhere dangling
mkfifo pipe
mkdir sticky && chmod 1777 sticky && chown 33:44 sticky
printf 'x' >suid && chown 12:34 suid && chmod 6755 suid
setfacl -m u:33:rwx,g:44:r-x sparse && setfacl -d -m u:33:rx sticky
setfattr -n user.note -v 'kept over copies' sparse
setfattr -n user.note -v 'directory' sticky
printf 'name with newline' >"$(printf 'line\nbreak')"
printf 'bytes' >"$(printf '\377\376')"
long=$(printf '%0255d' 7) && printf long >"$long"
touch -d '1970-01-02 03:04:05.123456789' old && touch -h -d '2001-02-03 04:05:06' dangling
cd /srv
tar --xattrs --acls --sort=name --numeric-owner -cf tree.tar tree
mkdir untarred && tar --xattrs --acls --numeric-owner -xpf tree.tar -C untarred
tar --xattrs --acls -df tree.tar -C untarred
rsync -aHAX --numeric-ids tree/ synced/
rsync -aHAX --numeric-ids --delete -n --itemize-changes --checksum tree/ synced/
echo changed >>tree/lower-perl/5.36.0/strict.pm && rm -r tree/lower-zoneinfo/Africa && chmod 600 tree/suid
rsync -aHAX --numeric-ids --delete tree/ synced/
rsync -aHAX --numeric-ids --delete -n --itemize-changes --checksum tree/ synced/
rsync -aHAX --inplace --numeric-ids /usr/share/doc/ synced-doc/
# Over the lower tree itself: in place, by rename, and back.
rsync -a --checksum --inplace tree/lower-perl/ /usr/share/perl/
tar -C / -cf - usr/share/zoneinfo | tar -C /srv/untarred -xpf -
mv /usr/share/zoneinfo /usr/share/zoneinfo.moved && cp -a /srv/untarred/usr/share/zoneinfo /usr/share/zoneinfo
diff -r --no-dereference /usr/share/zoneinfo /usr/share/zoneinfo.moved && rm -r /usr/share/zoneinfo.moved
find tree untarred synced -printf '%P %y %m %U %G %s %l\n' | LC_ALL=C sort | grep -v ' d ' | sha256sum
""", unstable={"srv/tree.tar": "holds the times of what was made in this run"})

POSTGRES = Program("postgres", r"""
bin=/usr/lib/postgresql/15/bin data=/srv/postgres
mkdir -p $data /run/pg && chown postgres: $data /run/pg
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp PGHOST=/run/pg LC_ALL=C "$@"; }
as $bin/initdb -D $data -A trust --no-locale -E UTF8 >/dev/null
# Autovacuum would make files when it comes by.
start() { as $bin/pg_ctl -D $data -w -t 60 -l $data/server.log -o "-c autovacuum=off -c listen_addresses='' -c unix_socket_directories=/run/pg" start >/dev/null; }
start
as $bin/pgbench -q -i -s 2 postgres 2>/dev/null
as $bin/pgbench -n -c 4 -j 2 -t 150 postgres >/dev/null 2>&1
as $bin/psql -qAt postgres -c "SELECT count(*) FROM pgbench_history" -c "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)"
as $bin/psql -qAt postgres -c "CREATE TABLE words AS SELECT i, md5(i::text) AS w FROM generate_series(1, 50000) i" -c "CREATE INDEX ON words(w)" \
  -c "DELETE FROM words WHERE i % 5 = 0" -c "VACUUM FULL words" -c "SELECT count(*), md5(string_agg(w, ',' ORDER BY i)) FROM words"
# A server that is killed recovers from its log.
kill -9 "$(head -1 $data/postmaster.pid)"; sleep 1
while grep -qs postgres /proc/[0-9]*/comm; do sleep 0.2; done
start
as $bin/psql -qAt postgres -c "SELECT count(*) FROM pgbench_history" -c "SELECT count(*), md5(string_agg(w, ',' ORDER BY i)) FROM words" -c "CHECKPOINT"
as $bin/pg_dump -t words postgres | grep -v -e '^--' -e 'restrict ' | sha256sum  # lines with a random token
as $bin/pg_ctl -D $data -w -m fast stop >/dev/null
as $bin/pg_controldata $data | grep 'cluster state'
""", unstable={
    "srv/postgres/base/5/*": "rows in the order in which four clients came",
    "srv/postgres/global/*": "pages hold positions in the log and the identifier of the cluster",
    "srv/postgres/pg_*/*": "as many transactions as were under way",
    "srv/postgres/server.log": "times",
}, scrambled={
    "srv/postgres/base/[14]/*": "pages hold positions in the log",
}, absent={
    "srv/postgres/pg_wal/*": "named by position",
}, needs=("apt",))

REDIS = Program("redis", r"""
mkdir -p /srv/redis && cd /srv/redis
redis-server --port 0 --unixsocket /srv/redis/sock --dir /srv/redis --appendonly yes --appendfsync always --save 60 1 \
  --daemonize yes --logfile /srv/redis/log --pidfile /srv/redis/pid >/dev/null
cli() { redis-cli -s /srv/redis/sock "$@"; }
wait_up() { n=0; until cli ping 2>/dev/null | grep -q PONG; do n=$((n + 1)); [ $n -lt 100 ] || { cat log; exit 1; }; sleep 0.1; done; }
wait_up
i=0; while [ $i -lt 1000 ]; do echo "SET key:$i value-$i"; echo "LPUSH list $i"; i=$((i + 1)); done | cli | sort | uniq -c | sort -n | tail -1
cli save; cli bgrewriteaof >/dev/null
while cli info persistence | grep -q 'aof_rewrite_in_progress:1'; do sleep 0.1; done
cli set last one >/dev/null
kill -9 "$(cat pid)"; sleep 0.3
redis-server --port 0 --unixsocket /srv/redis/sock --dir /srv/redis --appendonly yes --daemonize yes --logfile /srv/redis/log --pidfile /srv/redis/pid >/dev/null
wait_up
cli dbsize; cli llen list; cli get key:999; cli get last
cli shutdown nosave || true
""", unstable={
    "srv/redis/*.rdb": "holds times and memory used",
    "srv/redis/log": "times",
}, needs=("apt",))

ALL = [COMPILE, GIT, SQLITE, PYTHON, ROUND_TRIPS, APT, POSTGRES, REDIS]
