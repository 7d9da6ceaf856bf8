/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hardware task switches.
 *
 * SDM: Volume 3A, "Task Management": "Task Switching" (order, and the table of exception conditions), "32-Bit
 * Task-State Segment (TSS)", "16-Bit Task-State Segment (TSS)", "Task Linking".
 *
 *   offset  32-bit TSS         offset  16-bit TSS
 *   0x00    link               0x00    link
 *   0x04    ESP0 SS0 ... SS2   0x02    SP0 SS0 ... SS2
 *   0x1c    CR3                0x0e    IP
 *   0x20    EIP                0x10    FLAGS
 *   0x24    EFLAGS             0x12    AX CX DX BX SP BP SI DI
 *   0x28    EAX ECX ... EDI    0x22    ES CS SS DS
 *   0x48    ES CS SS DS FS GS  0x2a    LDT
 *   0x60    LDT                0x2c
 *   0x64    T (bit 0)
 *   0x66    I/O map base
 *   0x68
 *
 * Until everything in memory that the switch touches has been found writable, an exception belongs to the old
 * task. From then on the new task has been entered: its LDT and segments are loaded one by one, and what is wrong
 * with them is raised there, at its CS:EIP, the segments not reached being unusable.
 *
 *   segment            #TS(selector) unless                                    #NP(sel), #SS(sel)
 *   LDTR               null, or an LDT of the GDT, present
 *   CS                 code; DPL = RPL (conforming: DPL <= RPL)                #NP not present
 *   SS                 writable data; DPL = RPL = CPL                          #SS not present
 *   DS ES FS GS        null, or readable; DPL >= CPL, RPL unless conforming    #NP not present
 *
 * NOTE: a 16-bit TSS clears the upper halves of the general registers, which the manual leaves open, and makes FS
 * and GS null.
 */
#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/descriptor.h"

#define TSS32_MIN_LIMIT 0x67u
#define TSS16_MIN_LIMIT 0x2bu
#define RFLAGS_LOADABLE                                                                                      \
    (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM |    \
     RFLAGS_AC | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_ID)

/* The part of a TSS that a switch reads. */
struct task_image {
    bool wide;
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t seg[SEG_COUNT];
    uint16_t ldt;
    bool trap;
};

static bool ts(struct vcpu *cpu, uint16_t selector)
{
    return raise_error(cpu, EXC_TS, selector_error(selector));
}

/* ---- The TSS ----------------------------------------------------------------------------------------------- */

static uint32_t tss_min_limit(const struct segment *tss)
{
    return (tss->attr & TYPE_32BIT_BIT) ? TSS32_MIN_LIMIT : TSS16_MIN_LIMIT;
}

/* The TSS to switch to: of the GDT, available (IRET: busy), present, long enough. */
static bool fetch_tss(struct vcpu *cpu, uint16_t selector, enum task_switch_cause cause,
                      struct descriptor *descriptor)
{
    bool iret = cause == TASK_IRET;
    enum vector invalid = iret ? EXC_TS : EXC_GP;
    uint32_t types = 1u << TYPE_TSS16_AVAILABLE | 1u << TYPE_TSS32_AVAILABLE;

    if (iret) {
        types = 1u << TYPE_TSS16_BUSY | 1u << TYPE_TSS32_BUSY;
    }
    if (selector & 4) {
        return raise_error(cpu, invalid, selector_error(selector));
    }
    TRY(descriptor_fetch(cpu, selector, invalid, descriptor));
    if (!(types & 1u << descriptor_system_type(descriptor))) {
        return raise_error(cpu, invalid, selector_error(selector));
    }
    if (!(descriptor->attr & SEG_P)) {
        return raise_error(cpu, EXC_NP, selector_error(selector));
    }
    struct segment tss = descriptor_segment(descriptor, selector);
    return tss.limit >= tss_min_limit(&tss) || ts(cpu, selector);
}

static void parse_image32(const uint8_t *bytes, struct task_image *image)
{
    image->cr3 = load_le32(bytes + 0x1c);
    image->eip = load_le32(bytes + 0x20);
    image->eflags = load_le32(bytes + 0x24);
    for (unsigned i = 0; i < 8; i++) {
        image->gpr[i] = load_le32(bytes + 0x28 + 4 * i);
    }
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        image->seg[i] = load_le16(bytes + 0x48 + 4 * i);
    }
    image->ldt = load_le16(bytes + 0x60);
    image->trap = bytes[0x64] & 1;
}

static void parse_image16(const uint8_t *bytes, struct task_image *image)
{
    image->eip = load_le16(bytes + 0x0e);
    image->eflags = load_le16(bytes + 0x10);
    for (unsigned i = 0; i < 8; i++) {
        image->gpr[i] = load_le16(bytes + 0x12 + 2 * i);
    }
    for (unsigned i = SEG_ES; i <= SEG_DS; i++) {
        image->seg[i] = load_le16(bytes + 0x22 + 2 * i);
    }
    image->ldt = load_le16(bytes + 0x2a);
}

static bool read_image(struct vcpu *cpu, const struct segment *tss, struct task_image *image)
{
    uint8_t bytes[TSS32_MIN_LIMIT + 1];

    *image = (struct task_image){.wide = tss->attr & TYPE_32BIT_BIT};
    TRY(sys_read(cpu, tss->base, bytes, tss_min_limit(tss) + 1));
    if (image->wide) {
        parse_image32(bytes, image);
    } else {
        parse_image16(bytes, image);
    }
    return true;
}

/* Where the saved state begins (EIP), and how long it is (to the last selector). */
static lin_t save_area(const struct segment *tss, unsigned *size)
{
    bool wide = tss->attr & TYPE_32BIT_BIT;

    *size = wide ? 0x60 - 0x20 : 0x2a - 0x0e;
    return (uint32_t)(tss->base + (wide ? 0x20 : 0x0e));
}

/* EIP EFLAGS EAX-EDI ES-GS. A selector takes a doubleword's low half; the high half keeps what it holds. */
static bool save_state32(struct vcpu *cpu, lin_t area, uint32_t eflags)
{
    uint8_t bytes[0x28];

    store_le32(bytes, (uint32_t)cpu->next_rip);
    store_le32(bytes + 4, eflags);
    for (unsigned i = 0; i < 8; i++) {
        store_le32(bytes + 8 + 4 * i, reg32(cpu, i));
    }
    TRY(sys_write(cpu, area, bytes, sizeof(bytes)));
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        store_le16(bytes, cpu->seg[i].selector);
        TRY(sys_write(cpu, (uint32_t)(area + 0x28 + 4 * i), bytes, 2));
    }
    return true;
}

static bool save_state16(struct vcpu *cpu, lin_t area, uint32_t eflags)
{
    uint8_t bytes[0x1c];

    store_le16(bytes, (uint16_t)cpu->next_rip);
    store_le16(bytes + 2, (uint16_t)eflags);
    for (unsigned i = 0; i < 8; i++) {
        store_le16(bytes + 4 + 2 * i, reg16(cpu, i));
    }
    for (unsigned i = SEG_ES; i <= SEG_DS; i++) {
        store_le16(bytes + 20 + 2 * i, cpu->seg[i].selector);
    }
    return sys_write(cpu, area, bytes, sizeof(bytes));
}

static bool save_state(struct vcpu *cpu, uint32_t eflags)
{
    unsigned size;
    lin_t area = save_area(&cpu->tr, &size);

    return (cpu->tr.attr & TYPE_32BIT_BIT) ? save_state32(cpu, area, eflags)
                                           : save_state16(cpu, area, eflags);
}

/* ---- Before the point of no return --------------------------------------------------------------------------- */

/* Everything the switch will write can be written. */
static bool probe(struct vcpu *cpu, const struct descriptor *new, const struct descriptor *old,
                  enum task_switch_cause cause)
{
    struct segment new_tss = descriptor_segment(new, new->selector);
    unsigned size;
    lin_t area = save_area(&cpu->tr, &size);

    if (cpu->tr.limit < tss_min_limit(&cpu->tr)) {
        return ts(cpu, cpu->tr.selector);
    }
    TRY(sys_probe_write(cpu, area, size));
    if (cause == TASK_CALL || cause == TASK_GATE_EVENT) {
        TRY(sys_probe_write(cpu, new_tss.base, 2));
    }
    if (cause != TASK_IRET) {
        TRY(sys_probe_write(cpu, (uint32_t)(new->linear + 5), 1));
    }
    return !old || sys_probe_write(cpu, (uint32_t)(old->linear + 5), 1);
}

/* The busy flags and the link, as the cause has it:
 *
 *             old TSS    new TSS   link in new TSS   NT in saved image   NT in new EFLAGS
 *   JMP       cleared    set       -                 -                   from image
 *   CALL      stays      set       old selector      -                   set
 *   event     stays      set       old selector      -                   set
 *   IRET      cleared    stays     -                 cleared             from image
 */
static bool link_tasks(struct vcpu *cpu, const struct descriptor *new, const struct descriptor *old,
                       enum task_switch_cause cause)
{
    if (old && (cause == TASK_JMP || cause == TASK_IRET)) {
        TRY(descriptor_set_busy(cpu, old, false));
    }
    if (cause != TASK_IRET) {
        TRY(descriptor_set_busy(cpu, new, true));
    }
    if (cause == TASK_CALL || cause == TASK_GATE_EVENT) {
        uint8_t link[2];
        store_le16(link, cpu->tr.selector);
        TRY(sys_write(cpu, descriptor_segment(new, 0).base, link, sizeof(link)));
    }
    return true;
}

/* ---- In the new task ----------------------------------------------------------------------------------------- */

/* Registers and visible selectors. The hidden parts are unusable until each segment has been checked; CPL is
 * already that of the new CS. */
static void load_registers(struct vcpu *cpu, const struct task_image *image, bool nested)
{
    unsigned cpl = (image->eflags & RFLAGS_VM) ? 3 : selector_rpl(image->seg[SEG_CS]);

    for (unsigned i = 0; i < 8; i++) {
        set_reg32(cpu, i, image->gpr[i]);
    }
    cpu->rip = cpu->next_rip = image->eip;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = segment_null(image->seg[i]);
        vcpu_sync_segment(cpu, (enum sreg)i);
    }
    cpu->seg[SEG_SS].attr |= cpl << SEG_DPL_SHIFT;
    cpu->ldtr = segment_null(image->ldt);
    rflags_set(cpu, image->eflags | (nested ? RFLAGS_NT : 0), RFLAGS_LOADABLE);
    cpu->cr0 |= CR0_TS;
    cpu->dr[7] &= ~(BIT(8) | BIT(6) | BIT(4) | BIT(2) | BIT(0)); /* LE, L3-L0 */
    vcpu_sync_debug(cpu);
    vcpu_sync_mode(cpu);
}

static bool load_ldt(struct vcpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;

    if (selector_is_null(selector)) {
        return true;
    }
    if (selector & 4) {
        return ts(cpu, selector);
    }
    TRY(descriptor_fetch(cpu, selector, EXC_TS, &descriptor));
    if (descriptor_system_type(&descriptor) != TYPE_LDT || !(descriptor.attr & SEG_P)) {
        return ts(cpu, selector);
    }
    cpu->ldtr = descriptor_segment(&descriptor, selector);
    return true;
}

static bool load_checked(struct vcpu *cpu, enum sreg which, struct descriptor *descriptor, uint16_t selector)
{
    TRY(descriptor_set_accessed(cpu, descriptor));
    cpu->seg[which] = descriptor_segment(descriptor, selector);
    vcpu_sync_segment(cpu, which);
    return true;
}

static bool load_code(struct vcpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;

    TRY(descriptor_fetch(cpu, selector, EXC_TS, &descriptor));
    unsigned dpl = descriptor_dpl(&descriptor), rpl = selector_rpl(selector);
    if (!descriptor_is_code(&descriptor) ||
        (descriptor_is_conforming(&descriptor) ? dpl > rpl : dpl != rpl)) {
        return ts(cpu, selector);
    }
    if (!(descriptor.attr & SEG_P)) {
        return raise_error(cpu, EXC_NP, selector_error(selector));
    }
    return load_checked(cpu, SEG_CS, &descriptor, selector);
}

static bool load_stack(struct vcpu *cpu, uint16_t selector)
{
    struct descriptor descriptor;

    TRY(descriptor_fetch(cpu, selector, EXC_TS, &descriptor));
    if (!descriptor_is_writable_data(&descriptor) || selector_rpl(selector) != cpu->cpl ||
        descriptor_dpl(&descriptor) != cpu->cpl) {
        return ts(cpu, selector);
    }
    if (!(descriptor.attr & SEG_P)) {
        return raise_error(cpu, EXC_SS, selector_error(selector));
    }
    return load_checked(cpu, SEG_SS, &descriptor, selector);
}

static bool load_data(struct vcpu *cpu, enum sreg which, uint16_t selector)
{
    struct descriptor descriptor;

    if (selector_is_null(selector)) {
        return true;
    }
    TRY(descriptor_fetch(cpu, selector, EXC_TS, &descriptor));
    unsigned dpl = descriptor_dpl(&descriptor);
    bool readable =
        (descriptor.attr & SEG_S) && (!descriptor_is_code(&descriptor) || (descriptor.attr & SEG_TYPE_RW));
    bool visible =
        descriptor_is_conforming(&descriptor) || (cpu->cpl <= dpl && selector_rpl(selector) <= dpl);
    if (!readable || !visible) {
        return ts(cpu, selector);
    }
    if (!(descriptor.attr & SEG_P)) {
        return raise_error(cpu, EXC_NP, selector_error(selector));
    }
    return load_checked(cpu, which, &descriptor, selector);
}

static bool load_segments(struct vcpu *cpu, const struct task_image *image)
{
    static const enum sreg data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};

    if (cpu->v86) {
        for (unsigned i = 0; i < SEG_COUNT; i++) {
            segment_load_real(cpu, (enum sreg)i, image->seg[i]);
        }
        vcpu_sync_mode(cpu);
        return true;
    }
    TRY(load_code(cpu, image->seg[SEG_CS]));
    TRY(load_stack(cpu, image->seg[SEG_SS]));
    vcpu_sync_mode(cpu);
    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        TRY(load_data(cpu, data[i], image->seg[data[i]]));
    }
    return true;
}

static bool enter_task(struct vcpu *cpu, const struct task_image *image, bool nested)
{
    load_registers(cpu, image, nested);
    if (image->wide && (cpu->cr0 & CR0_PG)) {
        TRY(cr3_write(cpu, image->cr3));
    }
    TRY(load_ldt(cpu, image->ldt));
    TRY(load_segments(cpu, image));
    return image->eip <= cpu->seg[SEG_CS].limit || raise_error(cpu, EXC_GP, 0);
}

/* ---- The switch ------------------------------------------------------------------------------------------------ */

/* Check, save the old task, and load TR. False: still in the old task. */
static bool leave_task(struct vcpu *cpu, uint16_t selector, enum task_switch_cause cause,
                       uint32_t saved_flags, struct task_image *image)
{
    struct descriptor new, old;
    bool have_old;

    TRY(fetch_tss(cpu, selector, cause, &new));
    struct segment tss = descriptor_segment(&new, selector);
    TRY(read_image(cpu, &tss, image));
    /* TR may never have been loaded; then no descriptor says that the old task is busy. */
    TRY(descriptor_lookup(cpu, cpu->tr.selector & 0xfffb, &old, &have_old));
    TRY(probe(cpu, &new, have_old ? &old : NULL, cause));
    TRY(save_state(cpu, saved_flags));
    TRY(read_image(cpu, &tss, image)); /* again: a task may return to itself */
    TRY(link_tasks(cpu, &new, have_old ? &old : NULL, cause));
    cpu->tr = tss;
    cpu->tr.attr |= TYPE_TSS_BUSY_BIT;
    return true;
}

bool task_switch_saving(struct vcpu *cpu, uint16_t selector, enum task_switch_cause cause, bool has_error,
                        uint32_t error_code, uint64_t saved_flags)
{
    struct task_image image;

    if (cause == TASK_IRET) {
        saved_flags &= ~RFLAGS_NT;
    }
    TRY(leave_task(cpu, selector, cause, (uint32_t)saved_flags, &image));
    TRY(enter_task(cpu, &image, cause == TASK_CALL || cause == TASK_GATE_EVENT));
    if (has_error) {
        TRY(stack_push(cpu, image.wide ? 4 : 2, error_code));
    }
    if (image.trap) {
        cpu->pending_dr6 |= DR6_BT;
        vcpu_sync_attention(cpu);
    }
    return true;
}

bool task_switch(struct vcpu *cpu, uint16_t selector, enum task_switch_cause cause, bool has_error,
                 uint32_t error_code)
{
    return task_switch_saving(cpu, selector, cause, has_error, error_code, cpu->rflags);
}
