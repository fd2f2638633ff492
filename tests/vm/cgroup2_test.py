"""Containers under pure cgroup v2, AppArmor and an older kernel: those of tests/container
that need neither v1, an account nor a peer, in a virtual machine."""
import re

import machine

# limits_test is of v1; the rootless cases need an account.
FILES = ["limits2", "lifecycle", "inside", "attack", "idmap", "lsm"]
SCRIPT = """
    export UFS=/usr/bin/ufs
    [ "$(cat /proc/self/cgroup)" = 0::/ ] || exit 1
    for file in FILES; do
      echo "== file $file"
      python3 -B /tests/container/${file}_test.py 2>&1
      echo "== code $?"
    done
"""


class Containers(machine.MachineTest):
    def test_under_pure_cgroup_v2(self):
        said = self.run_script(SCRIPT.replace("FILES", " ".join(FILES)), seconds=3000)
        parts = {name: (text, int(code)) for name, text, code in
                 re.findall(r"== file (\w+)\n(.*?)== code (\d+)", said, re.S)}
        self.assertEqual(sorted(parts), sorted(FILES))
        for name, (text, code) in parts.items():
            self.assertEqual(code, 0, f"{name}:\n{text[-3000:]}")
            self.assertRegex(text, r"Ran [1-9]\d* tests")
        # Debian's kernel has AppArmor: nothing but its absence was left out.
        self.assertRegex(parts["lsm"][0], r"skipped=3\)")

    def test_selinux_without_a_policy(self):
        script = "mount -t selinuxfs selinuxfs /sys/fs/selinux\n" + SCRIPT.replace("FILES", "lsm")
        code, said = self.machine.boot(script, 900, parameters="security=selinux selinux=1")
        self.assertEqual(code, 0, said[-3000:])
        # Of AppArmor all but its absence, of SELinux its own.
        self.assertRegex(said, r"OK \(skipped=5\)", said[-3000:])


if __name__ == "__main__":
    machine.main()
