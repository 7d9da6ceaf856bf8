#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A window is nothing to the guest: under -icount a run with one ends as the run without, instruction by instruction.
   icount.py HYPATIA GUEST
"""
import json
import sys

from desktop import Window, check, run

hypatia, guest = sys.argv[1:3]
INSNS = 40000000


def outcome(desktop, name, display):
    program = desktop.start(hypatia, "-m", "16", "-kernel", guest, "-name", name, "-serial", f"file:{name}.log",
                            "-display", display, "-icount", "shift=3,sleep=off", "-seed", "1", "-limit", f"insns={INSNS}",
                            "-result", name + ".json")
    if display.startswith("sdl"):
        Window(desktop, name)
    check(program.wait(120) == 8, f"{display}: exit code {program.returncode}")
    with open(desktop.path(name + ".json")) as file:
        said = json.load(file)
    with open(desktop.path(name + ".log")) as file:
        serial = file.read()
    return {key: said[key] for key in ("outcome", "instructions", "guest_seconds", "memory_hash")}, serial


def test(desktop):
    without, serial = outcome(desktop, "without", "none")
    check(serial == "ready\n", f"the guest said {serial!r}")
    for display in ("sdl", "sdl,scale=2"):
        found = outcome(desktop, "with", display)
        check(found == (without, serial), f"{display}: {found}, without a window {without}")


run(test)
