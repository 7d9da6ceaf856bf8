/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the three files of a lab share: lab_file.c splits files, lab.c gives keys their meaning, lab_dump.c goes the
 * other way.
 */
#ifndef VM_LAB_INTERNAL_H
#define VM_LAB_INTERNAL_H

#include "vm/lab.h"

/* A string that lives as long as the lab. */
struct lab_text {
    struct lab_text *next;
    char text[];
};

/* A copy that the lab owns; NULL when memory ran out. */
const char *lab_keep(struct lab *lab, const char *text);

/* 1 to LAB_NAME_MAX letters, digits, '.', '_', '-'. */
bool lab_name_valid(const char *name);

/* A new VM with the defaults; NULL with the text. The name must be valid. */
struct lab_vm *lab_add_vm(struct lab *lab, const char *name, struct lab_place place, struct error *error);

/* Set one of the lab's own keys, or one of a VM's. The value is copied. Texts of errors begin with the key's name. */
int lab_set(struct lab *lab, const char *key, const char *value, struct lab_place place, struct error *error);
int lab_vm_set(struct lab *lab, struct lab_vm *vm, const char *key, const char *value, struct error *error);

/* NULL, or why an option of the command line is not a key of a VM. */
const char *lab_refusal(const char *option);

#endif
