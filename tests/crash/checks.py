"""What tests of full and failing disks say about a union."""
import errno
import time

from union import difference, snapshot


class Checks:
    """Counts what is not as it should be, and says it."""

    def __init__(self, fs):
        self.fs = fs
        self.failures = 0

    def expect(self, condition, message):
        if not condition:
            self.failures += 1
            print(f"FAILED: {message}", flush=True)

    def expect_code(self, what, operation, *codes):
        code = self.fs.run(operation)
        names = [errno.errorcode.get(one, one) for one in (code, *codes)]
        self.expect(code in codes, f"{what}: {names[0]}, expected {names[1:]}")

    def expect_soon(self, what, operation):
        """Room comes when the kernel has told that it forgot what was deleted."""
        end = time.monotonic() + 10
        while (code := self.fs.run(operation)) and time.monotonic() < end:
            time.sleep(0.05)
        self.expect(code == 0, f"{what}: {errno.errorcode.get(code, code)}")

    def refused(self, what, operation, code):
        """Fails with `code`, and changes nothing."""
        before = snapshot(self.fs.mnt)
        self.expect_code(what, operation, code)
        changes = difference(before, snapshot(self.fs.mnt))
        self.expect(not changes, f"{what} changed\n{changes}")
