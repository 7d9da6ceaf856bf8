/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guest's page tables as tables: what the commands read that show all of them (info pg, info mem, info tlb) and that
 * explain one way through them (walk).
 *
 * SDM: Volume 3A, Chapter "Paging". Tables are the guest's and untrusted: they may lie anywhere, be their own tables, or
 * be garbage. Work is bounded by the number of entries that the linear addresses have: 2^20 of the lowest level.
 *
 * What cannot be read is all ones, as the processor reads it here (mmu/pagewalk.c).
 */
#ifndef MONITOR_PAGE_TABLES_H
#define MONITOR_PAGE_TABLES_H

#include "mmu/pagewalk.h"

enum { PAGE_LEVELS_MAX = 3, PAGE_TABLE_ENTRIES = 1024 };

#define PAGE_P   BIT(0)
#define PAGE_RW  BIT(1)
#define PAGE_US  BIT(2)
#define PAGE_PWT BIT(3)
#define PAGE_PCD BIT(4)
#define PAGE_A   BIT(5)
#define PAGE_D   BIT(6)
#define PAGE_PS  BIT(7) /* PDE: a large page; PTE: the PAT bit */
#define PAGE_G   BIT(8)
#define PAGE_XD  BIT(63)

struct page_level {
    const char *name;   /* "PDE": of its entries */
    unsigned shift;     /* an entry covers 1 << shift bytes of linear addresses */
    unsigned count;     /* entries of a table */
    bool large, rights; /* PS makes an entry a page; entries have rights, A and so on */
};

/* A form of paging. levels == 0: paging is off. */
struct page_form {
    const struct paging_ctx *ctx;
    unsigned levels, entry_size;
    struct page_level level[PAGE_LEVELS_MAX]; /* the top first */
};

struct page_form page_form(const struct paging_ctx *ctx);

/* The table of this level at `address`: its entries, as many as it has. PAE's top level is the processor's PDPTE registers. */
void page_table_read(const struct page_form *form, unsigned level, gpa_t address,
                     uint64_t entry[PAGE_TABLE_ENTRIES]);
/* Where the table of the top level lies. */
gpa_t page_table_top(const struct page_form *form);
/* Does a present entry of this level map a page, rather than point to a table? */
bool page_entry_is_leaf(const struct page_form *form, unsigned level, uint64_t entry);
/* The page or table that it gives. */
gpa_t page_entry_frame(const struct page_form *form, unsigned level, uint64_t entry);

/* A mapping: one entry of the lowest level or of a large page. */
struct page_mapping {
    lin_t linear;
    uint64_t size; /* bytes */
    gpa_t gpa;
    uint64_t entry;          /* as it stands in its table */
    bool user, writable, nx; /* of all levels together, CR0.WP not applied */
    bool reserved;           /* a level has a reserved bit set: each access faults */
};

/* All of those from `from` on, in the order of their addresses, until `each` returns false. */
void page_mappings_each(const struct page_form *form, lin_t from,
                        bool (*each)(void *opaque, const struct page_mapping *mapping), void *opaque);

#endif
