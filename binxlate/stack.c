/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stack of translated code.
 *
 *   guard, 16 MiB | spare | limit | stack, grows down | top | guard, 16 MiB
 *
 * A guest's call is a host call, so that the host predicts the guest's returns: the stack holds the addresses where
 * returns land. A landing compares the guest's return address with its own and, if it is another one, goes by the
 * jump cache. So nothing breaks when calls and returns do not pair: the stack may be emptied at any time.
 *
 *   top    the address of a thunk for returns without a call, and a few bytes more that the poll may read
 *   limit  calls nested deeper than the stack run into it; the fault handler empties the stack and the call is repeated
 *   spare  room for the frame of a signal whose handler has no stack of its own
 *   guard  above: where the poll reads when the budget is used up (gen.c)
 */
#include <errno.h>
#include <sys/mman.h>

#include "binxlate/engine.h"

#define GUARD_SIZE ((size_t)(16 * MIB))
#define SPARE_SIZE ((size_t)(64 * KIB))
#define STACK_SIZE ((size_t)(256 * KIB))
#define AREA_SIZE  (2 * GUARD_SIZE + SPARE_SIZE + STACK_LIMIT_SIZE + STACK_SIZE)
#define TOP_ROOM   256u

int stack_init(struct binxlate *x, struct error *error)
{
    uint8_t *area = mmap(NULL, AREA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (area == MAP_FAILED) {
        return error_set(error, -errno, "translator: cannot map its stack: %s", strerror(errno));
    }
    x->stack = area;
    x->stack_limit = area + GUARD_SIZE + SPARE_SIZE;
    uint8_t *stack = x->stack_limit + STACK_LIMIT_SIZE;
    if (mprotect(area + GUARD_SIZE, SPARE_SIZE, PROT_READ | PROT_WRITE) < 0 ||
        mprotect(stack, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
        return error_set(error, -errno, "translator: cannot map its stack: %s", strerror(errno));
    }
    x->stack_top = (uint64_t)(uintptr_t)(stack + STACK_SIZE - TOP_ROOM);
    x->run.stack = x->stack_top;
    return 0;
}

void stack_fini(struct binxlate *x)
{
    if (x->stack) {
        munmap(x->stack, AREA_SIZE);
    }
}

void stack_empty(struct binxlate *x)
{
    x->run.stack = x->stack_top;
    *(const void **)(uintptr_t)x->stack_top = x->return_missed;
}
