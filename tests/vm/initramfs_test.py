"""A container on a host whose root is its initramfs, which pivot_root cannot leave."""
import machine

SCRIPT = """
    mkdir -p /box/rootfs/bin /box/rootfs/dev /box/rootfs/proc /box/rootfs/sys
    cp /bin/busybox /box/rootfs/bin; cp /bin/busybox /box/rootfs/bin/sh; cp /bin/busybox /box/rootfs/bin/ls
    cd /box
    ufs oci spec
    sed -i -e 's/"terminal": true/"terminal": false/' \\
        -e 's,"sh"$,"sh"\\, "-c"\\, "echo ran; ls /; sleep 1000",' config.json
    ufs oci --root /state create box; echo "pivot: $?"
    ufs oci --root /state create --no-pivot box </dev/null >/output 2>&1; echo "no pivot: $?"
    ufs oci --root /state start box; sleep 3; cat /output
    ufs oci --root /state exec box ls -1 /proc/1/comm /; echo "exec: $?"
    ufs oci --root /state delete --force box
    [ -d /root/usr ] && [ -r /proc/mounts ]
"""


class Initramfs(machine.MachineTest):
    def test_no_pivot(self):
        code, said = self.machine.boot(SCRIPT, 900, parameters="stay")
        self.assertEqual(code, 0, said[-3000:])
        said = said.replace("\r", "")
        self.assertRegex(said, "give ufs-oci --no-pivot\npivot: 1\nno pivot: 0\n")
        self.assertIn("ran\nbin\ndev\nproc\nsys\n", said)
        self.assertIn("/proc/1/comm\n\n/:\nbin\ndev\nproc\nsys\nexec: 0\n", said)


if __name__ == "__main__":
    machine.main()
