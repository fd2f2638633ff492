"""Private networks by slirp4netns and pasta, and ports of the machine that lead into a
container, for root and for an ordinary user. Servers listen on loopback."""
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import bundle
import box
import harness
from bundle import wait_until

SERVE = "exec httpd -f -p 80 -h /srv"
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7))
while True:
    text, asker = s.recvfrom(65536)
    s.sendto(b"you said " + text, asker)
"""


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def fetch(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=5) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError) as error:
        return str(error)


def knows_map_guest_addr():
    done = subprocess.run(["pasta", "--help"], capture_output=True, text=True)
    return "--map-guest-addr" in done.stdout + done.stderr


class NetworkCases:
    """`self.helper` connects."""

    def setUp(self):
        if not shutil.which(self.helper):
            self.skipTest(self.helper + " is not installed")
        super().setUp()
        self.write("base/srv/page", "from inside")

    def serve(self, *options, script=SERVE):
        port = free_port()
        found = self.start(script, "--network", self.helper, "-p", f"127.0.0.1:{port}:80", *options)
        self.assertTrue(wait_until(lambda: fetch(port) == "from inside"), fetch(port))
        return port, found

    def test_tcp(self):
        port, found = self.serve()
        shown = f"127.0.0.1:{port}->80/tcp"
        self.assertEqual((found["network"], found["ports"]), (self.helper, [shown]))
        self.assertIn(f" {shown} ", self.ok("ps"))
        self.assertEqual(sorted(os.listdir(found["directory"])),
                         ["attach", "config.json", "hostname", "hosts", "log", "oci", "record.json",
                          "resolv.conf", "root", "upper", "work"])
        self.ok("stop", "-t", "0", "box")
        self.assertIn("refused", fetch(port))

    def serve_udp(self, *options):
        host = [word for path in ("/usr", "/lib", "/lib64")
                for word in ("-v", f"{path}:{path}:ro")]
        return self.start("exec /usr/bin/python3 -c '" + ECHO + "'", *host,
                          "--network", self.helper, *options)

    def ask(self, address, port):
        """A socket that only hears what comes from where it sends to."""
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                               socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(0.5)
        client.connect((address, port))

        def answers():
            try:
                client.send(b"first")
                return client.recv(100) == b"you said first"
            except OSError:
                return False
        self.assertTrue(wait_until(answers), address)
        return client

    def test_udp(self):
        port = free_port(socket.SOCK_DGRAM)
        found = self.serve_udp("-p", f"{port}:7/udp", "--restart", "always")
        self.assertEqual(found["ports"], [f"0.0.0.0:{port}->7/udp"])
        addresses = ["127.0.0.1", "127.0.0.2"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            try:
                any_socket.connect(("203.0.113.1", 9))
                addresses.append(any_socket.getsockname()[0])
            except OSError:
                pass  # a machine without a network
        clients = [self.ask(address, port) for address in addresses]
        for number, client in enumerate(clients):  # each its own, whatever is asked at once
            client.settimeout(10)
            client.send(str(number).encode() * 8000)
        for number, client in enumerate(clients):
            while (answer := client.recv(65536)) == b"you said first":
                pass  # to one that was asked again too early
            self.assertEqual(answer, b"you said " + str(number).encode() * 8000)
        os.kill(found["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.inspect()["restarts"] == 1))
        self.ask("127.0.0.1", port)
        self.ok("stop", "-t", "0", "box")
        clients[0].send(b"nobody")
        self.assertRaises(ConnectionRefusedError, clients[0].recv, 100)

    def test_udp_of_one_address_beside_tcp(self):
        self.write("base/srv/page", "from inside")
        port = free_port(socket.SOCK_DGRAM)
        self.serve_udp("-p", f"127.0.0.1:{port}:7/udp", "-p", f"127.0.0.2:{port + 1}:8")
        self.ask("127.0.0.1", port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.2", port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.2", 0))
            port = taken.getsockname()[1]
            self.refused(f"something listens on port {port} of the machine already",
                         "--network", self.helper, "-p", f"127.0.0.2:{port}:7/udp")

    def test_ports_that_are_picked(self):
        found = self.start(SERVE, "--network", self.helper, "-p", "127.0.0.1::80", "-P",
                           "--expose", "80", "--expose", "81-82", "--expose", "7/udp")
        ports = [port.split("->") for port in found["ports"]]
        self.assertEqual([inside for _, inside in ports], ["80/tcp", "81/tcp", "82/tcp", "7/udp"])
        picked = [int(host.rsplit(":", 1)[1]) for host, _ in ports]
        self.assertNotIn(0, picked)
        self.assertEqual([host for host, _ in ports],
                         [f"127.0.0.1:{picked[0]}"] + [f"0.0.0.0:{port}" for port in picked[1:]])
        self.assertTrue(wait_until(lambda: fetch(picked[0]) == "from inside"), fetch(picked[0]))
        self.assertEqual(self.ok("port", "box"),
                         "".join(f"{inside} -> {host}\n" for host, inside in ports))
        self.assertEqual(self.ok("port", "box", "80"), f"127.0.0.1:{picked[0]}\n")
        self.assertEqual(self.ok("port", "box", "7/udp"), f"0.0.0.0:{picked[3]}\n")
        done = self.ufs("port", "box", "7")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no port of the machine leads to 7/tcp of box", done.stderr)

    def test_range(self):
        first = 20000 + os.getpid() % 20000
        while not all(map(is_free, range(first, first + 3))):
            first += 3
        self.start("httpd -p 81 -h /srv; exec httpd -f -p 82 -h /srv", "--network", self.helper,
                   "-p", f"127.0.0.1:{first}-{first + 2}:80-82")
        for port in (first + 1, first + 2):
            self.assertTrue(wait_until(lambda: fetch(port) == "from inside"), fetch(port))
        self.assertNotEqual(fetch(first), "from inside")  # nobody listens inside

    def test_inside(self):
        text = self.out("ip addr; ip route; cat /etc/resolv.conf", "--network", self.helper)
        self.assertRegex(text, r"(?s)LOOPBACK,UP.*inet \d.*default via .*nameserver " + self.server)

    def check_loopback_is_closed(self, place, *options):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            done = self.box(f"nc -w 2 {place} {server.getsockname()[1]} </dev/null",
                            "--network", self.helper, *options)
            self.assertNotEqual(done.returncode, 0, place)
            server.settimeout(0)
            self.assertRaises(BlockingIOError, server.accept)

    def test_own_loopback_of_the_machine_is_out_of_reach(self):
        gateway = self.out("ip route", "--network", self.helper).split("default via ")[1]
        for place in ("127.0.0.1", gateway.split()[0]):
            self.check_loopback_is_closed(place)

    def test_the_machine_by_its_name(self):
        if self.helper == "pasta" and not knows_map_guest_addr():
            self.refused("--add-host: host-gateway: this pasta cannot lead to the machine but by its "
                         "loopback, .*; use --network slirp4netns or host, or give the address",
                         "--network", "pasta", "--add-host", "machine:host-gateway")
            return
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(("203.0.113.1", 9))
        except OSError:
            self.skipTest("needs a machine with a network")
        with socket.socket() as server:
            server.bind(("", 0))
            server.listen()
            server.settimeout(20)
            box = subprocess.Popen(self.command(*self.words(
                f"nc machine {server.getsockname()[1]} </dev/null; cat /etc/hosts",
                "--network", self.helper, "--add-host", "machine:host-gateway")),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            peer, _ = server.accept()
            peer.send(b"hello\n")
            peer.close()
            text, errors = box.communicate(timeout=30)
        self.assertEqual((box.returncode, errors), (0, ""))
        self.check_loopback_is_closed("machine", "--add-host", "machine:host-gateway")
        self.assertRegex(text, r"(?s)^hello\n.*\n[0-9.]+\tmachine\n$")

    def test_restarted(self):
        port, found = self.serve("--restart", "always")
        os.kill(found["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.inspect()["restarts"] == 1))
        self.assertTrue(wait_until(lambda: fetch(port) == "from inside"), fetch(port))

    def test_killed_supervisor(self):
        port, found = self.serve()
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not any(self.helper in line
                                                   for line in self.processes())))
        self.ok("rm", "box")
        self.assertIn("refused", fetch(port))

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused(f"something listens on port {port} of the machine already",
                         "--network", self.helper, "-p", f"127.0.0.1:{port}:80")

    def test_program_that_is_missing(self):
        subprocess.run(["mount", "--bind", "/dev/null", "/usr/bin/" + self.helper], check=True)
        self.addCleanup(bundle.run, "umount", "/usr/bin/" + self.helper)
        self.refused(f"--network {self.helper} needs {self.helper}, which is not installed; "
                     "install", "--network", self.helper)


class Slirp4netns(NetworkCases):
    helper = "slirp4netns"
    server = r"10\.0\.2\.3"


class Pasta(NetworkCases):
    helper = "pasta"
    server = r"169\.254\.1\.1"

    def test_what_a_newer_one_is_told(self):
        """Whether the one here knows the option or not."""
        self.write("said", "")
        said, newer = self.at("said"), self.at("newer")
        os.chmod(said, 0o666)
        real = self.at("pasta")
        shutil.copy("/usr/bin/pasta", real)
        self.write("newer", f"""#!/bin/sh
            [ "$*" != --help ] || {{ echo "  --map-guest-addr ADDR"; exit 0; }}
            echo "$*" >{said}
            for word; do
                shift
                case $word in --map-guest-addr|169.254.1.2) ;; *) set -- "$@" "$word" ;; esac
            done
            exec {real} "$@"
            """)
        os.chmod(newer, 0o755)
        subprocess.run(["mount", "--bind", newer, "/usr/bin/pasta"], check=True)
        self.addCleanup(bundle.run, "umount", "/usr/bin/pasta")
        hosts = self.out("cat /etc/hosts", "--network", "pasta", "--add-host", "machine:host-gateway")
        self.assertIn("169.254.1.2\tmachine\n", hosts)
        with open(said) as file:
            text = file.read()
        self.assertIn(" --no-map-gw ", text)
        self.assertIn(" --map-guest-addr 169.254.1.2 ", text)
        self.assertNotIn("machine", self.out("cat /etc/hosts", "--network", "pasta"))
        with open(said) as file:
            self.assertNotIn("--map-guest-addr", file.read())


class UserCases:
    def setUp(self):
        super().setUp()
        harness.open_to_all(self.dir, "/dev/net/tun", 10, 200)
        self.addCleanup(bundle.run, "umount", "/dev/net/tun")

    def test_ports_of_root(self):
        if int(bundle.run("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout) > 80:
            self.refused("ports below 1024 are root's; use a higher one", "--network", self.helper,
                         "-p", "127.0.0.1:80:80")


class RootSlirp4netnsTest(Slirp4netns, box.BoxTest):
    pass


class RootPastaTest(Pasta, box.BoxTest):
    pass


class UserSlirp4netnsTest(UserCases, Slirp4netns, box.UserBoxTest):
    pass


class UserPastaTest(UserCases, Pasta, box.UserBoxTest):
    pass


class ImagePortsTest(box.ImageMaker, box.BoxTest):
    def test_all_that_an_image_exposes(self):
        self.write("base/srv/page", "from inside")
        self.make_image(ExposedPorts={"80/tcp": {}, "9-10/udp": {}}, Cmd=["sh", "-c", SERVE])
        self.addCleanup(self.ufs, "rm", "-f", "box")
        self.ok("run", "-d", "--name", "box", "-P", "img:1")
        ports = dict(line.split(" -> ") for line in self.ok("port", "box").splitlines())
        self.assertEqual(sorted(ports), ["10/udp", "80/tcp", "9/udp"])
        port = int(ports["80/tcp"].rsplit(":", 1)[1])
        self.assertIn(f"0.0.0.0:{port}->80/tcp", self.ok("ps"))
        self.assertTrue(wait_until(lambda: fetch(port) == "from inside"), fetch(port))
        self.ok("rm", "-f", "box")
        self.ok("run", "-d", "--name", "box", "img:1")
        self.assertEqual((self.ok("port", "box"), self.inspect()["network"]), ("", "none"))


class WordsTest(box.BoxTest):
    def test_a_network_by_default_for_ports(self):
        self.write("base/srv/page", "from inside")
        port = free_port()
        self.start(SERVE, "-p", f"127.0.0.1:{port}:80")
        self.assertTrue(wait_until(lambda: fetch(port) == "from inside"), fetch(port))

    def test_networks_without_ports(self):
        self.refused("-p needs a network that leads in.* --network private", "--network", "none",
                     "-p", "8080:80")
        self.refused("-p needs a network", "--network", "none", "-P")
        self.refused("the exposed port '80/sctp': the protocol", "--expose", "80/sctp")
        done = self.box("echo ran", "--network", "host", "-P", "-p", "8080:80")
        self.assertEqual((done.returncode, done.stdout), (0, "ran\n"))
        self.assertIn("-p has no effect with --network host, where ports are the machine's",
                      done.stderr)

    def test_words(self):
        for text, message in ((":80", "is no port"), ("::80", "is no address"),
                              ("0", "is no port"),
                              ("1.2.3:80:80", "is no address"),
                              ("0:80", "is no port"), ("80:70000", "is no port"),
                              ("80-82:80-83", "differ in length"),
                              ("82-80:80-82", "first port comes first"),
                              ("80:80/sctp", "tcp or udp")):
            self.refused("-p '" + text + "'.*" + message, "-p", text)
        if shutil.which("slirp4netns"):
            self.refused("slirp4netns has IPv4 alone.* --network pasta", "-p", "[::1]:8080:80",
                         "--network", "slirp4netns")


if __name__ == "__main__":
    bundle.main()
