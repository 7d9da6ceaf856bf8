#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows at 1x, 1.5x and 2x under Xvfb: the pixels on the screen are the guest's screenshot at that size.
   scale.py HYPATIA GUEST FOLDER     FOLDER: where pictures of the windows go, for people to look at
"""
import glob
import os
import sys
import time

from desktop import Window, check, read_png, run, scaled, wait_until

hypatia, guest, folder = sys.argv[1:4]


def strip_height(percent):
    return 16 * percent // 100 + 2 * (3 * percent // 100)


def look(desktop, percent):
    """A run with its screenshot and what was on the screen; they must agree."""
    name = f"scale{percent}"
    program = desktop.start(hypatia, "-m", "16", "-kernel", guest, "-name", name, "-serial", "null", "-display",
                            f"sdl,scale={percent / 100}")
    window = Window(desktop, name + " [Running]")
    window.move(40, 40)
    window.focus()
    expected = (720 * percent // 100, 400 * percent // 100 + strip_height(percent))
    wait_until(lambda: window.geometry()[2:] == expected, f"{percent}%: a window of {expected}, it is {window.geometry()}")
    time.sleep(3)
    window.chord("x")
    files = wait_until(lambda: glob.glob(desktop.path(name + "-*.png")), "a screenshot")
    time.sleep(1)
    rows, shown = read_png(files[0]), window.pixels()
    window.save(os.path.join(folder, name + ".png"))
    wanted = scaled(rows, percent)
    check(len(wanted) == 400 * percent // 100, "the screenshot's size")
    for y, row in enumerate(wanted):
        wrong = [x for x, value in enumerate(row) if abs(value - shown[y][x]) > 2]
        check(not wrong, f"{percent}%: row {y} differs at byte {wrong[:1]}")
    window.chord("q")
    check(program.wait(30) == 0, f"exit code {program.returncode}")


def test(desktop):
    os.makedirs(folder, exist_ok=True)
    desktop.xdotool("mousemove", 1990, 1490)
    for percent in (100, 150, 200):
        look(desktop, percent)


run(test)
