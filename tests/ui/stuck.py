#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A display server that stops answering does not keep the VM and its process from ending.
   stuck.py HYPATIA GUEST
"""
import os
import signal
import sys
import time

from desktop import Window, check, run, wait_until

hypatia, guest = sys.argv[1:3]


def is_ready(desktop):
    path = desktop.path("log")
    if not os.path.exists(path):
        return False
    with open(path) as file:
        return file.read() == "ready\n"


def test(desktop):
    program = desktop.start(hypatia, "-m", "16", "-kernel", guest, "-name", "stuck", "-serial", "file:log", "-display", "sdl")
    Window(desktop, "stuck [Running]")
    wait_until(lambda: is_ready(desktop), "the guest")
    os.kill(desktop.server.pid, signal.SIGSTOP)
    try:
        time.sleep(1)
        began = time.monotonic()
        program.send_signal(signal.SIGTERM)
        check(program.wait(30) == 0, f"exit code {program.returncode}")
        check(time.monotonic() - began < 20, "it took its time to end")
    finally:
        os.kill(desktop.server.pid, signal.SIGCONT)


run(test)
