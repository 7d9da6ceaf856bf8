#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""
linux.py HYPATIA CACHE ACCEL

Debian's gdb on Debian's kernel: break before it is loaded, back trace, control registers, a watchpoint, memory searched and
written, registers, the monitor, detach; afterwards the guest runs on, and its first line shows what was written. Debian has
no small package with the kernel's symbols, so the kernel itself is asked for them (/proc/kallsyms: functions only), and an ELF
file of symbols is made from the answer.
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HYPATIA, CACHE, ACCEL = sys.argv[1:4]
WANTED = ("start_kernel", "kernel_init", "rest_init", "do_one_initcall", "rcu_init", "vfs_caches_init", "_stext", "_etext")


def failed(text):
    print(f"FAILED: {text}")
    sys.exit(1)


def command(*options, append=""):
    return [HYPATIA, "-m", "256", "-kernel", os.path.join(CACHE, "linux-686", "vmlinuz"), "-initrd",
            os.path.join(CACHE, "initramfs.gz"), "-append", "console=ttyS0 nokaslr " + append, "-display", "none",
            "-monitor", "none", "-serial", "stdio", "-accel", ACCEL, *options]


def ask_kernel():
    """The kernel's own list of its symbols."""
    names = "|".join(WANTED)
    run = f"grep%20-E%20%27%20({names})$%27%20/proc/kallsyms"
    output = subprocess.run(command(append="quiet hypatia.run=" + run), stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, errors="replace", timeout=600).stdout
    found = {name: (int(address, 16), kind) for address, kind, name in
             re.findall(r"^([0-9a-f]{8}) (\w) (\w+)\r?$", output, re.M)}
    for name in WANTED:
        if name not in found:
            failed(f"{name} is not in /proc/kallsyms:\n{output[-2000:]}")
    return found


def write_symbols(path, symbols):
    """An ELF file with a symbol table and nothing else."""
    names, table = b"\0", struct.pack("<IIIBBH", 0, 0, 0, 0, 0, 0)
    for name, (address, kind) in sorted(symbols.items()):
        info = 1 << 4 | (2 if kind in "tT" else 1)  # global; function or object
        table += struct.pack("<IIIBBH", len(names), address, 4, info, 0, 1)
        names += name.encode() + b"\0"
    shnames = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    at = 52
    sections = struct.pack("<10I", *[0] * 10)
    text = symbols["_stext"][0] if "_stext" in symbols else 0xc1000000
    sections += struct.pack("<10I", 1, 8, 6, text, at, 0x2000000, 0, 0, 16, 0)  # NOBITS: contents are the guest's
    for name, kind, data, link, info, size in ((7, 2, table, 3, 1, 16), (15, 3, names, 0, 0, 0),
                                               (23, 3, shnames, 0, 0, 0)):
        sections += struct.pack("<10I", name, kind, 0, 0, at, len(data), link, info, 1, size)
        at += len(data)
    header = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0, 0, at, 0, 52, 0, 0, 40, 5, 4)
    with open(path, "wb") as file:
        file.write(header + table + names + shnames + sections)


SESSION = """
set pagination off
set confirm off
target remote {port}
printf "at reset %x\\n", $eip
break *start_kernel
continue
printf "at start_kernel %d\\n", $eip == (unsigned)&start_kernel
printf "cr0 %x cr3 %x\\n", (unsigned)$cr0, (unsigned)$cr3
info registers cr0
bt
find /b 0xc1000000, 0xc1ffffff, 'L', 'i', 'n', 'u', 'x', ' ', 'v', 'e', 'r', 's', 'i', 'o', 'n', ' ', '6', '.'
x/s $_
set {{char}}($_ + 3) = 'o'
watch -l *(unsigned *)($esp - 64)
continue
delete
tbreak *rest_init
continue
printf "at rest_init %d\\n", $eip == (unsigned)&rest_init
bt 3
stepi
break *do_one_initcall
continue
printf "at do_one_initcall %d\\n", $eip == (unsigned)&do_one_initcall
printf "an init call in the kernel's text: %d\\n", $eax > 0xc1000000
delete
set $ebx = $ebx + 1
set $ebx = $ebx - 1
monitor info registers
detach
"""


def debug(symbols):
    directory = tempfile.mkdtemp(prefix="hypatia-gdb-")
    try:
        port, elf, script = (os.path.join(directory, name) for name in ("port", "symbols", "script"))
        write_symbols(elf, symbols)
        with open(script, "w") as file:
            file.write(SESSION.format(port=port))
        run = "hypatia.run=cat%20/proc/cmdline;echo%20alive=$((6*7))"
        guest = subprocess.Popen(command("-S", "-gdb", "unix:" + port, append=run), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True, errors="replace")
        gdb = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", script, elf], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=600)
        console = guest.communicate(timeout=600)[0]
        return gdb.stdout + gdb.stderr, console, guest.returncode
    finally:
        shutil.rmtree(directory)


def main():
    for file in ("linux-686/vmlinuz", "initramfs.gz"):
        if not os.path.exists(os.path.join(CACHE, file)):
            print(f"skipped: {file} is not there (run tests/guests/fetch)")
            sys.exit(77)
    if not shutil.which("gdb"):
        print("skipped: there is no gdb")
        sys.exit(77)
    said, console, code = debug(ask_kernel())
    wanted = (r"at reset fffffff0\n", r"at start_kernel 1\n", r"cr0 8\w{7} cr3 \w+", r"cr0 .*\[ .*PG.* \]",
              r"#0 .* in start_kernel", r'"Linux version 6', r"Old value = \d+\s+New value = \d+", r"at rest_init 1\n",
              r"#0 .* in rest_init", r"at do_one_initcall 1\n", r"text: 1\n", r"EIP=c1", r"detached")
    for pattern in wanted:
        if not re.search(pattern, said):
            failed(f"gdb has not said {pattern!r}:\n{said}")
    for pattern in (r"Linox version 6", r"alive=42"):
        if not re.search(pattern, console):
            failed(f"the guest has not said {pattern!r}:\n{said}\n{console[:3000]}")
    if code != 0:
        failed(f"exit code {code}")
    print("passed")


if __name__ == "__main__":
    main()
