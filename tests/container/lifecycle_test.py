"""A container's life: create, start, state, kill, delete, run, exec and the rest
of the command line."""
import array
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import unittest

import bundle
from bundle import run, wait_until


class RunTest(bundle.ContainerTest):
    def test_output_and_exit_code(self):
        self.assertEqual(self.run_box("echo hello"), "hello\n")
        self.script("exit 42")
        self.assertEqual(self.oci("run", "-b", self.bundle, "ufs-box").returncode, 42)

    def test_input_is_passed_on(self):
        self.script("cat")
        done = subprocess.run(self.command("run", "-b", self.bundle, "ufs-box"), input=b"through",
                              stdout=subprocess.PIPE, timeout=30)
        self.assertEqual(done.stdout, b"through")

    def test_environment(self):
        """The last of a name counts; an empty HOME is as good as none."""
        self.configure(**{"process.env": ["A=1", "HOME=", "B=2", "PATH=/nowhere", "A=3",
                                          "PATH=/bin"], "process.args": ["env"]})
        self.assertEqual(self.oci("run", "-b", self.bundle, "ufs-box").stdout,
                         "B=2\nA=3\nPATH=/bin\nHOME=/\n")

    def test_what_cannot_be_executed(self):
        for args, message in ((["nothing"], "executable file not found in"),
                              (["/nothing"], "[Nn]o such file or directory"),
                              (["/etc"], "[Pp]ermission denied")):
            self.configure(**{"process.args": args})
            self.run_refused(message)

    def test_failure_is_told_as_one_json_object(self):
        self.configure(**{"process.args": ["nothing"]})
        log = self.dir + "/log"
        done = run(*self.command("--log", log, "--log-format", "json", "run", "-b", self.bundle,
                                 "ufs-box"))
        self.assertEqual(done.returncode, 1)
        with open(log) as file:
            told = json.loads(file.read())
        self.assertEqual(told["level"], "error")
        self.assertIn("executable file not found in", told["msg"])
        self.assertRegex(told["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")

    def test_signals_are_passed_on(self):
        self.script("trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
        box = subprocess.Popen(self.command("run", "-b", self.bundle, "ufs-box"),
                               stdout=subprocess.PIPE, text=True)
        self.assertEqual(box.stdout.readline(), "ready\n")
        box.send_signal(signal.SIGTERM)
        self.assertEqual(box.communicate(timeout=30)[0], "got\n")
        self.assertEqual(box.returncode, 7)

    def test_preserve_fds(self):
        read, write = os.pipe()
        high = fcntl.fcntl(read, fcntl.F_DUPFD, 50)  # out of the way of 3
        os.close(read)
        self.script("echo mine >&3; ls /proc/self/fd | wc -l")
        command = " ".join(self.command("run", "-b", self.bundle, "--preserve-fds", "1",
                                        "ufs-box"))
        done = subprocess.run(["sh", "-c", f"exec {command} 3>&{write}"], pass_fds=[write],
                              stdout=subprocess.PIPE, timeout=30)
        os.close(write)
        self.assertEqual(os.read(high, 100), b"mine\n")
        os.close(high)
        self.assertEqual(done.stdout, b"5\n")  # 0 to 3, and the directory itself


    def test_descriptors_to_preserve_must_be_there(self):
        self.refused("descriptor 3, which is to be preserved, is not open", "run", "-b", self.bundle,
                     "--preserve-fds", "2", "ufs-box")
        self.start_box()
        self.refused("descriptor 3, which is to be preserved, is not open",
                     "exec", "--preserve-fds", "1", "ufs-box", "touch", "/ran")
        self.assertFalse(os.path.exists(self.bundle + "/rootfs/ran"))

    def test_config_must_be_a_file(self):
        os.unlink(self.bundle + "/config.json")
        os.mkfifo(self.bundle + "/config.json")
        self.run_refused("config.json: is no regular file")

    def test_limits_are_named(self):
        self.configure(**{"process.rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1 << 62,
                                               "hard": 1 << 62}]})
        self.run_refused("process.rlimits: RLIMIT_NOFILE cannot be set to 4611686018427387904")


class NotifyTest(bundle.ContainerTest):
    """sd_notify(3) and sd_listen_fds(3): what a service manager gives us is passed on."""

    # busybox cannot send a datagram.
    SAY = ("import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
           "s.connect(os.environ['NOTIFY_SOCKET']);"
           "[s.send(m) for m in (b'STATUS=soon', b'STATUS=now\\nREADY=1')]")

    def setUp(self):
        super().setUp()
        for path in ("/usr", "/lib", "/lib64"):
            self.add_mount(path, "bind", path, "bind", "ro")
        self.configure(**{"root.readonly": False})
        self.path = self.dir + "/manager"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.path)
        self.manager.settimeout(30)
        self.say = f'/usr/bin/python3 -c "{self.SAY}"; '

    def told(self):
        """Everything up to the barrier, which is then lifted."""
        lines = []
        while True:
            data, control, _, _ = self.manager.recvmsg(4096, socket.CMSG_SPACE(4))
            if control:
                self.assertEqual(data, b"BARRIER=1")
                os.close(array.array("i", control[0][2][:4])[0])
                return lines
            lines.append(data.decode())

    def popen(self, *words, path=None, **options):
        environment = {**os.environ, "NOTIFY_SOCKET": path or self.path}
        return subprocess.Popen(self.command(*words), env=environment, **options)

    def create(self, script):
        self.script(script)
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        with open(self.dir + "/output", "w") as output:
            create = self.popen("create", "-b", self.bundle, "ufs-box",
                                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.assertEqual(create.wait(timeout=30), 0, self.output())
        return self.status()["pid"]

    def test_start_returns_when_it_is_ready(self):
        pid = self.create("while [ ! -e /tmp/go ]; do sleep 0.02; done; " + self.say +
                          "sleep 1000")
        self.assertEqual(sorted(os.listdir(self.state + "/ufs-box")),
                         ["config.json", "notify", "start", "state.json"])
        start = self.popen("start", "ufs-box")
        self.assertTrue(wait_until(lambda: self.status()["status"] == "running"))
        self.assertIsNone(start.poll())
        self.ok("exec", "ufs-box", "touch", "/tmp/go")
        self.assertEqual(self.told(), ["READY=1\n", f"MAINPID={pid}\n"])
        self.assertEqual(start.wait(timeout=30), 0)
        # What is executed later is no service of the manager's.
        self.assertNotIn("NOTIFY", self.ok("exec", "ufs-box", "env"))

    def test_one_that_ends_without_a_word(self):
        self.create("exit 3")
        self.assertEqual(self.popen("start", "ufs-box").wait(timeout=30), 0)

    def test_run(self):
        self.script(self.say + "exit 7")
        box = self.popen("run", "-b", self.bundle, "ufs-box")
        self.assertEqual(self.told(), ["READY=1\n", f"MAINPID={box.pid}\n"])
        self.assertEqual(box.wait(timeout=30), 7)

    def test_abstract_name(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("\0" + self.path)
            manager.settimeout(30)
            self.manager.close()
            self.manager = manager
            self.script(self.say)
            box = self.popen("run", "-b", self.bundle, "ufs-box", path="@" + self.path)
            self.assertEqual(self.told()[0], "READY=1\n")
            self.assertEqual(box.wait(timeout=30), 0)

    def test_only_if_somebody_waits(self):
        self.assertNotIn("NOTIFY_SOCKET", self.run_box("env"))

    def test_listening_sockets(self):
        """Before the descriptors that are preserved, as runc has them."""
        read, write = os.pipe()
        self.script("env | grep LISTEN | sort; echo third >&3; echo fourth >&4;"
                    "ls /proc/self/fd | wc -l")
        command = " ".join(self.command("run", "-b", self.bundle, "--preserve-fds", "1",
                                        "ufs-box"))
        environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        done = subprocess.run(["sh", "-c", f"LISTEN_PID=$$ exec {command} 3>&{write} 4>&{write}"],
                              pass_fds=[write], stdout=subprocess.PIPE, env=environment,
                              timeout=30)
        os.close(write)
        with os.fdopen(read) as file:
            self.assertEqual(file.read(), "third\nfourth\n")
        self.assertEqual(done.stdout.decode(),
                         "LISTEN_FDNAMES=web\nLISTEN_FDS=1\nLISTEN_PID=1\n6\n")

    def test_sockets_of_another_process(self):
        self.assertNotIn("LISTEN", self.run_box("env", env={
            **os.environ, "LISTEN_FDS": "1", "LISTEN_PID": "1"}))


class LifeTest(bundle.ContainerTest):
    def test_states(self):
        self.script("sleep 1000")
        pid_file = self.dir + "/pid"
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("create", "-b", self.bundle, "--pid-file", pid_file, "ufs-box")
        state = self.status()
        self.assertEqual(state["status"], "created")
        self.assertEqual(state["id"], "ufs-box")
        self.assertEqual(state["bundle"], self.bundle)
        self.assertEqual(state["ociVersion"], "1.2.0")
        with open(pid_file) as file:
            self.assertEqual(int(file.read()), state["pid"])
        self.refused("already exists", "create", "-b", self.bundle, "ufs-box")
        self.refused("not stopped", "delete", "ufs-box")
        self.ok("start", "ufs-box")
        self.assertEqual(self.status()["status"], "running")
        self.refused("already running", "start", "ufs-box")
        self.ok("pause", "ufs-box")
        self.assertEqual(self.status()["status"], "paused")
        self.refused("paused", "exec", "ufs-box", "true")
        self.ok("resume", "ufs-box")
        self.refused("not paused", "resume", "ufs-box")
        self.ok("kill", "ufs-box", "KILL")
        self.assertTrue(wait_until(lambda: self.status()["status"] == "stopped"))
        self.assertEqual(self.status()["pid"], 0)
        self.refused("container not running", "kill", "ufs-box", "KILL")
        self.refused("container not running", "exec", "ufs-box", "true")
        self.refused("has stopped", "start", "ufs-box")
        self.ok("delete", "ufs-box")
        self.refused("does not exist", "state", "ufs-box")

    def test_what_does_not_exist(self):
        for verb in ("state", "start", "kill", "delete", "pause", "ps"):
            self.refused("container does not exist", verb, "ufs-none")
        self.ok("delete", "--force", "ufs-none")
        self.assertEqual(self.ok("list", "--format", "json"), "null\n")

    def test_delete_kills_what_is_frozen(self):
        self.start_box()
        self.ok("pause", "ufs-box")
        self.ok("delete", "--force", "ufs-box")

    def test_kill_without_a_pid_namespace(self):
        """Nothing but a signal of its own ends what init has started."""
        self.configure(**{"linux.namespaces": lambda old: [
            ns for ns in old if ns["type"] != "pid"]})
        for init_first in (False, True):
            pid = self.start_box("sleep 1000 & sleep 1000 & wait")
            self.assertTrue(wait_until(lambda: len(self.pids()) == 3))
            pids = self.pids()
            if init_first:
                os.kill(pid, signal.SIGKILL)
                self.assertTrue(wait_until(lambda: self.status()["status"] == "stopped"))
            self.ok("kill", "ufs-box", "KILL")
            self.assertTrue(wait_until(lambda: not any(
                os.path.exists(f"/proc/{one}") for one in pids)))
            self.ok("delete", "ufs-box")

    def pids(self):
        return json.loads(self.ok("ps", "--format", "json", "ufs-box"))

    def test_created_can_be_deleted(self):
        self.detached("create", "-b", self.bundle, "ufs-box")
        self.ok("delete", "--force", "ufs-box")

    def test_delete_waits_for_the_creation(self):
        self.configure(hooks={"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "2"]}]})
        self.script("sleep 1000")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        create = subprocess.Popen(self.command("create", "-b", self.bundle, "ufs-box"),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(create.wait, 30)
        self.assertTrue(wait_until(lambda: os.path.exists(self.state + "/ufs-box/state.json")))
        self.assertEqual(self.status()["status"], "creating")
        self.refused("not stopped: created", "delete", "ufs-box")
        self.assertEqual(create.wait(timeout=30), 0)
        self.ok("start", "ufs-box")

    def test_delete_spares_another_of_the_same_name(self):
        """One that has taken the name while the delete waited for the lock."""
        self.start_box()
        place = self.state + "/ufs-box"
        lock = os.open(place, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Each waits with what it has read of the first.
        delete = [subprocess.Popen(self.command("delete", *force, "ufs-box"),
                                   stderr=subprocess.PIPE, text=True)
                  for force in ([], ["--force"])]
        self.assertTrue(wait_until(lambda: self.waiting_for_a_lock() >= 2))
        with open(place + "/state.json") as file:
            state = json.load(file)
        with open(place + "/state.json", "w") as file:
            json.dump({**state, "created": "2026-01-02T03:04:05.000000001Z"}, file)
        os.close(lock)
        told = [one.communicate(timeout=30)[1] for one in delete]
        self.assertIn("does not exist", told[0])
        self.assertEqual([one.returncode for one in delete], [1, 0])
        self.assertEqual(self.status()["status"], "running")

    def waiting_for_a_lock(self):
        with open("/proc/locks") as file:
            return file.read().count("-> FLOCK")

    def test_one_that_was_not_started_can_be_paused(self):
        self.script("sleep 1000")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("create", "-b", self.bundle, "ufs-box")
        self.ok("pause", "ufs-box")
        self.assertEqual(self.status()["status"], "paused")
        self.refused("paused", "start", "ufs-box")
        self.refused("paused", "exec", "ufs-box", "true")
        self.ok("resume", "ufs-box")
        self.assertEqual(self.status()["status"], "created")
        self.ok("start", "ufs-box")

    def test_umask_is_not_the_callers(self):
        self.configure(**{"root.readonly": False})
        self.script("umask; rm -f /tmp/file; touch /tmp/file; stat -c %a /tmp/file")
        run_box = self.command("run", "-b", self.bundle, "ufs-box")
        done = run("sh", "-c", 'umask 077; exec "$@"', "sh", *run_box)
        self.assertEqual(done.stdout, "0022\n644\n", done.stderr)
        self.configure(**{"process.user.umask": 0o27})
        self.assertEqual(self.oci("run", "-b", self.bundle, "ufs-box").stdout, "0027\n640\n")

    def test_lists(self):
        pid = self.start_box()
        self.assertEqual(self.ok("list", "-q"), "ufs-box\n")
        [entry] = json.loads(self.ok("list", "--format=json"))
        self.assertEqual((entry["id"], entry["pid"], entry["status"]),
                         ("ufs-box", pid, "running"))
        self.assertEqual(json.loads(self.ok("ps", "--format", "json", "ufs-box")), [pid])
        self.assertIn("sleep 1000", self.ok("ps", "ufs-box"))

    def test_hooks(self):
        def hook(name, code=0):
            return [{"path": "/bin/sh", "env": ["ONLY=this"],
                     "args": ["sh", "-c", f"read -r line; (echo {name} $(tr -d '\\n ' | "
                              f"grep -o '\"status\":\"[a-z]*\"') $(env | grep -c =)) "
                              f">>{self.dir}/hooks; exit {code}"]}]
        inside = [{"path": "/bin/sh", "args": ["sh", "-c", "(echo start; cat) >>/hooks"]}]
        self.configure(**{"root.readonly": False, "hooks": {
            "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
            "createContainer": hook("createContainer"), "startContainer": inside,
            "poststart": hook("poststart"), "poststop": hook("poststop")}})
        self.run_box("cat /hooks")
        with open(self.dir + "/hooks") as file:
            lines = file.read().split("\n")
        self.assertEqual([line.split()[0] for line in lines[:-1]],
                         ["prestart", "createRuntime", "createContainer", "poststart",
                          "poststop"])
        states = [line.split()[1].split('"')[3] for line in lines[:-1]]
        self.assertIn(states.pop(3), ("running", "stopped"))  # as fast as it was
        self.assertEqual(states, ["creating", "creating", "creating", "stopped"])
        with open(self.bundle + "/rootfs/hooks") as file:
            self.assertIn('"status":"created"', file.read().replace(" ", ""))

    def test_hooks_find_the_root_at_its_path(self):
        """In the container's mount namespace, and what they mount there stays: so do those for
        graphics cards."""
        os.mkdir(self.bundle + "/rootfs/more")
        find = {"path": "/bin/sh", "args": ["sh", "-c", "test -e proc/self"]}
        add = {"path": "/bin/sh", "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "args": [
            "sh", "-c", "pid=$(grep -o '\"pid\":[^,]*' | tr -dc 0-9);"
            f"nsenter -t $pid -m mount -t tmpfs more {self.bundle}/rootfs/more"]}
        self.configure(hooks={"createRuntime": [add], "createContainer": [find]})
        self.assertEqual(self.run_box("grep -c '^more /more ' /proc/mounts"), "1\n")

    def test_where_hooks_are(self):
        """As with runc, whoever calls from wherever; peer_test compares."""
        def hook(kind):
            return [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} $(pwd) >>{self.dir}/hooks"]}]
        self.configure(**{"process.cwd": "/tmp", "root.readonly": False, "hooks": {
            **{kind: hook(kind) for kind in ("prestart", "createRuntime", "createContainer",
                                             "poststart", "poststop")},
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "pwd >/hook"]}]}})
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir("/usr")
        self.start_box()
        self.ok("delete", "--force", "ufs-box")
        with open(self.dir + "/hooks") as file:
            where = dict(line.split() for line in file)
        self.assertEqual(where.pop("createContainer"), self.bundle + "/rootfs")
        self.assertEqual(where, dict.fromkeys(("prestart", "createRuntime", "poststart", "poststop"),
                                              self.bundle))
        with open(self.bundle + "/rootfs/hook") as file:
            self.assertEqual(file.read(), "/tmp\n")

    def test_a_kill_once_it_has_stopped(self):
        """Without a pid namespace SIGKILL is for all that it has left, and for nobody at last."""
        self.configure(**{"linux.namespaces": lambda old: [n for n in old if n["type"] != "pid"],
                          "mounts": lambda old: [m for m in old if m["type"] != "proc"],
                          "linux.maskedPaths": [], "linux.readonlyPaths": []})
        pid = self.start_box("sleep 1000 & exec sleep 1001")
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.status()["status"] == "stopped"))
        self.assertNotEqual(self.ok("ps", "--format", "json", "ufs-box"), "[]\n")
        self.ok("kill", "ufs-box", "KILL")
        self.assertTrue(wait_until(lambda: self.ok("ps", "--format", "json", "ufs-box") == "[]\n"))
        for sent in "KILL", "TERM":
            self.refused("container not running", "kill", "ufs-box", sent)
        self.ok("kill", "--all", "ufs-box", "KILL")

    def test_warnings_go_to_the_log(self):
        self.configure(**{"process.capabilities.bounding": ["CAP_KILL", "CAP_NEW"]})
        log = self.dir + "/log"
        self.script("sleep 1000")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("--log", log, "create", "-b", self.bundle, "ufs-box")
        self.assertIn('"CAP_NEW" is no capability', self.output())
        with open(log) as file:
            self.assertRegex(file.read(), '^time="[^ ]+" level=warning msg="process.capabilities: '
                             '.*CAP_NEW.*left out"\n$')
        os.unlink(log)
        self.ok("start", "ufs-box")
        path = self.dir + "/process.json"
        with open(path, "w") as file:
            json.dump({"args": ["true"], "cwd": "/", "capabilities": {"bounding": ["CAP_OTHER"]}},
                      file)
        done = self.oci("--log", log, "--log-format", "json", "exec", "--process", path, "ufs-box")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"CAP_OTHER" is no capability', done.stderr)
        with open(log) as file:
            told = json.loads(file.read())
        self.assertEqual(told["level"], "warning")
        self.assertIn("CAP_OTHER", told["msg"])

    def test_environment_of_hooks(self):
        """Those in the container have its own, unless they are given another."""
        hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo $A $HOME >>/tmp/told"]}
        outside = {"path": "/bin/sh", "args": ["sh", "-c", "echo $A $HOME >>tmp/told"]}
        self.configure(**{"process.env": ["A=b", "PATH=/bin"], "root.readonly": False, "hooks": {
            "createContainer": [outside],
            "startContainer": [hook, {**hook, "env": ["A=c"]}]}})
        self.assertEqual(self.run_box("echo $HOME >>/tmp/told; cat /tmp/told"), "\nb /\nc\n/\n")

    def test_what_hooks_say_is_not_the_containers(self):
        """But the end of it is told where one fails, also to who reads the log alone."""
        kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
        talk = {"path": "/bin/sh", "args": ["sh", "-c", "echo of the hook; echo more >&2; head -c 300000 /dev/zero"]}
        self.configure(hooks={kind: [talk] for kind in kinds})
        self.script("echo of the container")
        done = self.oci("run", "-b", self.bundle, "ufs-box")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "of the container\n", ""))
        fail = {"path": "/bin/sh", "args": ["sh", "-c", "echo first; echo no such card >&2; exit 3"]}
        log = self.dir + "/log"
        for kind in kinds:
            self.configure(hooks={kind: [fail]})
            done = self.oci("--log", log, "run", "-b", self.bundle, "ufs-box")
            self.assertEqual(done.returncode, 0 if kind == "poststop" else 1, kind)
            self.assertIn(f"{kind} hook /bin/sh: exited with code 3: first\nno such card\n", done.stderr)
            with open(log) as file:
                self.assertIn("no such card", file.read())
            os.unlink(log)

    def test_who_holds_a_hooks_output_is_not_waited_for(self):
        self.configure(hooks={"createRuntime": [{"path": "/bin/sh", "args": [
            "sh", "-c", f"(sleep 1; echo still there; echo $? >{self.dir}/wrote; exec sleep 1000) &"
                        f"echo $! >{self.dir}/pid"]}]})
        self.run_box("true", timeout=20)
        self.assertTrue(wait_until(lambda: os.path.exists(self.dir + "/wrote")))
        with open(self.dir + "/pid") as file:
            os.kill(int(file.read()), signal.SIGKILL)

    def test_why_a_hook_is_not_executed(self):
        self.configure(**{"process.user": {"uid": 70000, "gid": 70000}, "hooks": {
            "startContainer": [{"path": "/none"}]}})
        self.run_refused("startContainer hook /none: cannot be executed: No such file or directory")
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": maps, "linux.gidMappings": maps,
                          "hooks": {"startContainer": [{"path": "/bin/true"}]}})
        self.run_refused("startContainer hook /bin/true: cannot be executed: process.user.gid 70000 cannot be had")

    def test_failing_poststart_hook_is_the_end(self):
        gone = {"path": "/bin/touch", "args": ["touch", self.dir + "/gone"]}
        self.configure(hooks={"poststart": [{"path": "/bin/false"}], "poststop": [gone]})
        self.script("sleep 1000")
        self.detached("create", "-b", self.bundle, "ufs-box")
        self.refused("poststart hook /bin/false: exited with code 1", "start", "ufs-box")
        self.assertTrue(os.path.exists(self.dir + "/gone"))
        self.refused("container does not exist", "state", "ufs-box")

    def test_one_that_waits_can_be_asked_to_end(self):
        for name in ("TERM", "INT", "HUP", "PWR", "RTMIN+3"):
            self.script("sleep 1000")
            self.detached("create", "-b", self.bundle, "ufs-box")
            self.ok("kill", "ufs-box", name)
            self.assertTrue(wait_until(lambda: self.status()["status"] == "stopped"), name)
            self.ok("delete", "ufs-box")

    def test_log_that_cannot_be_written(self):
        self.refused("--log /none/log: No such file or directory", "--log", "/none/log", "list")

    def test_hooks_get_a_long_state_whole(self):
        def hook(name):
            return [{"path": "/bin/sh", "args": ["sh", "-c", f"tail -c 9 >{name}"]}]
        place = self.dir + "/end-"
        kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
        self.configure(**{"annotations": {"long": "x" * 300000}, "hooks": {
            **{kind: hook(place + kind) for kind in kinds},
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "tail -c 9 >/tmp/end"]}]},
            "root.readonly": False})
        ends = {"startContainer": self.run_box("cat /tmp/end")}
        for kind in kinds:
            with open(place + kind) as file:
                ends[kind] = file.read()
        self.assertEqual({kind: "".join(end.split())[-3:] for kind, end in ends.items()},
                         {kind: 't"}' for kind in ends})

    def test_failing_poststop_hook_is_a_warning(self):
        self.configure(hooks={"poststop": [
            {"path": "/bin/false"}, {"path": "/bin/touch", "args": ["touch", self.dir + "/last"]}]})
        self.script("exit 7")
        done = self.oci("run", "-b", self.bundle, "ufs-box")
        self.assertEqual(done.returncode, 7)
        self.assertRegex(done.stderr, r"poststop hook /bin/false: exited with code 1\b")
        self.assertNotIn("Invalid argument", done.stderr)
        self.assertTrue(os.path.exists(self.dir + "/last"))

    def test_what_keeps_a_hook_from_running_is_told(self):
        for hook, why in (("/none", "No such file or directory"), ("/etc/passwd", "Permission denied")):
            self.configure(hooks={"poststop": [{"path": hook}]})
            self.script("exit 7")
            done = self.oci("run", "-b", self.bundle, "ufs-box")
            self.assertEqual(done.returncode, 7)
            self.assertIn(f"poststop hook {hook}: cannot be executed: {why}", done.stderr)
            self.configure(hooks={"createRuntime": [{"path": hook}]})
            self.run_refused(f"createRuntime hook {hook}: cannot be executed: {why}")
        self.configure(hooks={"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 127"]}]})
        done = self.oci("run", "-b", self.bundle, "ufs-box")
        self.assertRegex(done.stderr, r"poststop hook /bin/sh: exited with code 127\b")

    def test_failing_hook_undoes_the_creation(self):
        self.configure(hooks={"createRuntime": [{"path": "/bin/false"}]})
        self.refused("createRuntime hook /bin/false", "create", "-b", self.bundle, "ufs-box")
        self.configure(hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"],
                                            "timeout": 1}]})
        self.refused("not done after 1 s", "create", "-b", self.bundle, "ufs-box")


class ExecTest(bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        self.pid = self.start_box()

    def test_runs_inside(self):
        self.assertEqual(self.ok("exec", "ufs-box", "hostname"), "ufs\n")
        self.assertEqual(self.oci("exec", "ufs-box", "sh", "-c", "exit 9").returncode, 9)
        self.assertEqual(self.ok("exec", "--cwd", "/tmp", "-e", "A=b", "ufs-box", "sh", "-c",
                                 "echo $PWD $A"), "/tmp b\n")
        for kind in bundle.NAMESPACES:
            self.assertEqual(self.ok("exec", "ufs-box", "readlink", f"/proc/self/ns/{kind}"),
                             self.ok("exec", "ufs-box", "readlink", f"/proc/1/ns/{kind}"), kind)
        self.assertEqual(self.ok("exec", "ufs-box", "cat", "/proc/self/cgroup"),
                         self.ok("exec", "ufs-box", "cat", "/proc/1/cgroup"))

    def test_is_as_the_container_is(self):
        """What the configuration says of every process in it."""
        self.ok("delete", "--force", "ufs-box")
        self.configure(**{"process.oomScoreAdj": 321,
                          "linux.personality": {"domain": "LINUX32"}})
        self.start_box()
        for process in "1", "self":
            self.assertEqual(self.ok("exec", "ufs-box", "cat", f"/proc/{process}/oom_score_adj",
                                     f"/proc/{process}/personality"), "321\n00000008\n")
        path = self.dir + "/process.json"
        with open(path, "w") as file:
            json.dump({"args": ["cat", "/proc/self/oom_score_adj"], "cwd": "/",
                       "user": {"uid": 3}, "env": ["PATH=/bin"], "oomScoreAdj": 456}, file)
        self.assertEqual(self.ok("exec", "--process", path, "ufs-box"), "456\n")

    def test_users_are_numbers(self):
        self.assertEqual(self.ok("exec", "-u", "1", "ufs-box", "id", "-u"), "1\n")
        self.assertEqual(self.ok("exec", "-u", "7:8", "ufs-box", "sh", "-c", "id -u; id -g"),
                         "7\n8\n")
        for bad in ("", "root", "-1", "1:", ":1", "1:2:3", "0x1", "4294967295", "1 ", "+1"):
            if bad:
                self.refused("is not UID or UID:GID", "exec", "-u", bad, "ufs-box", "id")

    def test_process_file(self):
        path = self.dir + "/process.json"
        with open(path, "w") as file:
            json.dump({"args": ["sh", "-c", "id -u; echo $X"], "cwd": "/", "user": {"uid": 3},
                       "env": ["PATH=/bin", "X=y"]}, file)
        self.assertEqual(self.ok("exec", "--process", path, "ufs-box"), "3\ny\n")

    def test_capabilities_of_another_user(self):
        self.ok("delete", "--force", "ufs-box")
        self.configure(**{"process.capabilities.inheritable": ["CAP_SYSLOG"],
                          "process.capabilities.bounding": ["CAP_SYSLOG", "CAP_CHOWN"]})
        self.start_box()
        for cap, ambient in (("CAP_SYSLOG", 1 << 34), ("CAP_CHOWN", 0)):
            self.assertIn(f"CapAmb:\t{ambient:016x}",
                          self.ok("exec", "-u", "1", "--cap", cap, "ufs-box", "cat",
                                  "/proc/self/status"))

    def test_processes_by_ps(self):
        """As runc has it: what stands behind the id is for ps(1)."""
        if not any(os.path.exists(place + "/ps") for place in ("/usr/bin", "/bin")):
            self.refused("which is not installed; install procps", "ps", "ufs-box", "-ef")
            return
        lines = self.ok("ps", "ufs-box", "-o", "ppid,pid,comm").splitlines()
        self.assertEqual(lines[0].split(), ["PPID", "PID", "COMMAND"])
        self.assertEqual([line.split()[1:] for line in lines[1:]], [[str(self.pid), "sleep"]])
        self.assertIn("sleep 1000", self.ok("ps", "ufs-box", "--", "-ef"))
        self.refused("couldn't find PID field in ps output", "ps", "ufs-box", "-o", "comm")
        self.refused("ps exited with code 1", "ps", "ufs-box", "-q", "x")
        self.assertEqual(json.loads(self.ok("ps", "-f", "json", "ufs-box")), [self.pid])

    def test_not_found(self):
        self.refused("executable file not found", "exec", "ufs-box", "nothing")

    def test_detached(self):
        pid_file = self.dir + "/pid"
        self.detached("exec", "--detach", "--pid-file", pid_file, "ufs-box", "sleep", "1000")
        with open(pid_file) as file:
            pid = int(file.read())
        self.assertEqual(sorted(json.loads(self.ok("ps", "--format", "json", "ufs-box"))),
                         sorted([self.pid, pid]))


class PidfdTest(bundle.ContainerTest):
    """Whoever listens gets a descriptor of the process, as from runc."""

    def setUp(self):
        super().setUp()
        self.path = self.dir + "/pidfd"
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(30)

    def receive(self):
        """(the word that goes along, the pid it is of)"""
        peer, _ = self.listener.accept()
        word, control, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
        peer.close()
        fd = array.array("i", control[0][2][:4])[0]
        with open(f"/proc/self/fdinfo/{fd}") as file:
            pid = [int(line.split()[1]) for line in file if line.startswith("Pid:")][0]
        os.close(fd)
        return word, pid

    def test_of_init_and_of_what_is_executed(self):
        self.script("sleep 1000")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("create", "-b", self.bundle, "--pidfd-socket", self.path, "ufs-box")
        self.assertEqual(self.receive(), (b"standard", self.status()["pid"]))
        self.ok("start", "ufs-box")
        self.detached("exec", "--detach", "--pid-file", self.dir + "/pid", "--pidfd-socket",
                      self.path, "ufs-box", "sleep", "1000")
        with open(self.dir + "/pid") as file:
            self.assertEqual(self.receive(), (b"setns", int(file.read())))

    def test_run(self):
        self.script("exit 3")
        box = subprocess.Popen(self.command("run", "-b", self.bundle, "--pidfd-socket", self.path,
                                            "ufs-box"))
        word, pid = self.receive()
        self.assertEqual(word, b"standard")
        self.assertEqual(box.wait(timeout=30), 3)

    def test_nobody_listens(self):
        self.listener.close()
        self.script("touch /ran")
        for words in ("create",), ("run",):
            self.refused("pidfd socket .*: Connection refused", *words, "-b", self.bundle,
                         "--pidfd-socket", self.path, "ufs-box")
        self.start_box()
        self.refused("pidfd socket .*: Connection refused", "exec", "--pidfd-socket", self.path,
                     "ufs-box", "touch", "/ran")


class TerminalTest(bundle.ContainerTest):
    def receive(self, listener):
        peer, _ = listener.accept()
        _, control, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
        peer.close()
        fds = array.array("i", control[0][2][:4])
        self.addCleanup(os.close, fds[0])
        return fds[0]

    def read_until(self, fd, end):
        text = b""
        while end not in text:
            try:
                text += os.read(fd, 1000)
            except OSError:
                break
        return text.decode()

    def test_console_socket(self):
        # A name beyond what a socket address holds.
        directory = self.dir + "/" + "x" * 100
        os.mkdir(directory)
        path = directory + "/console"
        listener = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(directory)
        listener.bind("console")
        os.chdir(here)
        listener.listen()
        listener.settimeout(30)
        self.addCleanup(listener.close)
        self.configure(**{"process.terminal": True,
                          "process.consoleSize": {"height": 11, "width": 22},
                          "process.args": ["/bin/sh", "-c", "tty; stty size; ls -l /dev/console;"
                                           "sleep 1000"]})
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("create", "-b", self.bundle, "--console-socket", path, "ufs-box")
        master = self.receive(listener)
        self.ok("start", "ufs-box")
        text = self.read_until(master, b"console\r\n")
        self.assertIn("/dev/pts/0\r\n11 22\r\ncrw", text)
        self.detached("exec", "--tty", "--detach", "--console-socket", path, "ufs-box", "tty")
        self.assertIn("/dev/pts/1", self.read_until(self.receive(listener), b"1\r\n"))

    def test_attached(self):
        self.configure(**{"process.terminal": True,
                          "process.args": ["/bin/sh", "-c", "tty; read x; echo got $x"]})
        master, slave = os.openpty()
        box = subprocess.Popen(self.command("run", "-b", self.bundle, "ufs-box"), stdin=slave,
                               stdout=slave, stderr=slave)
        os.close(slave)
        self.addCleanup(os.close, master)
        self.assertIn("/dev/pts/0", self.read_until(master, b"pts/0\r\n"))
        os.write(master, b"word\n")
        self.assertIn("got word", self.read_until(master, b"got word\r\n"))
        self.assertEqual(box.wait(timeout=30), 0)

    def test_lines_for_a_pipe(self):
        self.configure(**{"process.terminal": True, "process.args": ["tty"]})
        self.assertEqual(self.oci("run", "-b", self.bundle, "ufs-box").stdout, "/dev/pts/0\n")
        self.configure(**{"process.terminal": False})
        self.start_box()
        for _ in range(20):
            self.assertEqual(self.ok("exec", "--tty", "ufs-box", "tty"), "/dev/pts/0\n")

    def test_in_the_background_of_a_terminal(self):
        """What is typed there is another job's; the container's output is seen all the same."""
        self.configure(**{"process.terminal": True, "process.args": [
            "/bin/sh", "-c", "sleep 1; tty; stty -a | grep -o -- '-*icanon'"]})
        code = """
import os, signal, subprocess, sys, termios, time
before = termios.tcgetattr(0)
box = subprocess.Popen(sys.argv[1:], preexec_fn=os.setpgrp)
time.sleep(0.5)
same = termios.tcgetattr(0) == before
print("code", box.wait(), "kept" if same else "changed")
"""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        command = [sys.executable, "-c", code, *self.command("run", "-b", self.bundle, "ufs-box")]
        shell = subprocess.Popen(["setsid", "--ctty", *command], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        os.write(master, b"typed\n")
        text = self.read_until(master, b"kept\r\n")
        self.assertIn("/dev/pts/0", text)
        self.assertIn("code 0 kept", text)
        self.assertEqual(shell.wait(timeout=30), 0)

    def test_nobody_reads(self):
        """The reader of a pipe goes: the container hears of it, the terminal is put back."""
        self.configure(**{"process.terminal": True, "process.args": [
            "/bin/sh", "-c", "while echo line; do sleep 0.02; done; exit 9"]})
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        before = termios.tcgetattr(slave)
        box = subprocess.Popen(self.command("run", "-b", self.bundle, "ufs-box"), stdin=slave,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertIn(b"line", box.stdout.readline())
        self.assertNotEqual(termios.tcgetattr(slave), before)
        box.stdout.close()
        self.assertGreater(box.wait(timeout=30), 0)
        self.assertEqual(termios.tcgetattr(slave), before)

    def test_much_goes_in_before_anything_is_read(self):
        """Neither way waits for the other, which a program that copies would not survive."""
        self.configure(**{"process.terminal": True, "process.args": [
            "/bin/sh", "-c", "stty raw -echo; echo ready; exec head -c 1048576"]})
        box = subprocess.Popen(self.command("run", "-b", self.bundle, "ufs-box"),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.addCleanup(box.kill)
        self.assertEqual(box.stdout.readline(), b"ready\n")
        data = bytes(range(256)) * 4096
        fcntl.fcntl(box.stdin, fcntl.F_SETPIPE_SZ, len(data))
        box.stdin.write(data)
        box.stdin.flush()
        self.assertEqual(box.communicate(timeout=60)[0], data)
        self.assertEqual(box.returncode, 0)

    def test_hooks_get_signals_as_they_are(self):
        self.configure(**{"hooks": {"poststop": [{"path": "/bin/sh", "args": [
            "sh", "-c", f"grep SigIgn /proc/self/status >{self.dir}/ignored"]}]}})
        self.run_box("true")
        with open(self.dir + "/ignored") as file:
            self.assertEqual(int(file.read().split()[1], 16) & 1 << (signal.SIGPIPE - 1), 0)

    def test_what_the_kernel_refuses_is_told_with_its_reason(self):
        self.configure(hostname="h" * 65)
        self.refused("hostname: Invalid argument", "create", "-b", self.bundle, "ufs-box")

    def test_needs_a_receiver(self):
        self.configure(**{"process.terminal": True})
        self.refused("needs --console-socket", "create", "-b", self.bundle, "ufs-box")


class CommandLineTest(unittest.TestCase):
    def test_version_and_features(self):
        done = run(bundle.UFS, "oci", "--version")
        self.assertRegex(done.stdout, r"^ufs-oci version \S+\nspec: 1\.2\.0\n$")
        features = json.loads(run(*bundle.as_user(bundle.UFS, "oci", "features")).stdout)
        self.assertIn("rro", features["mountOptions"])
        self.assertIn("user", features["linux"]["namespaces"])
        self.assertTrue(features["linux"]["cgroup"]["systemd"])
        seccomp = features["linux"]["seccomp"]
        newer = tuple(map(int, os.uname().release.split(".")[:2])) >= (5, 19)
        self.assertEqual("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" in seccomp["supportedFlags"], newer)
        self.assertEqual(seccomp["knownFlags"][:3], seccomp["supportedFlags"][:3])

    def test_it_has_no_more_than_it_needs(self):
        # It is started several times a container, and a start costs what is linked.
        with open(bundle.RUNTIME, "rb") as file:
            program = file.read()
        for library in (b"rocksdb", b"fuse_session_new", b"archive_read_new"):
            self.assertNotIn(library, program)

    def test_usage(self):
        for words, message in ((["fly"], "unknown verb"),
                               (["checkpoint", "c"], "checkpoint is not supported"),
                               (["--fly", "list"], "unknown option"),
                               (["state"], "no container id"),
                               (["--cgroup-manager", "upstart", "list"], "cgroupfs, systemd or disabled"),
                               (["state", "a", "b"], "one container id"),
                               (["kill", "a", "SIGNOPE"], "is no signal"),
                               (["state", "../x"], "invalid container id"),
                               (["delete", "--force", ".."], "invalid container id"),
                               (["run", "-b", "/nowhere", "x"], "/nowhere/config.json")):
            done = run(bundle.UFS, "oci", *words)
            self.assertEqual(done.returncode, 1, words)
            self.assertRegex(done.stderr, message)


if __name__ == "__main__":
    bundle.main()
