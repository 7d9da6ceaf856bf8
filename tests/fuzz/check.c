/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What must hold between two slices, whatever the guest did.
 *
 *   state      within the ranges of the snapshot table; legal combinations of control bits; the hidden parts of V86 mode
 *   derived    equal to what vcpu_sync() makes of the architectural part
 *   TLB        every direct pointer inside the VM's memory; none that writes past a write watch
 *   icache     every cached instruction equal to a fresh decoding of the bytes in memory
 *   snapshot   save, load, save gives the same bytes
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "cpu/icache.h"
#include "cpu/system.h"
#include "mmu/tlb.h"

enum { SAMPLE = 400 /* runs: the youngest */ };

static const char *say(struct checker *checker, const char *text)
{
    snprintf(checker->text, sizeof(checker->text), "%s", text);
    return checker->text;
}

bool checker_init(struct checker *checker)
{
    checker->scratch =
        aligned_alloc(_Alignof(struct vcpu), ALIGN_UP(sizeof(struct vcpu), _Alignof(struct vcpu)));
    return checker->scratch != NULL;
}

void checker_fini(struct checker *checker)
{
    free(checker->scratch);
}

/* ---- state ---- */

static const char *check_registers(struct checker *checker, const struct vcpu *cpu)
{
    for (unsigned i = 0; i < 16; i++) {
        if (cpu->gpr[i] > (i < 8 ? UINT32_MAX : 0)) {
            return say(checker, "a general register has upper bits");
        }
    }
    if (cpu->rip > UINT32_MAX || cpu->next_rip > UINT32_MAX) {
        return say(checker, "RIP has upper bits");
    }
    if ((cpu->rflags & ~BITS(21, 0)) || (cpu->rflags & (BIT(3) | BIT(5) | BIT(15))) ||
        !(cpu->rflags & RFLAGS_FIXED1)) {
        return say(checker, "RFLAGS has reserved bits");
    }
    if ((cpu->cr2 | cpu->cr3 | cpu->cr4 | cpu->cr0) > UINT32_MAX) {
        return say(checker, "a control register has upper bits");
    }
    if (((cpu->cr0 & CR0_PG) && !(cpu->cr0 & CR0_PE)) || (cpu->cr0 & ~CR0_WRITABLE & ~CR0_ET)) {
        return say(checker, "CR0 is impossible");
    }
    if ((cpu->rflags & RFLAGS_VM) && !(cpu->cr0 & CR0_PE)) {
        return say(checker, "V86 mode without protected mode");
    }
    if (cpu->cr4 & ~cr4_supported(cpu->features)) {
        return say(checker, "CR4 has bits the model lacks");
    }
    if (cpu->fpu.mxcsr & ~cpu->fpu.mxcsr_mask) {
        return say(checker, "MXCSR has reserved bits");
    }
    return NULL;
}

/* SDM: Volume 3B, "8086 Emulation"; Volume 3C, "Checks on Guest Segment Registers" names the same rules. */
static const char *check_segments(struct checker *checker, const struct vcpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        const struct segment *segment = &cpu->seg[i];
        if (segment->base > UINT32_MAX || (segment->attr & ~(SEG_UNUSABLE | BITS(15, 0)))) {
            return say(checker, "a segment has bits that do not exist");
        }
        if (cpu->v86 && (segment->base != segment->selector * 16u || segment->limit != 0xffff ||
                         segment->attr != (SEG_P | SEG_S | SEG_DPL | SEG_TYPE_RW | SEG_TYPE_ACCESSED))) {
            return say(checker, "a segment of V86 mode is not selector * 16 with rights F3");
        }
        if (cpu->protected_mode && !(segment->attr & SEG_UNUSABLE) && !(segment->attr & SEG_P)) {
            snprintf(checker->text, sizeof(checker->text),
                     "segment register %u holds %04x, attributes %x: not present", i, segment->selector,
                     segment->attr);
            return checker->text;
        }
    }
    return NULL;
}

/* vcpu_sync() without its TLB flush, which costs more than the rest of a short slice. */
static void sync_again(struct vcpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        vcpu_sync_segment(cpu, (enum sreg)i);
    }
    vcpu_sync_mode(cpu);
    vcpu_sync_paging(cpu);
    vcpu_sync_debug(cpu);
}

static const char *check_derived(struct checker *checker, const struct vcpu *cpu)
{
    const uint32_t own = ATTENTION_KICK | ATTENTION_DEBUG | ATTENTION_CODE;
    struct vcpu *fresh = checker->scratch;

    memcpy(fresh, cpu, sizeof(*fresh));
    sync_again(fresh);
    if (fresh->cpl != cpu->cpl || fresh->user_view != cpu->user_view) {
        return say(checker, "derived state: CPL");
    }
    if (fresh->protected_mode != cpu->protected_mode || fresh->v86 != cpu->v86) {
        return say(checker, "derived state: mode");
    }
    if (fresh->code32 != cpu->code32 || fresh->stack32 != cpu->stack32 || fresh->flat != cpu->flat) {
        return say(checker, "derived state: segments");
    }
    if (fresh->data_breakpoints != cpu->data_breakpoints) {
        return say(checker, "derived state: breakpoints");
    }
    if ((fresh->attention ^ cpu->attention) & ~own) {
        snprintf(checker->text, sizeof(checker->text), "derived state: attention is %x, should be %x",
                 cpu->attention & ~own, fresh->attention & ~own);
        return checker->text;
    }
    return memcmp(&fresh->paging, &cpu->paging, sizeof(cpu->paging)) ? say(checker, "derived state: paging")
                                                                     : NULL;
}

/* ---- caches ---- */

static bool points_into(const struct ram *ram, const struct tlb_entry *entry)
{
    uintptr_t host = entry->addend + entry->page;

    return host >= (uintptr_t)ram->host && host + PAGE_SIZE <= (uintptr_t)ram->host + ram->size &&
           host == (uintptr_t)ram_ptr(ram, entry->roff);
}

static const char *check_tlb(struct checker *checker, const struct fuzz_machine *machine)
{
    const struct tlb *tlb = machine->cpu->tlb;

    for (unsigned i = 0; i < 2 * TLB_ENTRIES; i++) {
        const struct tlb_entry *entry = &tlb->view[i / TLB_ENTRIES][i % TLB_ENTRIES];
        bool direct = entry->read != TLB_NO_TAG || entry->write != TLB_NO_TAG || entry->fetch != TLB_NO_TAG;
        if (direct && !points_into(&machine->ram, entry)) {
            return say(checker, "TLB: an entry points outside the VM's memory");
        }
        if (entry->write != TLB_NO_TAG && ram_watched(&machine->ram, entry->roff)) {
            return say(checker, "TLB: an entry writes past a watch");
        }
    }
    return NULL;
}

static bool insn_equal(const struct insn *a, const struct insn *b)
{
    return a->opcode == b->opcode && a->exec == b->exec && a->length == b->length && a->imm == b->imm &&
           a->imm2 == b->imm2 && a->disp == b->disp && a->opsize == b->opsize && a->addrsize == b->addrsize &&
           a->seg == b->seg && a->base == b->base && a->index == b->index && a->scale == b->scale &&
           a->modrm == b->modrm && a->rm == b->rm && a->reg == b->reg && a->lock == b->lock &&
           a->rep == b->rep && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static const char *check_run(struct checker *checker, const struct fuzz_machine *machine,
                             const struct run *run)
{
    roff_t roff = run->key & ~BIT(63);
    bool code32 = run->key >> 63;
    const uint8_t *bytes = ram_ptr(&machine->ram, roff);
    unsigned left = PAGE_SIZE - (unsigned)(roff & PAGE_OFFSET_MASK), length = 0;

    if (!(machine->ram.watch[roff >> PAGE_SHIFT] & BIT(RAM_WATCH_CODE))) {
        return say(checker, "icache: a frame with decoded code has no watch");
    }
    for (unsigned i = 0; i < run->count; i++) {
        struct insn insn;
        if (insn_decode(bytes + length, left - length, code32, machine->cpu->features, &insn) ==
                DECODE_MORE ||
            !insn_equal(&insn, &run->insn[i])) {
            return say(checker, "icache: a cached instruction is not what memory holds");
        }
        length += insn.length;
    }
    return length == run->length ? NULL : say(checker, "icache: a run has another length");
}

static const char *check_icache(struct checker *checker, const struct fuzz_machine *machine)
{
    const struct icache *icache = machine->cpu->icache;
    size_t first = icache->run_count > SAMPLE ? icache->run_count - SAMPLE : 0;

    for (size_t i = first; i < icache->run_count; i++) {
        const struct run *run = &icache->runs[i];
        const char *wrong = run->key == ICACHE_DEAD ? NULL : check_run(checker, machine, run);
        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}

const char *check_processor(struct checker *checker, struct fuzz_machine *machine, bool thorough, bool lawful)
{
    const struct vcpu *cpu = machine->cpu;
    const char *wrong = check_registers(checker, cpu);

    if (!wrong && lawful) {
        wrong = check_segments(checker, cpu);
    }
    if (!wrong && cpu->exception.pending) {
        wrong = say(checker, "an exception is pending between slices");
    }
    if (!wrong) {
        wrong = check_derived(checker, cpu);
    }
    if (!wrong && thorough) {
        wrong = check_tlb(checker, machine);
    }
    return !wrong && thorough ? check_icache(checker, machine) : wrong;
}

/* ---- snapshots ---- */

static const char *check_object(struct checker *checker, const struct snap_desc *desc, const void *from,
                                void *to)
{
    struct snap_writer first, second;
    struct error error = {.text = ""};
    const char *wrong = NULL;

    snap_writer_init(&first);
    snap_writer_init(&second);
    snap_save(&first, desc, from);
    struct snap_reader reader = {.data = first.data, .length = first.length};
    if (first.failed) {
        wrong = say(checker, "snapshot: saving failed");
    } else if (snap_load(&reader, desc, to, &error) < 0) {
        snprintf(checker->text, sizeof(checker->text), "snapshot of %s: %.400s", desc->name, error.text);
        wrong = checker->text;
    } else {
        snap_save(&second, desc, to);
        if (second.length != first.length || memcmp(first.data, second.data, first.length) != 0) {
            snap_equal(desc, from, to, &error);
            snprintf(checker->text, sizeof(checker->text), "snapshot of %s: differs after a load: %.400s",
                     desc->name, error.text);
            wrong = checker->text;
        }
    }
    snap_writer_fini(&first);
    snap_writer_fini(&second);
    return wrong;
}

/* `other` has the same devices in the same order. */
const char *check_snapshot(struct checker *checker, struct fuzz_machine *machine, struct fuzz_machine *other)
{
    const char *wrong = check_object(checker, &vcpu_snap, machine->cpu, other->cpu);

    if (wrong || !machine->pc) {
        return wrong;
    }
    /* Deadlines are checked against the time, which is restored before the devices. */
    clock_set_now(&other->clock, clock_now(&machine->clock));
    struct device *to = pc_board(other->pc)->devices;
    for (struct device *from = pc_board(machine->pc)->devices; from && !wrong;
         from = from->next, to = to->next) {
        if (from->ops->snap) {
            wrong = check_object(checker, from->ops->snap, from, to);
        }
    }
    return wrong;
}

const char *check_equal(struct checker *checker, struct fuzz_machine *a, struct fuzz_machine *b)
{
    struct error error = {.text = ""};

    if (!snap_equal(&vcpu_snap, a->cpu, b->cpu, &error)) {
        snprintf(checker->text, sizeof(checker->text),
                 "the same code in other slices gave another state: %.400s", error.text);
        return checker->text;
    }
    if (memcmp(a->ram.host, b->ram.host, MIN(a->ram_size, MIB + 64 * KIB)) != 0) {
        uint64_t at = 0;
        while (a->ram.host[at] == b->ram.host[at]) {
            at++;
        }
        snprintf(checker->text, sizeof(checker->text),
                 "the same code in other slices gave other memory at %llx", (unsigned long long)at);
        return checker->text;
    }
    return NULL;
}
