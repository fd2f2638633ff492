"""A store under a real quota: whatever step of an import finds no room, the caller
hears that it is the quota, and what gives room; nothing is left of the import, and
it works once there is room.

    store_quota_test.py
"""
import os
import shutil
import subprocess
import sys
import tempfile

from quota_disk import LIMIT, Disk

SKIPPED = 77
UFS = os.path.realpath(os.environ.get("UFS", "build/tools/ufs"))
STEP = 16 << 10  # by which the room grows
FILES = 40


def ufs(*words):
    return subprocess.run([UFS, *words], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)


def check(condition, what):
    if not condition:
        sys.exit("failed: " + what)


def imports(directory, disk):
    """One layer after the other, so that the catalog's log fills as well."""
    store = disk.home + "/store"
    check(ufs("layer", "import", "--store", store, directory + "/layer").returncode == 0,
          "the first import")
    refused = 0
    for number in range(4):
        path = f"{directory}/layer/changed{number}"
        with open(path, "wb") as file:
            file.write(os.urandom(5000))
        # The same contents but one: most of the room goes to what lists them.
        for step in range(LIMIT // STEP):
            disk.limit(disk.used() + (step + number) * STEP // 4)
            done = ufs("layer", "import", "--store", store, directory + "/layer")
            if done.returncode == 0:
                break
            refused += 1
            check("Disk quota exceeded; " in done.stderr, done.stderr)
            check("'ufs layer rm' and 'ufs store gc'" in done.stderr, done.stderr)
            disk.limit(LIMIT * 8)
            report = ufs("store", "check", "--store", store)
            check(report.returncode == 0, report.stdout + report.stderr)
            check(os.listdir(store + "/ingest") == [], "the import left something")
        else:
            check(False, "it never found room")
    check(refused > 0, "each found room")
    print(f"{refused} imports refused")


def main():
    directory = tempfile.mkdtemp(prefix="ufs-quota.", dir="/var/tmp")
    disk = Disk(directory)
    try:
        if not disk.make():
            print("skipped: no quotas of btrfs here")
            return SKIPPED
        os.mkdir(directory + "/layer")
        for number in range(FILES):
            with open(f"{directory}/layer/{number}", "wb") as file:
                file.write(os.urandom(3000))
        imports(directory, disk)
        return 0
    finally:
        disk.remove()
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
