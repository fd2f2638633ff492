"""Containers in scopes of a real systemd, under pure cgroup v2: by root over the
system's bus, and by a user over the bus of his manager."""
import re

import machine

PACKAGES = ["busybox-static", "dbus", "dbus-user-session", "libpam-systemd", "systemd", "systemd-sysv", "uidmap"]

PREPARE = """
    set -e
    fail() { echo "broken: $*"; exit 1; }
    same() { [ "$2" = "$3" ] || fail "$1: \\"$2\\", not \\"$3\\""; }
    make_root() {
      mkdir -p $1/bin $1/proc $1/sys $1/dev $1/tmp $1/etc
      cp /bin/busybox $1/bin
      for applet in sh cat sleep echo; do ln -s busybox $1/bin/$applet; done
    }
"""

BY_ROOT = PREPARE + """
    cd /root; make_root bundle/rootfs
    ufs oci spec -b bundle
    sed -i 's/"terminal": true/"terminal": false/; s/"args": \\[/&"sleep", "1000"], "unused": [/' bundle/config.json
    sed -i 's/"linux": {/&"cgroupsPath": "ufs-test.slice:libpod:box", /' bundle/config.json
    oci="ufs-oci --systemd-cgroup"
    $oci create -b bundle box >/dev/null; $oci start box
    property() { systemctl show --value -p $1 libpod-box.scope; }
    same state "$(property ActiveState)" active
    same slice "$(property Slice)" ufs-test.slice
    same delegated "$(property Delegate)" yes
    group=/sys/fs/cgroup$(property ControlGroup)/container
    pid=$($oci ps --format json box | tr -d '[]')
    grep -x $pid $group/cgroup.procs >/dev/null || fail "not in $group"
    $oci update --memory 67108864 --pids-limit 30 --cpu-quota 50000 box
    same memory "$(property MemoryMax) $(cat $group/memory.max)" "67108864 67108864"
    same tasks "$(property TasksMax) $(cat $group/pids.max)" "30 30"
    same cpu "$(property CPUQuotaPerSecUSec) $(cat $group/cpu.max)" "500ms 50000 100000"
    # systemd leaves the container's alone when it sets its own again.
    systemctl daemon-reload
    same reloaded "$(cat $group/memory.max) $(cat $group/pids.max)" "67108864 30"
    $oci exec box cat /proc/self/cgroup | grep -x 0::/ >/dev/null || fail exec
    $oci pause box; same frozen "$(cat $group/cgroup.freeze)" 1; $oci resume box
    # Killed, not stopped: the unit must not stay as a failed one.
    $oci kill box KILL; sleep 1
    $oci delete --force box
    same gone "$(property LoadState)" not-found
    [ ! -e $group ] || fail "$group is left"
    echo "by root: done"
"""

BY_USER = PREPARE + """
    useradd --create-home --uid 1234 tester
    chmod 666 /dev/fuse
    systemctl start user@1234.service
    cd /home/tester
    make_root base; chown -R tester base
    cat >script <<'END'
fail() { echo "broken: $*"; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: \\"$2\\", not \\"$3\\""; }
export XDG_RUNTIME_DIR=/run/user/1234
set -e
run="ufs run -d --name box -m 64m --pids-limit 30 ./base -- sleep 1000"
$run >/dev/null
property() { systemctl --user show --value -p $1 ufs-box.scope; }
same state "$(property ActiveState)" active
group=/sys/fs/cgroup$(property ControlGroup)/container
same limits "$(cat $group/memory.max) $(cat $group/pids.max)" "67108864 30"
same exec "$(ufs exec box cat /proc/self/cgroup)" 0::/
same two "$(wc -l <$group/cgroup.procs)" 1
ufs pause box; same frozen "$(cat $group/cgroup.freeze)" 1; ufs unpause box
ufs rm --force box
same gone "$(property LoadState)" not-found
[ ! -e $group ] || fail "$group is left"
# A second one is not in the way of the first.
$run >/dev/null; ufs rm --force box
echo "by a user: done"
END
    setpriv --reuid tester --regid tester --init-groups env HOME=/home/tester sh script
"""


class RealSystemd(machine.MachineTest):
    def root(self):
        return machine.debian_root.ensure_booting(PACKAGES)

    def test_scopes(self):
        said = self.run_script(BY_ROOT + BY_USER, 1800)
        for line in ("by root: done", "by a user: done"):
            self.assertRegex(said, re.escape(line))


if __name__ == "__main__":
    machine.main()
