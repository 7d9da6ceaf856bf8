#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Boots one boot list on QEMU and judges the outcome.
#
#   qemu_boot.sh FIRMWARE KIND ROM-FOLDER MAKE_BOOTLIST PROBE
#
#   FIRMWARE  seabios: bootopt.bin as an option ROM; builtin: bootrom.bin instead of a BIOS; direct: QEMU's own -kernel
#   KIND      multiboot1, multiboot2: Alexandria's self test passes and the machine switches itself off
#             probe16, probe32: probe.asm finds every register and byte as bootlist.h promises
#             first: bootorder puts the option ROM before a bootable disk
#             nothing: without a boot list the ROM says so
#             kernel: Alexandria by `-kernel`
#
# Exit code 0 passed, 1 failed (with what QEMU printed), 77 there is no QEMU here.
firmware=$1 kind=$2 roms=$3 make_bootlist=$4 probe=$5

qemu=$(command -v qemu-system-i386) || exit 77
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
list=$kind expected='selftest: [0-9]* passed, 0 failed' status=0 limit=60

set -- -accel tcg -m 64 -display none -nic none -no-reboot -serial "file:$folder/serial" -device isa-debug-exit,iobase=0xf4,iosize=4
case $firmware in
builtin) set -- "$@" -bios "$roms/bootrom.bin" ;;
seabios) set -- "$@" -option-rom "$roms/bootopt.bin,bootindex=0" ;;
direct) set -- "$@" -kernel "$roms/alexandria.elf" -append selftest ;;
esac
case $firmware:$kind in
builtin:probe16) expected='Hypatia boot: a real-mode kernel entry needs a BIOS' status=124 limit=5 ;;
*:nothing) list='' expected='Hypatia boot: no kernel in fw_cfg' status=124 limit=5 ;;
*:probe*) expected='' status=33 ;; # isa-debug-exit: 10h * 2 + 1
*:first)
    list=multiboot1
    printf '\364\353\375' >"$folder/disk" # a boot sector that halts
    truncate -s 510 "$folder/disk"
    printf '\125\252' >>"$folder/disk"
    truncate -s 1M "$folder/disk"
    set -- "$@" -drive "file=$folder/disk,format=raw"
    ;;
direct:*) list='' ;;
esac
if [ -n "$list" ]; then
    case $list in
    probe*) "$make_bootlist" "$list" "$folder" "$probe" || exit 1 ;;
    *) "$make_bootlist" "$list" "$folder" selftest || exit 1 ;;
    esac
    for file in boot kernel info; do
        set -- "$@" -fw_cfg "name=opt/hypatia/$file,file=$folder/$file"
    done
fi

timeout $limit "$qemu" "$@" >"$folder/output" 2>&1
got=$?
if [ $got -ne $status ] || { [ -n "$expected" ] && ! grep -q "$expected" "$folder/serial"; }; then
    echo "exit code $got where $status was due, or this is not in the serial output: $expected"
    cat "$folder/output" "$folder/serial"
    exit 1
fi
