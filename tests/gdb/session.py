#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""
session.py HYPATIA GUEST_DIRECTORY ACCEL DOCUMENT

The document's sessions, as they are printed: each block marked ```gdb-session is a run of Debian's gdb on a machine of its own,
lines with "(gdb) " are what is typed, the lines below what gdb must say to it; "..." stands for anything.
"""
import os
import re
import subprocess
import sys
import tempfile

HYPATIA, GUEST, ACCEL, DOCUMENT = sys.argv[1:5]
PROMPT, MARK = "(gdb) ", "@@@ "


def sessions(text):
    """For each block: pairs of a command and what is to be said."""
    for block in re.findall(r"^```gdb-session\n(.*?)^```$", text, re.M | re.S):
        pairs = []
        for line in block.splitlines():
            if line.startswith(PROMPT):
                pairs.append((line[len(PROMPT):], []))
            elif pairs:
                pairs[-1][1].append(line)
        yield pairs


def matches(wanted, said):
    """Are the lines what was wanted, whatever the "..." are and however blanks are set?"""
    def squeeze(lines):
        return " ".join(" ".join(lines).split())
    pattern = ".*".join(re.escape(part.strip()) for part in squeeze(wanted).split("..."))
    return re.fullmatch(r"\s*" + pattern.replace(r"\ ", r"\s*") + r"\s*", squeeze(said), re.S)


def run(pairs, directory):
    port = os.path.join(directory, "gdb.sock")
    script = os.path.join(directory, "script")
    with open(script, "w") as file:
        file.write("set pagination off\nset confirm off\nset width 0\nset style enabled off\n")
        for number, (command, _) in enumerate(pairs):
            command = command.replace("target remote :1234", f"target remote {port}")
            file.write(f"echo \\n{MARK}{number}\\n\n{command}\n")
        file.write(f"echo \\n{MARK}{len(pairs)}\\n\n")
    machine = subprocess.Popen(
        [HYPATIA, "-S", "-gdb", f"unix:{port}", "-bios", os.path.join(GUEST, "guest.rom"), "-display", "none",
         "-nodefaults", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-accel", ACCEL], stdin=subprocess.DEVNULL)
    try:
        result = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", script, os.path.join(GUEST, "guest.elf")],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=120)
        try:
            return result.stdout, machine.wait(60)
        except subprocess.TimeoutExpired:
            return result.stdout, None
    finally:
        machine.kill()
        machine.wait()


def judge(pairs, output):
    """How many commands had another answer than the document's."""
    wrong = 0
    parts = re.split(r"\n?" + re.escape(MARK) + r"\d+\n", output)[1:]
    if len(parts) != len(pairs) + 1:
        print(f"FAILED: gdb stopped at command {len(parts)}:\n{output}")
        return 1
    for (command, wanted), said in zip(pairs, parts):
        said = [line for line in said.splitlines() if line.strip()]
        if not matches(wanted, said):
            wrong += 1
            print(f"FAILED: (gdb) {command}\n  wanted: {wanted}\n  said:   {said}")
    return wrong


def main():
    with open(DOCUMENT) as file:
        found = list(sessions(file.read()))
    wrong = 0 if found else 1
    for number, pairs in enumerate(found):
        with tempfile.TemporaryDirectory(prefix="hypatia-gdb-") as directory:
            output, code = run(pairs, directory)
        wrong += judge(pairs, output)
        print(f"session {number + 1}: {len(pairs)} commands, exit code {code}")
        if code != (85 if pairs[-1][0] == "detach" else 0):
            wrong += 1
            print(f"FAILED: exit code after {pairs[-1][0]}")
    print("FAILED" if wrong else "passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
