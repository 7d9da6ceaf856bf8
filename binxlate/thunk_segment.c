/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Thunks that load DS, ES, FS and GS at CPL 0. Kernels do so at every entry and exit, with the same selectors again and
 * again.
 *
 * The interpreter's function executes the first load of a selector, with all its checks. Afterwards dispatch.c notes selector,
 * descriptor and result in the segment register's struct segment_cache. The thunk finds that the selector is the same, that GDTR
 * is, and that the eight bytes in the guest's memory are: then so is the result. Null selectors need no descriptor.
 * Everything else comes back as a call-out.
 *
 *   in         r10d: the selector, zero-extended; FS and GS: vcpu.next_rip, the address of the next instruction
 *   DS, ES     only results that are flat are noted, so that the mode stays
 *   FS, GS     whether the segment can be used is part of the mode. When it changes, the thunk does not come back but
 *              goes on at the next instruction by way of the jump cache: such a load ends its block
 *
 * SDM: Volume 3A, "Segment Registers", "Segment Descriptors"; Volume 2B, "MOV".
 */
#include "binxlate/thunk.h"

static struct host_mem cache_field(size_t offset)
{
    return host_mem(REG_LINEAR, (int32_t)offset);
}

static struct host_mem segment_field(unsigned seg, size_t offset)
{
    return host_mem(REG_CPU, (int32_t)(offsetof(struct vcpu, seg) + seg * sizeof(struct segment) + offset));
}

#define CACHE(member) cache_field(offsetof(struct segment_cache, member))

/* With r8 = the cache: does the load give what it gave? Changes rcx and r9. */
static void emit_check(struct emit *e, struct emit_label *fail)
{
    const size_t gdtr = offsetof(struct vcpu, gdtr);

    emit_alu_load32(e, HOST_CMP, REG_SCRATCH, CACHE(selector));
    emit_jcc_label(e, HOST_NE, fail);
    emit_load64(e, HOST_RCX, host_mem(REG_CPU, (int32_t)(gdtr + offsetof(struct table_register, base))));
    emit_alu_load64(e, HOST_CMP, HOST_RCX, CACHE(gdt_base));
    emit_jcc_label(e, HOST_NE, fail);
    emit_load_zx16(e, HOST_RCX, host_mem(REG_CPU, (int32_t)(gdtr + offsetof(struct table_register, limit))));
    emit_alu_load32(e, HOST_CMP, HOST_RCX, CACHE(gdt_limit));
    emit_jcc_label(e, HOST_NE, fail);
    emit_load32(e, HOST_RCX, CACHE(linear));
    emit_shrx32(e, REG_ENTRY, HOST_RCX, REG_SHIFT);
    emit_load64(e, REG_ENTRY, host_mem_index(REG_TABLE, REG_ENTRY, 3, 0));
    emit_test64(e, REG_ENTRY, REG_ENTRY);
    emit_jcc_label(e, HOST_S, fail);
    emit_load64(e, HOST_RCX, host_mem_index(REG_ENTRY, HOST_RCX, 0, 0));
    emit_alu_load64(e, HOST_CMP, HOST_RCX, CACHE(descriptor));
    emit_jcc_label(e, HOST_NE, fail);
}

static void emit_copy_segment(struct emit *e, unsigned seg)
{
    for (size_t at = 0; at < sizeof(struct segment); at += sizeof(uint64_t)) {
        emit_load64(e, HOST_RCX, cache_field(offsetof(struct segment_cache, segment) + at));
        emit_store64(e, segment_field(seg, at), HOST_RCX);
    }
}

static void emit_null_segment(struct emit *e, unsigned seg)
{
    emit_store16(e, segment_field(seg, offsetof(struct segment, selector)), REG_SCRATCH);
    emit_store_imm32(e, segment_field(seg, offsetof(struct segment, attr)), SEG_UNUSABLE);
    emit_store_imm32(e, segment_field(seg, offsetof(struct segment, limit)), 0);
    emit_store_imm64(e, segment_field(seg, offsetof(struct segment, base)), 0);
}

static void emit_return(struct emit *e)
{
    emit_load32(e, HOST_RCX, thunk_gpr(RCX));
    thunk_restore_flags(e);
    emit_ret(e);
}

/* With ECX = the segment's bit of the mode, or 0, where r13 has it. */
static void emit_mode(struct emit *e, struct binxlate *x, unsigned mode_bit)
{
    struct emit_label same = {0};

    emit_mov32(e, REG_ENTRY, REG_SHIFT);
    emit_alu_imm32(e, HOST_AND, REG_ENTRY, ~(SHIFT_OF_MODE(mode_bit) - SHIFT_COUNT));
    emit_alu32(e, HOST_OR, REG_ENTRY, HOST_RCX);
    emit_alu32(e, HOST_CMP, REG_ENTRY, REG_SHIFT);
    emit_jcc_label(e, HOST_E, &same);
    emit_mov32(e, REG_SHIFT, REG_ENTRY);
    emit_mov_imm64(e, REG_LINEAR, (uint64_t)(uintptr_t)&x->run.shift);
    emit_store64(e, host_mem(REG_LINEAR, 0), REG_SHIFT);
    emit_load32(e, REG_LINEAR, host_mem(REG_CPU, (int32_t)offsetof(struct vcpu, next_rip)));
    emit_load32(e, HOST_RCX, thunk_gpr(RCX));
    emit_lea64(e, HOST_RSP, host_mem(HOST_RSP, 8)); /* does not return */
    thunk_restore_flags(e);
    emit_jmp(e, x->jump);
    emit_bind(e, &same);
    emit_return(e);
}

static const void *emit_thunk(struct emit *e, struct binxlate *x, unsigned seg)
{
    bool based = seg == SEG_FS || seg == SEG_GS;
    struct emit_label null = {0}, loaded = {0}, fail = {0};

    emit_align(e, 16);
    const void *start = emit_here(e);
    thunk_park_flags(e);
    emit_store64(e, thunk_gpr(RCX), HOST_RCX);
    if (based) {
        emit_test_imm32(e, REG_SCRATCH, 0xfffc);
        emit_jcc_label(e, HOST_E, &null);
    }
    emit_mov_imm64(e, REG_LINEAR, (uint64_t)(uintptr_t)&x->segment_cache[seg]);
    emit_check(e, &fail);
    emit_copy_segment(e, seg);
    if (based) {
        emit_load32(e, HOST_RCX, CACHE(mode));
        emit_jmp_label(e, &loaded);
        emit_bind(e, &null);
        emit_null_segment(e, seg);
        emit_mov_imm32(e, HOST_RCX, 0);
        emit_bind(e, &loaded);
        emit_alu_mem_imm8(e, HOST_AND, host_mem(REG_CPU, (int32_t)offsetof(struct vcpu, flat)),
                          (uint8_t) ~(1u << seg));
        emit_mode(e, x, seg == SEG_FS ? MODE_FS : MODE_GS);
    } else {
        emit_return(e);
    }
    emit_bind(e, &fail);
    emit_load32(e, HOST_RCX, thunk_gpr(RCX));
    thunk_fail(e);
    return start;
}

void thunks_emit_segment(struct emit *e, struct binxlate *x)
{
    static const uint8_t segs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (unsigned i = 0; i < ARRAY_LEN(segs); i++) {
        x->load_segment[segs[i]] = emit_thunk(e, x, segs[i]);
    }
}
