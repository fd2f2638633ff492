"""Labels of SELinux with a policy that is enforced: of the union, of the runtime's mounts and
processes, and of `ufs run`.

The policy is a small one of our own, so that what is tested is not the policy: what a container
may do, and that what is not allowed does not happen."""
import base64
import os
import pathlib
import re
import shutil
import tempfile

import machine

# Those of the kernel, in its order.
INITIAL = """kernel security unlabeled fs file file_labels init any_socket port netif netmsg node
    igmp_packet icmp_socket tcp_socket sysctl_modprobe sysctl sysctl_fs sysctl_kernel sysctl_net
    sysctl_net_unix sysctl_vm sysctl_dev kmod policy scmp_packet devnull""".split()
# Of the disk; other file systems that are not named below are plain_t.
HOST_FILES = ("fs", "file")
CATEGORIES = [f"c{number}" for number in range(1024)]

# Classes and permissions that are not named here are allowed to everybody.
RULES = """
(handleunknown allow)
(mls true)
(policycap nnp_nosuid_transition)
(class process (transition dyntransition))
(class file (read write append execute entrypoint relabelto))
(class dir (read search write relabelto))
; Without these the kernel would not label such files.
(class lnk_file (relabelto))
(class chr_file (relabelto))
(class blk_file (relabelto))
(class sock_file (relabelto))
(class fifo_file (relabelto))
(classorder (process file dir lnk_file chr_file blk_file sock_file fifo_file))
(sensitivity s0)
(sensitivityorder (s0))
(sensitivitycategory s0 (range c0 c1023))
(level low (s0))
(level high (s0 (range c0 c1023)))
(levelrange all (low high))
(role object_r)
(role system_r)
(role other_r)
(roleallow system_r other_r)

; The machine's, may all; a container's; one that may use files of any type.
(type kernel_t)
(type container_t)
(type wide_t)
; Files: on the disk, of FUSE, of containers, of some of them; the rest.
(type host_file_t)
(type fusefs_t)
(type container_file_t)
(type other_file_t)
(type plain_t)
(typeattribute everything)
(typeattributeset everything (all))
(roletype object_r everything)
(roletype system_r everything)
(roletype other_r everything)

(allow kernel_t everything (process (all)))
(allow kernel_t everything (file (all)))
(allow kernel_t everything (dir (all)))
(allow kernel_t everything (lnk_file (all)))
(allow kernel_t everything (chr_file (all)))
(allow kernel_t everything (blk_file (all)))
(allow kernel_t everything (sock_file (all)))
(allow kernel_t everything (fifo_file (all)))
(allow wide_t everything (file (all)))
(allow wide_t everything (dir (all)))
(allow container_t self (file (read write append)))
(allow container_t self (dir (read search)))
(allow container_t plain_t (file (read write append)))
(allow container_t plain_t (dir (read search write)))
(allow container_t container_file_t (file (read write append execute entrypoint)))
(allow container_t container_file_t (dir (read search write)))
(mlsconstrain (file (read write append execute)) (or (dom h1 h2) (eq t1 kernel_t)))
(mlsconstrain (dir (read search write)) (or (dom h1 h2) (eq t1 kernel_t)))

(fsuse xattr ext4 HOST)
(fsuse xattr overlay HOST)
(fsuse trans tmpfs PLAIN)
(fsuse trans devtmpfs PLAIN)
(fsuse trans devpts PLAIN)
(fsuse trans mqueue PLAIN)
(fsuse task pipefs PLAIN)
(fsuse task sockfs PLAIN)
(genfscon fuse / (system_u object_r fusefs_t (low low)))
"""

SCRIPT = """
    mount -t selinuxfs selinuxfs /sys/fs/selinux
    mkdir -p /etc/selinux/small/contexts
    echo SELINUXTYPE=small >/etc/selinux/config
    cat >/etc/selinux/small/contexts/lxc_contexts <<END
# of the test
process = "system_u:system_r:container_t:s0"
file = "system_u:object_r:container_file_t:s0"
END
    base64 -d >/run/policy <<END
POLICY
END
    python3 -c 'import os; os.write(os.open("/sys/fs/selinux/load", os.O_RDWR), open("/run/policy", "rb").read())'
    echo 1 >/sys/fs/selinux/enforce
    [ "$(cat /sys/fs/selinux/enforce)" = 1 ] || exit 1
    export UFS=/usr/bin/ufs
    python3 -B /tests/container/selinux_test.py 2>&1
"""


def policy_text():
    def context(kind, role="object_r"):
        return f"(system_u {role} {kind} (low low))"
    lines = [f"(category {name})" for name in CATEGORIES] + [f"(categoryorder ({' '.join(CATEGORIES)}))"]
    lines += [f"(sid {name})" for name in INITIAL] + [f"(sidorder ({' '.join(INITIAL)}))"]
    for name in INITIAL:
        kind = context("host_file_t" if name in HOST_FILES else "plain_t")
        lines.append(f"(sidcontext {name} {context('kernel_t', 'system_r') if name == 'kernel' else kind})")
    for user in ("system_u", "other_u"):
        lines += [f"(user {user})", f"(userlevel {user} low)", f"(userrange {user} all)"]
        lines += [f"(userrole {user} {role})" for role in ("object_r", "system_r", "other_r")]
    rules = RULES.replace("HOST", context("host_file_t")).replace("PLAIN", context("plain_t"))
    return rules + "\n".join(lines) + "\n"


def compile_policy():
    if not shutil.which("secilc"):
        raise machine.Unavailable("needs secilc; run: apt-get install secilc")
    with tempfile.TemporaryDirectory(prefix="ufs-policy.") as folder:
        source, policy = (os.path.join(folder, name) for name in ("policy.cil", "policy"))
        pathlib.Path(source).write_text(policy_text())
        # A version that every kernel since 4.13 can read.
        machine.run("secilc", "-c", "31", "-o", policy, "-f", "/dev/null", source)
        return pathlib.Path(policy).read_bytes()


class Selinux(machine.MachineTest):
    def test_labels(self):
        try:
            policy = compile_policy()
        except machine.Unavailable as error:
            self.skipTest(str(error))
        text = base64.encodebytes(policy).decode().strip()
        code, said = self.machine.boot(SCRIPT.replace("POLICY", text), 900,
                                       parameters="security=selinux selinux=1")
        self.assertEqual(code, 0, said[-5000:])
        # None was left out.
        self.assertTrue(re.search(r"Ran [1-9]\d* tests.*\n+OK\s", said.replace("\r", "")), said[-3000:])


if __name__ == "__main__":
    machine.main()
