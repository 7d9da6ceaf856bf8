#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three VMs in three windows and the overview, driven by xdotool under Xvfb: what arrives in which guest, what chords do, what
can be seen.
   windows.py HYPATIA RELATIVE ABSOLUTE [SANDBOX]     RELATIVE, ABSOLUTE: input.asm's two guests
"""
import glob
import os
import re
import socket
import sys
import time

from desktop import PATIENCE, Window, check, read_png, run, wait_until

hypatia, relative, absolute = sys.argv[1:4]
sandbox = sys.argv[4] if len(sys.argv) > 4 else "off"
NAMES = ("one", "two", "three")


def lab(desktop):
    text = f"[lab]\nsandbox = {sandbox}\nmonitor = unix:{desktop.path('monitor')},server,nowait\n"
    for name in NAMES:
        guest = absolute if name == "three" else relative
        text += f'[vm "{name}"]\nm = 16\nkernel = {guest}\ndisplay = sdl,scale=1\nserial = file:{name}.log\n'
    with open(desktop.path("lab.ini"), "w") as file:
        file.write(text)


def monitor(desktop, name, line):
    """What a monitor answers to a line, without echo and prompts."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(desktop.path(name))
        said = b""
        while not said.endswith(b") "):
            said += client.recv(4096)
        client.sendall(line.encode() + b"\n")
        said = b""
        while not said.endswith(b") ") or b"\n" not in said:
            said += client.recv(4096)
    return [text.rstrip("\r") for text in said.decode().split("\n")[1:-1]]


class Guest:
    def __init__(self, desktop, name):
        self.path, self.seen = desktop.path(name + ".log"), 0
        self.name = name
        self.expect(r"ready\n")

    def read(self):
        if not os.path.exists(self.path):
            return ""
        with open(self.path) as file:
            return file.read()[self.seen:]

    def expect(self, pattern):
        """Forget everything up to the pattern; returns it."""
        found = wait_until(lambda: re.search(pattern, self.read()), f"{self.name}: {pattern!r}, has {self.read()!r}")
        self.seen += found.end()
        return found.group()

    def expect_keys(self, codes):
        self.expect("".join(f"K {code:02x}\n" for code in codes))

    def expect_nothing(self):
        check(self.read() == "", f"{self.name} has heard {self.read()!r}")

    def forget(self):
        time.sleep(0.3)
        self.seen += len(self.read())


def test(desktop):
    lab(desktop)
    desktop.xdotool("mousemove", 1990, 1490)
    program = desktop.start(hypatia, "run", "lab.ini")
    windows = {name: Window(desktop, name + " [Running]") for name in NAMES}
    overview = Window(desktop, "Hypatia - all virtual machines")
    guests = {name: Guest(desktop, name) for name in NAMES}
    for window, place in zip(list(windows.values()) + [overview], ((50, 50), (850, 50), (50, 600), (850, 600))):
        window.move(*place)
    one, two, three = (windows[name] for name in NAMES)
    for guest in guests.values():
        guest.forget()
    for part in (keys, pointers, chords, text, dialogs, look, by_monitor, alone):
        part(desktop, windows, guests)
    show_overview(desktop, windows, overview)
    one.focus()
    one.chord("q")
    wait_until(lambda: one.title().startswith("one [Stopped: ended by the user]"), "the first VM stops")
    for window in (two, three):
        window.focus()
        window.chord("q")
    check(program.wait(30) == 0, f"exit code {program.returncode}")


def keys(desktop, windows, guests):
    for name, key, code in (("two", "a", 0x1e), ("one", "F5", 0x3f), ("three", "Return", 0x1c)):
        windows[name].focus()
        windows[name].key(key)
        guests[name].expect_keys((code, code | 0x80))
        for guest in guests.values():
            guest.expect_nothing()
    windows["one"].focus()
    desktop.xdotool("keydown", "Shift_L")
    guests["one"].expect_keys((0x2a,))
    windows["two"].focus()
    guests["one"].expect_keys((0xaa,))
    desktop.xdotool("keyup", "Shift_L")
    guests["two"].expect_keys((0x2a, 0xaa))  # it was down when this window got the keyboard


def pointers(desktop, windows, guests):
    one = windows["one"]
    one.focus()
    desktop.xdotool("mousemove", 200, 200, "mousemove", 230, 220)
    guests["one"].expect_nothing()
    desktop.xdotool("click", 1)
    time.sleep(0.3)
    desktop.xdotool("mousemove_relative", 8, 3)
    moved = guests["one"].expect(r"M (08|28)\nM ..\nM ..\n")
    check(moved.split("\n")[1] == "M 08", f"moved by {moved!r}")
    desktop.xdotool("keydown", "Control_L", "keydown", "Alt_L", "key", "g", "keyup", "Alt_L", "keyup", "Control_L")
    guests["one"].expect_keys((0x1d, 0x9d))
    guests["one"].forget()
    desktop.xdotool("mousemove", 300, 250)
    time.sleep(0.3)
    guests["one"].expect_nothing()
    guests["two"].expect_nothing()
    three = windows["three"]
    three.focus()
    desktop.xdotool("mousemove", "--window", three.id, 300, 200, "mousemove", "--window", three.id, 719, 399)
    guests["three"].expect("P 00 ffff ffff\n")
    desktop.xdotool("mousemove", "--window", three.id, 0, 399)
    guests["three"].expect("P 00 0000 ffff\n")
    desktop.xdotool("click", 1)
    guests["three"].expect("P 20 0000 ffff\n")
    guests["three"].expect("P 00 0000 ffff\n")
    guests["one"].expect_nothing()
    desktop.xdotool("mousemove", 1990, 1490)
    guests["three"].forget()


def chords(desktop, windows, guests):
    one = windows["one"]
    one.focus()
    one.chord("p")
    wait_until(lambda: one.title() == "one [Paused] - Ctrl+Alt+G releases the mouse", "paused")
    one.key("b")
    one.chord("p")
    wait_until(lambda: one.title() == "one [Running] - Ctrl+Alt+G releases the mouse", "running")
    one.chord("Delete")
    guests["one"].expect_keys((0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d))
    one.chord("f")
    wait_until(lambda: one.geometry() == (0, 0, 2000, 1500), f"full screen; it is {one.geometry()}")
    one.chord("f")
    wait_until(lambda: one.geometry()[2:] == (720, 422), f"a window again; it is {one.geometry()}")
    one.chord("r")
    guests["one"].expect("ready\n")
    guests["one"].expect_nothing()


def text(desktop, windows, guests):
    two = windows["two"]
    two.focus()
    two.chord("c")
    copied = wait_until(desktop.clipboard, "text on the clipboard").split("\n")
    check(copied[0][32:] == " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNO", f"copied {copied[0]!r}")
    check(copied[1][48:65] == "\u20a7\u0192\u00e1\u00ed\u00f3\u00fa\u00f1\u00d1\u00aa\u00ba\u00bf\u2310\u00ac\u00bd\u00bc\u00a1\u00ab"[:17]
          or "\u00c7" in copied[1], f"copied {copied[1]!r}")
    desktop.clipboard("aB\n")
    two.chord("v")
    guests["two"].expect_keys((0x1e, 0x9e, 0x2a, 0x30, 0xb0, 0xaa, 0x1c, 0x9c))
    guests["one"].expect_nothing()


def dialogs(desktop, windows, guests):
    image = desktop.path("disk.img")
    with open(image, "wb") as file:
        file.write(bytes(1474560))
    one = windows["one"]
    one.focus()
    one.chord("m")
    time.sleep(0.5)
    one.key("Return")
    time.sleep(0.3)
    desktop.xdotool("type", "--delay", 10, image)
    one.key("Return")
    time.sleep(0.5)
    one.chord("m")
    time.sleep(0.5)
    one.key("Return", "Return")  # the floppy drive: eject
    time.sleep(0.3)
    guests["one"].expect_nothing()


def look(desktop, windows, guests):
    two = windows["two"]
    two.focus()
    two.chord("x")
    files = wait_until(lambda: glob.glob(desktop.path("two-*.png")), "a screenshot")
    time.sleep(0.3)
    rows = read_png(files[0])
    check(len(rows) == 400 and len(rows[0]) == 3 * 720, "the screenshot's size")
    check(two.pixels()[:400] == rows, "the window does not show what the screenshot has")
    check(rows[0] != rows[8], "there is nothing on the screen")


def by_monitor(desktop, windows, guests):
    one, two = windows["one"], windows["two"]

    def say(line, answer=()):
        said = monitor(desktop, "monitor", line)
        check(said == list(answer), f"{line}: {said}")

    def is_full(window):
        return window.geometry() == (0, 0, 2000, 1500)

    actions = {line.split()[0] for line in monitor(desktop, "monitor", "window")}
    check({"full-screen", "grab", "copy", "paste", "integer", "original-size", "media", "overview",
           "keys"} < actions, f"actions: {actions}")
    say("window full-screen one")
    wait_until(lambda: is_full(one), f"full screen; it is {one.geometry()}")
    check(not is_full(two), "the other one was not meant")
    say("vm one window original-size")
    wait_until(lambda: one.geometry()[2:] == (720, 422), f"its own size; it is {one.geometry()}")
    two.focus()
    for guest in guests.values():
        guest.forget()
    desktop.clipboard("b")
    say("window paste two")
    guests["two"].expect_keys((0x30, 0xb0))
    say("window copy two")
    wait_until(lambda: "!\"#$%&" in desktop.clipboard(), "the text screen on the clipboard")
    guests["one"].expect_nothing()
    say("window fly two", ["window: there is no action 'fly' (window lists them)"])
    say("window keys four", ["window: there is no VM 'four'"])


def alone(desktop, windows, guests):
    """A VM's own monitor, in a process of its own."""
    program = desktop.start(hypatia, "-name", "alone", "-m", "16", "-kernel", relative, "-display", "sdl,scale=1",
                            "-monitor", f"unix:{desktop.path('own')},server,nowait", "-serial", "file:alone.log",
                            "-sandbox", sandbox)
    window = Window(desktop, "alone [Running]")
    Guest(desktop, "alone")
    check(monitor(desktop, "own", "window full-screen") == [], "full screen")
    wait_until(lambda: window.geometry() == (0, 0, 2000, 1500), f"full screen; it is {window.geometry()}")
    check(monitor(desktop, "own", "window power-off") == [], "power off")
    check(program.wait(30) == 0, f"exit code {program.returncode}")


def show_overview(desktop, windows, overview):
    one = windows["one"]
    one.focus()
    one.chord("o")
    wait_until(overview.has_focus, "the overview in front")
    overview.key("Right", "Return")
    wait_until(windows["two"].has_focus, "the second VM's window in front")
    overview.focus()
    overview.key("Home", "Return")
    wait_until(one.has_focus, "the first VM's window in front")
    overview.focus()
    for _ in range(2):
        desktop.xdotool("mousemove", "--window", overview.id, 610, 60, "click", 1)
        time.sleep(0.2)
    wait_until(windows["three"].has_focus, "the third VM's window in front")


run(test)
