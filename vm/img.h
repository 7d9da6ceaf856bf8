/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `hypatia img`: makes, shows, checks, converts and commits disk images. Names, options and exit codes are those
 * of qemu-img, as far as they go.
 */
#ifndef VM_IMG_H
#define VM_IMG_H

/* argv[0] is "img". Returns the process's exit code. */
int img_main(int argc, char **argv);

#endif
