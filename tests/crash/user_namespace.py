"""An ordinary user's namespace in which a test goes on as root."""
import ctypes
import os
import subprocess
import sys
import traceback

USER, RANGE, COUNT = 20000, 200000, 65535  # of nobody on this machine
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, SIGKILL = 1, 36, 9

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def run_inside(one_id, directory, body):
    """The exit code of body(), run by a child in a user namespace with its own
    mounts, with one id or with a range of them. `directory` becomes the user's."""
    os.chown(directory, USER, USER)
    made, tell_made = os.pipe()
    mapped, tell_mapped = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(made)
            os.close(tell_mapped)
            enter(tell_made, mapped)
            code = body()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(tell_made)
    os.close(mapped)
    if os.read(made, 1):
        if one_id:
            write(f"/proc/{pid}/setgroups", "deny")
        lines = f"0 {USER} 1\n" + ("" if one_id else f"1 {RANGE} {COUNT}\n")
        for kind in ("gid", "uid"):
            write(f"/proc/{pid}/{kind}_map", lines)
    os.write(tell_mapped, b"1")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def enter(made, mapped):
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    os.write(made, b"1")
    os.read(mapped, 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    call("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)  # changing ids forgot it
    # A daemon whose parent has gone becomes a child of this process.
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Where a root keeps what says which unions are mounted.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
