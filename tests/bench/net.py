#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of tests/bench/net: boots guests, types at their shells, serves them on the loopback, takes the times.

    net.py nat|wire PARAMETERS -- EMULATOR ARGUMENT...

`nat`: one guest on the user-mode network. `wire`: two guests, joined by a stream socket; @WIRE@, @MAC@ in the arguments
stand for each one's end of it and its address. Prints a line "figure TEST VALUE CPU" for each test: see tests/bench/README.md for the
units. Times are the host's, CPU is what the emulator's processes used. Exit status: 0, 1 something did not work.
"""
import argparse
import os
import re
import socket
import subprocess
import sys
import threading
import time

MIB = 1 << 20
TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    pass


class Guest:
    """An emulator whose guest has a shell on the serial port, which is the emulator's standard input and output."""

    def __init__(self, command, limit, log):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.log = log
        self.deadline = time.monotonic() + limit
        self.text = ""
        self.count = 0
        self.arrived = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            self.log.write(data)
            self.log.flush()
            with self.arrived:
                self.text += data.decode("latin-1") if data else "\0"
                self.arrived.notify()
            if not data:
                return

    def wait(self, pattern):
        """The match of the pattern in what the guest printed; forgets everything up to its end."""
        with self.arrived:
            while True:
                match = re.search(pattern, self.text)
                if match:
                    self.text = self.text[match.end():]
                    return match
                left = self.deadline - time.monotonic()
                if "\0" in self.text or left <= 0:
                    raise Failure(f"no '{pattern}' from the guest: " + ("it ended" if left > 0 else "time is up"))
                self.arrived.wait(left)

    def type(self, line):
        """Type a line; end() waits until the guest has carried it out."""
        self.count += 1
        # What is echoed must not look like what is printed.
        self.process.stdin.write(f"{line}; echo en''d {self.count}.\n".encode())
        self.process.stdin.flush()

    def end(self):
        return self.wait(rf"([\s\S]*)\bend {self.count}\.").group(1)

    def run(self, line):
        self.type(line)
        return self.end()

    def cpu(self):
        """Seconds of processor time, of all threads."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def boot(self):
        self.wait("Hypatia guest ready")
        self.wait("# ")
        self.run("insmod /lib/modules/e1000.ko")

    def power_off(self):
        self.process.stdin.write(b"poweroff -f\n")
        self.process.stdin.flush()
        try:
            self.process.wait(max(1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure("the guest did not switch off") from None


class Meter:
    """Host time and the emulators' CPU time from its making to stop()."""

    def __init__(self, guests):
        self.guests = guests
        self.cpu = self.total()
        self.start = time.monotonic()

    def total(self):
        return sum(guest.cpu() for guest in self.guests)

    def stop(self):
        self.seconds = time.monotonic() - self.start
        self.cpu = self.total() - self.cpu

    def rate(self, name, mib):
        print(f"figure {name} {mib / self.seconds:.3f} {self.cpu / mib * 1e3:.3f}", flush=True)

    def each(self, name, count):
        print(f"figure {name} {self.seconds / count * 1e6:.3f} {self.cpu / count * 1e6:.3f}", flush=True)


def listen(limit):
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(limit)
    return server, server.getsockname()[1]


def accept(server, limit):
    connection = server.accept()[0]
    connection.settimeout(limit)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection, count):
    """So many bytes, which must come."""
    left = count
    while left:
        data = connection.recv(min(left, MIB))
        if not data:
            raise Failure("the guest ended the connection")
        left -= len(data)


def nat_down(guest, options):
    """A stream to the guest; it has got all of it when it ends the connection."""
    server, port = listen(options.limit)
    guest.type(f"nc 10.0.2.2 {port} -e dd of=/dev/null bs=64k")
    connection = accept(server, options.limit)
    meter = Meter([guest])
    block = bytes(range(256)) * 256
    for _ in range(options.mib * MIB // len(block)):
        connection.sendall(block)
    connection.shutdown(socket.SHUT_WR)
    if connection.recv(1):
        raise Failure("the guest sent something")
    meter.stop()
    guest.end()
    meter.rate("down", options.mib)


def nat_up(guest, options):
    """A stream from the guest."""
    server, port = listen(options.limit)
    guest.type(f"nc 10.0.2.2 {port} -e dd if=/dev/zero bs=64k count={options.mib * 16}")
    connection = accept(server, options.limit)
    meter = Meter([guest])
    receive(connection, options.mib * MIB)
    meter.stop()
    connection.close()
    guest.end()
    meter.rate("up", options.mib)


def nat_echo(guest, options, name="echo", trips=None):
    """The guest sends back every 64 bytes."""
    trips = trips or options.trips
    server, port = listen(options.limit)
    guest.type(f"nc 10.0.2.2 {port} -e cat")
    connection = accept(server, options.limit)
    message = bytes(64)
    for turn in range(trips + 100):
        if turn == 100:
            meter = Meter([guest])
        connection.sendall(message)
        receive(connection, len(message))
    meter.stop()
    connection.close()
    guest.end()
    meter.each(name, trips)


def nat_busy(guest, options):
    """The same beside a process that computes."""
    guest.run("{ while :; do :; done; } & true")
    nat_echo(guest, options, "busy", max(1, options.trips // 4))
    guest.run("kill $!")


def nat_get(guest, options):
    """Small files over HTTP, one connection each, by wget: one process each."""
    server, port = listen(options.limit)
    count = max(1, options.trips // 20)

    def serve():
        for _ in range(count + 1):
            connection = accept(server, options.limit)
            text = b""
            while b"\r\n\r\n" not in text:
                text += connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    guest.run(f"get() {{ wget -q -O /dev/null http://10.0.2.2:{port}/; }}; get")
    guest.type(f"i={count}; while [ $i -gt 0 ]; do get || break; i=$((i - 1)); done; echo left $i.")
    meter = Meter([guest])
    if "left 0." not in guest.end():
        raise Failure("the guest did not get its files")
    meter.stop()
    meter.each("get", count)


def wire_stream(guests, options):
    """A stream from the second guest to the first."""
    first, second = guests
    first.type("nc -l -p 7000 -e dd of=/dev/null bs=64k")
    second.type(f"sleep 1; echo go; nc 192.168.7.1 7000 -e dd if=/dev/zero bs=64k count={options.mib * 16}")
    second.wait("\ngo")
    meter = Meter(guests)
    first.end()
    meter.stop()
    second.end()
    meter.rate("stream", options.mib)


def wire_ping(guests, options):
    """Echo requests, the next as soon as one is answered. The time is the guest's."""
    second = guests[1]
    meter = Meter(guests)
    text = second.run(f"ping -A -q -c {options.trips} 192.168.7.1")
    meter.stop()
    if " 0% packet loss" not in text:
        raise Failure("packets were lost: " + text)
    meter.each("ping", options.trips)


def nat(command, options, log):
    guest = Guest(command, options.limit, log)
    try:
        guest.boot()
        guest.run("ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up")
        guest.run("until ping -c 1 -W 1 10.0.2.2 >/dev/null 2>&1; do sleep 1; done")
        for test in nat_down, nat_up, nat_echo, nat_busy, nat_get:
            test(guest, options)
        guest.power_off()
    finally:
        guest.process.kill()


def wire(command, options, log):
    ends = ("server=on", "server=off")
    path = os.path.join(options.folder, "wire")
    guests = []
    try:
        for number, end in enumerate(ends, 1):
            place = {"@WIRE@": f"{end},addr.type=unix,addr.path={path}", "@MAC@": f"52:54:00:00:00:0{number}"}
            words = [re.sub("@[A-Z]+@", lambda match: place[match.group()], word) for word in command]
            guests.append(Guest(words, options.limit, log))
            guests[-1].boot()
            guests[-1].run(f"ip addr add 192.168.7.{number}/24 dev eth0; ip link set eth0 up")
        guests[1].run("until ping -c 1 -W 1 192.168.7.1 >/dev/null 2>&1; do sleep 1; done")
        for test in wire_stream, wire_ping:
            test(guests, options)
        for guest in guests:
            guest.power_off()
    finally:
        for guest in guests:
            guest.process.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["nat", "wire"])
    parser.add_argument("--mib", type=int, required=True)
    parser.add_argument("--trips", type=int, required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with open(options.log, "wb") as log:
        {"nat": nat, "wire": wire}[options.part](options.command, options, log)


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        sys.exit(f"net: {failure}")
