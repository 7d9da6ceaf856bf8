# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the gdb remote protocol that sees every byte, and VMs for it to talk to."""
import os
import re
import select
import socket
import subprocess
import tempfile
import time


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def checksum(data):
    return sum(data) & 0xff


def frame(data):
    data = data.encode("latin-1") if isinstance(data, str) else data
    return b"$" + data + b"#%02x" % checksum(data)


# Seconds that an answer may take before the test gives up: on a busy host many.
PATIENCE = 60.0


class Client:
    """One connection. Acknowledges what it receives unless told not to."""

    def __init__(self, address, patience=PATIENCE):
        self.acknowledges = True
        self.buffer = b""
        self.console = ""
        deadline = time.monotonic() + patience
        while True:
            kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
            self.socket = socket.socket(kind, socket.SOCK_STREAM)
            try:
                self.socket.connect(address)
                return
            except OSError:
                self.socket.close()
                check(time.monotonic() < deadline, f"nobody listens on {address}")
                time.sleep(0.01)

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, data):
        self.raw(frame(data))

    def fill(self, seconds):
        """More bytes into the buffer. False: the other side has hung up."""
        ready, _, _ = select.select([self.socket], [], [], max(seconds, 0))
        if not ready:
            raise Failure(f"no answer; so far {self.buffer[:200]!r}")
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.buffer += data
        return bool(data)

    def receive(self, seconds=PATIENCE):
        """The next packet's data; None at the end."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(rb"\$([^#]*)#([0-9a-f]{2})", self.buffer, re.S)
            if match:
                self.buffer = self.buffer[match.end():]
                check(checksum(match.group(1)) == int(match.group(2), 16), f"bad sum: {match.group(0)!r}")
                if self.acknowledges:
                    self.acknowledge()
                return match.group(1).decode("latin-1")
            if not self.fill(deadline - time.monotonic()):
                return None

    def acknowledge(self):
        try:
            self.raw(b"+")
        except ConnectionError:
            pass  # that was its last word

    def wait_byte(self, byte, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while byte not in self.buffer:
            check(self.fill(deadline - time.monotonic()), f"hung up before {byte!r}")

    def command(self, line):
        """A line for the monitor on the other side, until that is done with it."""
        if not self.buffer:
            self.wait_byte(b"(hypatia) ")
        self.buffer = b""
        self.raw(line.encode() + b"\n")
        self.wait_byte(b"\n(hypatia) ")

    def ask(self, data, seconds=PATIENCE):
        """The answer, with what goes to the console put aside."""
        self.send(data)
        return self.answer(seconds)

    def answer(self, seconds=PATIENCE):
        while True:
            data = self.receive(seconds)
            if data and data[0] == "O" and data != "OK":
                self.console += bytes.fromhex(data[1:]).decode()
                continue
            return data

    def expect(self, data, wanted, seconds=PATIENCE):
        answer = self.ask(data, seconds)
        check(answer is not None and re.fullmatch(wanted, answer, re.S),
              f"{data!r} was answered {answer!r}, not {wanted!r}")
        return answer

    def monitor(self, line):
        self.console = ""
        self.expect("qRcmd," + line.encode().hex(), "OK")
        return self.console

    def memory(self, address, length):
        return bytes.fromhex(self.ask(f"m{address:x},{length:x}"))

    def word(self, address):
        return int.from_bytes(self.memory(address, 4), "little")

    def write(self, address, data):
        self.expect(f"M{address:x},{len(data):x}:{data.hex()}", "OK")

    def poke(self, address, value):
        self.write(address, value.to_bytes(4, "little"))

    def description(self):
        xml, offset = "", 0
        while True:
            piece = self.ask(f"qXfer:features:read:target.xml:{offset:x},{1000:x}")
            check(piece and piece[0] in "lm", f"qXfer was answered {piece!r}")
            xml += piece[1:]
            offset += len(piece) - 1
            if piece[0] == "l":
                return xml

    def registers(self):
        """Names and values, by the description and `g`."""
        data, at, values = bytes.fromhex(self.ask("g")), 0, {}
        for name, bits in re.findall(r'<reg name="(\w+)" bitsize="(\d+)"', self.description()):
            size = int(bits) // 8
            values[name] = int.from_bytes(data[at:at + size], "little")
            at += size
        check(at == len(data), f"g has {len(data)} bytes, the description {at}")
        return values

    def number(self, name):
        for found, number in re.findall(r'<reg name="(\w+)".*? regnum="(\d+)"', self.description()):
            if found == name:
                return int(number)
        raise Failure(f"there is no register {name}")

    def set_register(self, name, value, wanted="OK"):
        size = 4
        return self.expect(f"P{self.number(name):x}={value.to_bytes(size, 'little').hex()}", wanted)


class Machine:
    """A process of the emulator, with a debugger's port."""

    def __init__(self, hypatia, guest, *options, accel=None, port=None):
        self.directory = tempfile.TemporaryDirectory(prefix="hypatia-gdb-")
        self.address = port and ("127.0.0.1", port) or os.path.join(self.directory.name, "gdb")
        spec = f"tcp::{port}" if port else f"unix:{self.address}"
        self.errors = open(os.path.join(self.directory.name, "errors"), "w+")
        command = [hypatia, "-bios", os.path.join(guest, "guest.rom"), "-display", "none", "-nodefaults",
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-gdb", spec, "-snapshots",
                   os.path.join(self.directory.name, "snapshots"), *options]
        if accel:
            command += ["-accel", accel]
        self.process = subprocess.Popen(command, stderr=self.errors, stdin=subprocess.DEVNULL)

    def connect(self, patience=PATIENCE):
        return Client(self.address, patience)

    def code(self, seconds=PATIENCE):
        """The exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("the process did not end") from None

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        self.directory.cleanup()


def symbols(guest):
    """Addresses of the guest's symbols."""
    lines = subprocess.run(["nm", os.path.join(guest, "guest.elf")], capture_output=True, text=True, check=True)
    return {name: int(address, 16) for address, _, name in (line.split() for line in lines.stdout.splitlines())}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
