# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests under Xvfb share: the display server, its pixels, xdotool, and PNG files. Only Python's own library."""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

SKIPPED = 77
RIGHT_CTRL = 105  # as a key code of evdev: by its name xdotool presses the left one with it
PATIENCE = 60


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def wait_until(what, text, seconds=PATIENCE):
    """what() until it is true; returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = what()
        if result:
            return result
        time.sleep(0.05)
    raise Failed(f"within {seconds} s: {text}")


class Desktop:
    """An Xvfb with a frame buffer that can be read, and a window manager (which full screen needs)."""

    def __init__(self, width=2000, height=1500, options=()):
        for tool in ("Xvfb", "xdotool", "xclip", "xprop", "openbox"):
            if not shutil.which(tool):
                print(f"skipped: {tool} is not installed")
                sys.exit(SKIPPED)
        self.folder = tempfile.mkdtemp(prefix="hypatia-ui-")
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp",
             "-fbdir", self.folder, *options], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as file:
            number = file.readline().strip()
        check(number, "Xvfb does not start")
        self.environment = dict(os.environ, DISPLAY=":" + number)
        for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            self.environment.pop(name, None)
        self.programs = []
        self.start("openbox", "--sm-disable")
        wait_until(self.is_managed, "a window manager")
        time.sleep(0.3)

    def is_managed(self):
        """The window manager has begun to; what is mapped while it starts may never appear."""
        asked = subprocess.run(["xprop", "-root", "_NET_CLIENT_LIST"], env=self.environment,
                               capture_output=True, text=True).stdout
        return "(WINDOW)" in asked

    def close(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.wait()
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *command, **options):
        error = open(self.path("stderr"), "ab")
        program = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=error, stderr=error, **options)
        error.close()
        self.programs.append(program)
        return program

    def xdotool(self, *words):
        done = subprocess.run(["xdotool", *map(str, words)], env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def clipboard(self, text=None):
        """What the clipboard has; or put something in."""
        if text is None:
            return subprocess.run(["xclip", "-o", "-selection", "clipboard"], env=self.environment, capture_output=True,
                                  text=True).stdout
        return subprocess.run(["xclip", "-i", "-selection", "clipboard"], env=self.environment, input=text, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def pixels(self, x, y, width, height):
        """A part of the screen, as rows of bytes red, green, blue. Format: XWD version 7."""
        with open(self.path("Xvfb_screen0"), "rb") as file:
            data = file.read()
        header = struct.unpack(">25I", data[:100])
        begin, stride = header[0] + 12 * header[19], header[12]
        rows = []
        for row in range(y, y + height):
            line = data[begin + row * stride + 4 * x:begin + row * stride + 4 * (x + width)]
            rgb = bytearray(3 * width)
            rgb[0::3], rgb[1::3], rgb[2::3] = line[2::4], line[1::4], line[0::4]
            rows.append(bytes(rgb))
        return rows

    def save(self, path, x, y, width, height):
        """For people to look at."""
        rows = b"".join(b"\0" + row for row in self.pixels(x, y, width, height))
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
            for name, body in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
                               (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")):
                file.write(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))


class Window:
    """A window, by the beginning of its title."""

    def __init__(self, desktop, title):
        self.desktop = desktop
        self.id = wait_until(lambda: self.find(title), f"a window '{title}'")

    def find(self, title):
        for window in self.desktop.xdotool("search", "--onlyvisible", "--class", "hypatia").split():
            if self.desktop.xdotool("getwindowname", window).startswith(title):
                return window
        return None

    def do(self, *words):
        return self.desktop.xdotool(*words)

    def title(self):
        return self.do("getwindowname", self.id)

    def geometry(self):
        """x, y, width, height on the screen, without its frame"""
        told = subprocess.run(["xwininfo", "-id", self.id], env=self.desktop.environment, capture_output=True, text=True).stdout
        return tuple(int(re.search(name + r":\s*(-?\d+)", told).group(1))
                     for name in ("Absolute upper-left X", "Absolute upper-left Y", "Width", "Height"))

    def move(self, x, y):
        self.do("windowmove", self.id, x, y)
        time.sleep(0.2)

    def focus(self):
        self.do("windowactivate", "--sync", self.id)
        wait_until(self.has_focus, f"focus for {self.title()}")
        time.sleep(0.2)

    def has_focus(self):
        return self.do("getwindowfocus") == self.id

    def key(self, *keys):
        self.do("key", "--delay", 20, *keys)

    def chord(self, key):
        self.do("keydown", RIGHT_CTRL, "key", "--delay", 20, key, "keyup", RIGHT_CTRL)

    def pixels(self):
        return self.desktop.pixels(*self.geometry())

    def save(self, path):
        self.desktop.save(path, *self.geometry())


def read_png(path):
    """Rows of bytes red, green, blue; of a PNG with 8 bits a channel. PNG specification, 'Filter algorithms'."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed, width = 8, b"", 0
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if name == b"IHDR":
            width = struct.unpack(">I", body[:4])[0]
        elif name == b"IDAT":
            packed += body
        at += 12 + length
    raw, stride, rows, above = zlib.decompress(packed), 3 * width, [], bytes(3 * width)
    for begin in range(0, len(raw), stride + 1):
        kind, line = raw[begin], bytearray(raw[begin + 1:begin + 1 + stride])
        for i in range(stride):
            a = line[i - 3] if i >= 3 else 0
            b, c = above[i], above[i - 3] if i >= 3 else 0
            if kind == 1:
                line[i] = (line[i] + a) & 255
            elif kind == 2:
                line[i] = (line[i] + b) & 255
            elif kind == 3:
                line[i] = (line[i] + (a + b) // 2) & 255
            elif kind == 4:
                p = a + b - c
                nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
                line[i] = (line[i] + nearest) & 255
        above = bytes(line)
        rows.append(above)
    return rows


def scaled(rows, percent):
    """The picture at another size: each pixel is the average of what it covers."""
    def stretch(values):
        count = len(values) * percent // 100
        result = []
        for d in range(count):
            begin, end = d * len(values), (d + 1) * len(values)  # in 1/count source elements
            first, last = begin // count, (end - 1) // count
            total = [0] * len(values[0])
            for s in range(first, last + 1):
                part = min(end, (s + 1) * count) - max(begin, s * count)
                total = [t + part * v for t, v in zip(total, values[s])]
            result.append([t / (end - begin) for t in total])
        return result

    wide = [[channel for pixel in stretch([row[i:i + 3] for i in range(0, len(row), 3)]) for channel in pixel]
            for row in rows]
    return stretch(wide)


def run(test):
    """Run test(desktop, ...) and end the program by how it went."""
    desktop = Desktop(*getattr(test, "screen", ()))
    try:
        test(desktop)
        print("passed")
        code = 0
    except Failed as failure:
        traceback.print_exc()
        print(f"FAILED: {failure}")
        for window in desktop.xdotool("search", "--name", ".").split():
            print(f"window {window}: {desktop.xdotool('getwindowname', window)}")
        with open(desktop.path("stderr"), "a+b") as file:
            file.seek(0)
            print(file.read().decode(errors="replace"))
        kept = os.environ.get("UI_KEEP")
        if kept:
            desktop.save(kept, 0, 0, 2000, 1500)
        code = 1
    finally:
        desktop.close()
    sys.exit(code)
