"""As much of systemd's manager as a container's scope needs, on a bus of its own,
as no systemd runs where the tests do. It really makes the cgroups, in those
hierarchies that systemd would, and really moves the processes.

`Systemd` is for tests. The program itself is run by it, with Debian's python.
"""
import glob
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

PYTHON = "/usr/bin/python3"  # that the packages are for
NAME, PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
MANAGER = NAME + ".Manager"
# Of the hierarchies of v1; the others it has no use for.
CONTROLLERS = {"cpu", "cpuacct", "blkio", "memory", "devices", "pids", "name=systemd"}
BUS = """<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow eavesdrop="false" receive_sender="*"/></policy></busconfig>"""


class Systemd:
    """A bus in `directory`, and the manager on it."""

    def __init__(self, test, directory, owner=0):
        if subprocess.run([PYTHON, "-c", "import dbus, gi"], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            test.skipTest("needs python3-dbus and python3-gi")
        self.directory = directory
        self.log = directory + "/log"
        os.makedirs(directory + "/systemd", exist_ok=True)
        # Where the manager of a user listens itself.
        for name in ("log", "mode", "systemd/private"):
            with open(f"{directory}/{name}", "w"):
                pass
        self.address = f"unix:path={directory}/bus"
        with open(directory + "/config", "w") as file:
            file.write(BUS.format(directory + "/bus"))
        self.bus = self.start(test, ["dbus-daemon", "--nofork", "--nosyslog", "--config-file",
                                     directory + "/config"], directory + "/bus")
        self.manager = self.start(test, [PYTHON, "-B", __file__, self.address, directory,
                                         str(owner)], directory + "/ready")
        test.addCleanup(lambda: test.assertEqual(self.scopes(), []))

    def start(self, test, command, appears):
        with open(self.directory + "/errors", "a") as errors:
            process = subprocess.Popen(command, stderr=errors)
        test.addCleanup(process.wait)
        test.addCleanup(process.terminate)
        end = time.monotonic() + 30
        while not os.path.exists(appears):
            test.assertLess(time.monotonic(), end, command)
            time.sleep(0.01)
        return process

    def mode(self, word):
        """What it does with the next scopes: see Manager."""
        with open(self.directory + "/mode", "w") as file:
            file.write(word)

    def calls(self, method=None):
        """[(method, arguments)], as they came."""
        with open(self.log) as file:
            calls = [tuple(json.loads(line)) for line in file]
        return calls if method is None else [words for name, words in calls if name == method]

    @staticmethod
    def scopes():
        return glob.glob("/sys/fs/cgroup/**/*ufs-*.scope", recursive=True)


def hierarchies():
    """Mount points of those that systemd rules."""
    for line in open("/proc/self/mountinfo"):
        before, after = line.split(" - ")
        point, (kind, _, options) = before.split()[4], after.split()
        if kind == "cgroup2" or kind == "cgroup" and CONTROLLERS & set(options.split(",")):
            yield point, kind == "cgroup2"


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # removed, or about to be
        return ""


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


class Units:
    """The scopes, as cgroups."""

    def __init__(self, owner):
        self.owner = owner
        self.slices = {}

    def slice_path(self, name):
        """a-b.slice is below a.slice."""
        words = name.removesuffix(".slice").split("-")
        return "/".join("-".join(words[:i + 1]) + ".slice" for i in range(len(words)))

    def directories(self, unit):
        for point, unified in hierarchies():
            # A user's manager rules v2 alone.
            if unified or not self.owner:
                yield f"{point}/{self.slices[unit]}/{unit}"

    def start(self, unit, name, pids):
        self.slices[unit] = self.slice_path(name)
        for directory in self.directories(unit):
            os.makedirs(directory)
            for top, _, files in os.walk(directory):
                for path in [top] + [f"{top}/{file}" for file in files]:
                    os.chown(path, self.owner, self.owner)
        self.attach(unit, "", pids)

    def attach(self, unit, below, pids):
        for directory in self.directories(unit):
            for pid in pids:
                write(f"{directory}{below}/cgroup.procs", str(pid))

    def collect(self):
        """An empty scope ends by itself."""
        for unit in list(self.slices):
            if not any(read(path) for directory in self.directories(unit)
                       for path in glob.glob(directory + "/**/cgroup.procs", recursive=True)):
                self.stop(unit)

    def stop(self, unit):
        for directory in self.directories(unit):
            for top, _, _ in os.walk(directory, topdown=False):
                for _ in range(200):
                    for pid in read(top + "/cgroup.procs").split():
                        os.kill(int(pid), signal.SIGKILL)
                    try:
                        os.rmdir(top)
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.02)
            for _ in self.slices[unit].split("/"):
                directory = os.path.dirname(directory)
                try:
                    os.rmdir(directory)
                except OSError:
                    break
        del self.slices[unit]


class Stranger:
    """Who else is on the bus, and sends what it allows to whom it likes."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        name = str(os.getuid()).encode().hex().encode()
        self.socket.sendall(b"\0AUTH EXTERNAL " + name + b"\r\nBEGIN\r\n")
        assert self.socket.recv(4096).startswith(b"OK ")
        self.call_bus(b"Hello")

    @staticmethod
    def message(order, kind, destination, path, interface, member, signature=b"", body=b""):
        endian = {b"l": "<", b"B": ">"}[order]
        fields = b""
        for code, letter, text in ((1, b"o", path), (2, b"s", interface), (3, b"s", member),
                                   (6, b"s", destination), (8, b"g", signature)):
            if text:
                size = bytes([len(text)]) if letter == b"g" else struct.pack(endian + "I", len(text))
                fields += b"\0" * (-len(fields) % 8)
                fields += bytes([code, 1]) + letter + b"\0" + size + text + b"\0"
        head = order + bytes([kind, 0, 1]) + struct.pack(endian + "III", len(body), 1, len(fields))
        return head + fields + b"\0" * (-len(fields) % 8) + body

    @staticmethod
    def arguments(order, number, *texts):
        endian = {b"l": "<", b"B": ">"}[order]
        body = struct.pack(endian + "I", number)
        for text in texts:
            body += b"\0" * (-len(body) % 4)
            body += struct.pack(endian + "I", len(text)) + text.encode() + b"\0"
        return body

    def call_bus(self, method):
        bus = b"org.freedesktop.DBus"
        self.socket.sendall(self.message(b"l", 1, bus, b"/org/freedesktop/DBus", bus, method))

    def annoy(self, whom, job, unit):
        """Returns once the bus has passed it on."""
        words = [whom.encode(), PATH.encode(), MANAGER.encode(), b"JobRemoved"]
        for order in (b"B", b"l"):
            size = 2 << 20
            array = struct.pack({b"l": "<I", b"B": ">I"}[order], size) + bytes(size)
            self.socket.sendall(
                self.message(order, 4, *words, b"ay", array) +
                self.message(order, 4, *words, b"uoss",
                             self.arguments(order, 1, job, unit, "failed")))
        self.call_bus(b"GetId")
        said = b""
        while not re.search(rb"[0-9a-f]{32}\0", said):
            said = said[-64:] + self.socket.recv(4096)


def serve(address, directory, owner):
    import dbus
    import dbus.mainloop.glib
    import dbus.service
    from gi.repository import GLib
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)

    class Unit(dbus.service.Object):
        description = ""

        @dbus.service.method(dbus.PROPERTIES_IFACE, "ss", "v")
        def Get(self, interface, name):
            return {(NAME + ".Unit", "Description"): self.description}[interface, name]

    class Manager(dbus.service.Object):
        units = Units(owner)
        failed = set()
        descriptions = {}
        jobs = 0
        stranger = None

        def note(self, method, *words):
            with open(directory + "/log", "a") as file:
                file.write(json.dumps([method, words]) + "\n")

        def mode(self):
            with open(directory + "/mode") as file:
                return file.read()

        def job(self, unit, result, delay=0):
            self.jobs += 1
            path = f"{PATH}/job/{self.jobs}"
            GLib.timeout_add(delay, self.JobRemoved, self.jobs, path, unit, result)
            return path

        def annoy(self, whom, job, unit):
            if self.mode() == "stranger":
                self.stranger = self.stranger or Stranger(directory + "/bus")
                self.stranger.annoy(whom, job, unit)

        def error(self, name, text):
            return dbus.exceptions.DBusException(text, name=f"{NAME}.{name}")

        @dbus.service.signal(MANAGER, signature="uoss")
        def JobRemoved(self, number, path, unit, result):
            pass

        @dbus.service.method(MANAGER, "ssa(sv)a(sa(sv))", "o", sender_keyword="sender")
        def StartTransientUnit(self, unit, mode, properties, aux, sender):
            self.note("StartTransientUnit", unit, mode, dict(properties), aux)
            now = self.mode()
            if now == "refuse":
                raise self.error("TransientUnitsForbidden", "not today")
            if unit in self.units.slices or unit in self.failed:
                raise self.error("UnitExists", f"Unit {unit} already exists.")
            if now == "fail":
                return self.job(unit, "failed")
            if now == "elsewhere":
                return self.job(unit, "done")
            values = dict(properties)
            self.descriptions[unit] = values["Description"]
            self.units.start(unit, values["Slice"], values["PIDs"])
            if now == "hang":
                return PATH + "/job/0"
            job = self.job(unit, "done", 500 if now == "late" else 0)
            self.annoy(sender, job, unit)
            return job

        @dbus.service.method(MANAGER, "sba(sv)")
        def SetUnitProperties(self, unit, runtime, properties):
            self.note("SetUnitProperties", unit, runtime, dict(properties))

        @dbus.service.method(MANAGER, "ssau")
        def AttachProcessesToUnit(self, unit, below, pids):
            self.note("AttachProcessesToUnit", unit, below, pids)
            self.units.attach(unit, below, pids)

        @dbus.service.method(MANAGER, "s", "o", sender_keyword="sender")
        def GetUnit(self, unit, sender):
            self.annoy(sender, PATH, unit)
            if self.mode() == "mute":
                raise self.error("NotTold", "not told")
            if unit not in self.units.slices:
                raise self.error("NoSuchUnit", f"Unit {unit} not loaded.")
            self.jobs += 1
            path = f"{PATH}/unit/{self.jobs}"
            Unit(bus, path).description = self.descriptions[unit]
            return path

        @dbus.service.method(MANAGER, "ss", "o")
        def StopUnit(self, unit, mode):
            self.note("StopUnit", unit, mode)
            if unit not in self.units.slices:
                raise self.error("NoSuchUnit", f"Unit {unit} not loaded.")
            self.units.stop(unit)
            return PATH + "/job/0" if self.mode() == "hang" else self.job(unit, "done")

        @dbus.service.method(MANAGER, "s")
        def ResetFailedUnit(self, unit):
            self.note("ResetFailedUnit", unit)
            self.failed.discard(unit)

        # For the test alone.
        @dbus.service.method(MANAGER, "s")
        def Fail(self, unit):
            self.failed.add(unit)

    bus = dbus.bus.BusConnection(address)
    name = dbus.service.BusName(NAME, bus)
    manager = Manager(bus, PATH)

    def collect():
        # A scope whose job is not done yet has not begun, and does not end by itself.
        if manager.mode() != "hang":
            manager.units.collect()
        return True

    GLib.timeout_add(100, collect)
    write(directory + "/ready", name.get_name())
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
