"""A disk with a real quota, which binds root as well: one of btrfs on a subvolume,
which needs no quota format of the kernel's."""
import os
import subprocess

MEGABYTE = 1 << 20
LIMIT = 8 * MEGABYTE
FIRST_SUBVOLUME = "0/256"


class Disk:
    """A btrfs in a file, with a subvolume that has a quota."""

    def __init__(self, directory):
        self.image, self.mount = directory + "/image", directory + "/disk"
        self.home = self.mount + "/home"

    def make(self):
        """False where this machine has no such thing."""
        os.mkdir(self.mount)
        with open(self.image, "wb") as file:
            file.truncate(512 * MEGABYTE)
        return (command("mkfs.btrfs", "-q", self.image)
                and command("mount", "-o", "loop", self.image, self.mount)
                and command("btrfs", "quota", "enable", self.mount)
                and command("btrfs", "subvolume", "create", self.home)
                and self.limit(LIMIT))

    def limit(self, size):
        # By number: through the subvolume it would need room itself.
        return command("btrfs", "qgroup", "limit", str(size), FIRST_SUBVOLUME,
                       self.mount)

    def used(self):
        os.sync()
        shown = subprocess.run(["btrfs", "qgroup", "show", "--raw", "-f", self.home],
                               check=True, capture_output=True, text=True).stdout
        [line] = [line for line in shown.splitlines() if line.startswith("0/")]
        return int(line.split()[1])

    def remove(self):
        if os.path.ismount(self.mount):
            subprocess.run(["umount", self.mount], check=True)
        os.remove(self.image)
        os.rmdir(self.mount)


def command(*argv):
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        print(f"{argv[0]}: not installed")
        return False
    if done.returncode != 0:
        print(f"{' '.join(argv)}: {done.stderr}")
    return done.returncode == 0
