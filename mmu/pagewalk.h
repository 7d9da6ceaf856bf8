/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guest page walk: linear to guest-physical by the guest's own tables.
 *
 * SDM: Volume 3A, Chapter "Paging" (32-bit paging with PSE and PSE-36, PAE paging; 4-level paging has its
 * place in enum paging_mode and comes with long mode).
 *
 * A pure function over a small context, so that the interpreter, the TLB, the shadow filler, the monitor's
 * explainer and the tests all ask the same code. It changes guest memory only when told to set A/D bits.
 */
#ifndef MMU_PAGEWALK_H
#define MMU_PAGEWALK_H

#include "base/types.h"
#include "mmu/addr_space.h"
#include "mmu/data_watch.h"

enum paging_mode { PAGING_OFF, PAGING_32BIT, PAGING_PAE, PAGING_4LEVEL };

struct paging_ctx {
    enum paging_mode mode;
    bool wp;  /* CR0.WP */
    bool pse; /* CR4.PSE (32-bit paging only; implied by PAE) */
    bool pge; /* CR4.PGE: G bits count */
    bool nx;  /* EFER.NXE and the model has it */
    uint64_t cr3;
    uint64_t pdpte[4]; /* PAE: as loaded by MOV to CR3 */
    uint8_t phys_bits; /* MAXPHYADDR: 32 or 36; bits above are reserved in PAE entries */
    uint64_t a20_mask; /* and-ed to every guest-physical address: all ones, or bit 20 clear */
    struct addr_space *mem;
    const struct data_watch
        *watch; /* pages that a debugger watches; NULL: none. Caches of translations obey it */
};

/* An access, and how the walk is to behave; or them together. */
enum pagewalk_flags {
    PAGEWALK_READ = 0,
    PAGEWALK_WRITE = 1u << 0,
    PAGEWALK_FETCH = 1u << 1,
    PAGEWALK_USER = 1u << 2,   /* access with user rights (CPL 3, not an implicit system access) */
    PAGEWALK_SET_AD = 1u << 3, /* set A, and D for writes, with atomic updates; never when the walk fails */
};

/* #PF error code bits. SDM: Volume 3A, "Page-Fault Exceptions". */
enum pf_error { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

struct pagewalk_level {
    gpa_t entry_addr; /* where the entry lies */
    uint64_t entry;   /* its value as read (before A/D were set) */
};

struct pagewalk {
    gpa_t gpa;                       /* of the byte asked for, A20 applied */
    unsigned page_shift;             /* 12, 21 or 22 */
    bool user, writable, executable; /* rights of the mapping, all levels combined, WP not applied */
    bool global, dirty;              /* dirty after the walk */
    uint32_t error_code;             /* when the walk failed: the #PF error code */
    unsigned level_count;            /* levels read, top first */
    struct pagewalk_level level[4];
};

/* True and a filled-in `walk`, or false and walk->error_code with the levels read so far. Never touches CR2. */
bool pagewalk(const struct paging_ctx *ctx, lin_t linear, unsigned flags, struct pagewalk *walk);

/* Would an access with these flags be allowed by these rights? (The one place that knows WP, U/S, NX.) */
bool pagewalk_allowed(const struct paging_ctx *ctx, const struct pagewalk *walk, unsigned flags);

/* PAE: read the four PDPTEs at ctx->cr3 into ctx->pdpte. False when a present one has reserved bits set
 * (the MOV to CR3 then raises #GP(0)); ctx->pdpte is unchanged in that case. */
bool pagewalk_load_pdptes(struct paging_ctx *ctx);

#endif
