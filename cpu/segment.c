/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Descriptors and segment registers: look-up, checks, loads, and the instructions that ask about selectors.
 *
 * SDM: Volume 3A, "Protection" ("Limit Checking", "Privilege Level Checking When Accessing Data Segments");
 * Volume 2, "MOV", "LAR", "LSL", "VERR/VERW", "ARPL", "LLDT", "LTR", "SLDT", "STR".
 *
 *   load of        null      beyond table   wrong type, privilege    not present
 *   SS             #GP(0)    #GP(sel)       #GP(sel)                 #SS(sel)
 *   DS ES FS GS    unusable  #GP(sel)       #GP(sel)                 #NP(sel)
 *   LDTR           unusable  #GP(sel)       #GP(sel)                 #NP(sel)
 *   TR             #GP(0)    #GP(sel)       #GP(sel)                 #NP(sel)
 *
 * NOTE: flags in descriptors (accessed, busy) are changed by a one-byte write after a read. A VM has one
 * processor and devices do not write while it runs, so the pair is atomic.
 */
#include "cpu/descriptor.h"
#include "cpu/exec.h"

/* ---- Descriptors ---------------------------------------------------------------------------------------- */

void descriptor_parse(struct descriptor *descriptor, const uint8_t bytes[8])
{
    descriptor->low = load_le32(bytes);
    descriptor->high = load_le32(bytes + 4);
    descriptor->attr = descriptor->high >> 8 & 0xf0ff;
}

bool descriptor_lookup(struct vcpu *cpu, uint16_t selector, struct descriptor *descriptor, bool *found)
{
    bool local = selector & 4;
    uint64_t base = local ? cpu->ldtr.base : cpu->gdtr.base;
    uint32_t limit = local ? cpu->ldtr.limit : cpu->gdtr.limit;
    uint8_t bytes[8];

    *found = false;
    if (selector_is_null(selector) || (local && (cpu->ldtr.attr & SEG_UNUSABLE)) || (selector | 7u) > limit) {
        return true;
    }
    descriptor->selector = selector;
    descriptor->linear = (uint32_t)(base + (selector & 0xfff8));
    TRY(sys_read(cpu, descriptor->linear, bytes, sizeof(bytes)));
    descriptor_parse(descriptor, bytes);
    *found = true;
    return true;
}

bool descriptor_fetch(struct vcpu *cpu, uint16_t selector, enum vector vector, struct descriptor *descriptor)
{
    bool found;

    TRY(descriptor_lookup(cpu, selector, descriptor, &found));
    return found || raise_error(cpu, vector, selector_error(selector));
}

struct segment descriptor_segment(const struct descriptor *descriptor, uint16_t selector)
{
    uint32_t low = descriptor->low, high = descriptor->high;
    uint32_t limit = (high & 0xf0000) | (low & 0xffff);

    return (struct segment){
        .selector = selector,
        .attr = descriptor->attr,
        .limit = (descriptor->attr & SEG_G) ? limit << 12 | 0xfff : limit,
        .base = (high & 0xff000000) | (high & 0xff) << 16 | low >> 16,
    };
}

/* Write the byte that holds P, DPL, S and type. */
static bool write_type(struct vcpu *cpu, const struct descriptor *descriptor, uint32_t attr)
{
    uint8_t byte = (uint8_t)attr;
    return sys_write(cpu, (uint32_t)(descriptor->linear + 5), &byte, 1);
}

bool descriptor_set_accessed(struct vcpu *cpu, struct descriptor *descriptor)
{
    if (descriptor->attr & SEG_TYPE_ACCESSED) {
        return true;
    }
    TRY(write_type(cpu, descriptor, descriptor->attr | SEG_TYPE_ACCESSED));
    descriptor->attr |= SEG_TYPE_ACCESSED;
    descriptor->high |= (uint32_t)SEG_TYPE_ACCESSED << 8;
    return true;
}

bool descriptor_set_busy(struct vcpu *cpu, const struct descriptor *descriptor, bool busy)
{
    uint32_t attr = descriptor->attr;
    return write_type(cpu, descriptor, busy ? attr | TYPE_TSS_BUSY_BIT : attr & ~TYPE_TSS_BUSY_BIT);
}

struct segment segment_null(uint16_t selector)
{
    return (struct segment){.selector = selector, .attr = SEG_UNUSABLE};
}

bool segment_contains(const struct segment *segment, uint32_t offset, uint32_t size)
{
    uint64_t last = (uint64_t)offset + size - 1;
    uint32_t type = segment->attr & (SEG_TYPE_CODE | SEG_TYPE_ED);

    if (type == SEG_TYPE_ED) { /* expand down: valid above the limit, up to 64 KiB or 4 GiB */
        return offset > segment->limit && last <= ((segment->attr & SEG_DB) ? 0xffffffff : 0xffff);
    }
    return last <= segment->limit;
}

/* ---- Loads of data segments ------------------------------------------------------------------------------ */

void segment_load_real(struct vcpu *cpu, enum sreg which, uint16_t selector)
{
    struct segment *segment = &cpu->seg[which];

    segment->selector = selector;
    segment->base = (uint32_t)selector << 4;
    if (cpu->v86) {
        segment->limit = 0xffff;
        segment->attr = SEG_P | SEG_S | SEG_DPL | SEG_TYPE_RW | SEG_TYPE_ACCESSED;
    } else if (segment->attr & SEG_UNUSABLE) {
        /* In real mode a load keeps limit and attributes ("unreal mode"), but there is no null selector. */
        segment->limit = 0xffff;
        segment->attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACCESSED;
    }
    vcpu_sync_segment(cpu, which);
}

/* SS: writable data of exactly this privilege level. */
static bool check_stack(struct vcpu *cpu, const struct descriptor *descriptor, uint16_t selector)
{
    if (selector_rpl(selector) != cpu->cpl || !descriptor_is_writable_data(descriptor) ||
        descriptor_dpl(descriptor) != cpu->cpl) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    return (descriptor->attr & SEG_P) || raise_error(cpu, EXC_SS, selector_error(selector));
}

/* DS, ES, FS, GS: readable, and neither CPL nor RPL above DPL unless conforming code. */
static bool check_data(struct vcpu *cpu, const struct descriptor *descriptor, uint16_t selector)
{
    bool code = descriptor_is_code(descriptor);
    unsigned dpl = descriptor_dpl(descriptor);

    if (!(descriptor->attr & SEG_S) || (code && !(descriptor->attr & SEG_TYPE_RW))) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    if (!descriptor_is_conforming(descriptor) && (selector_rpl(selector) > dpl || cpu->cpl > dpl)) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    return (descriptor->attr & SEG_P) || raise_error(cpu, EXC_NP, selector_error(selector));
}

static bool segment_load_protected(struct vcpu *cpu, enum sreg which, uint16_t selector)
{
    struct descriptor descriptor;

    if (selector_is_null(selector)) {
        if (which == SEG_SS) {
            return raise_error(cpu, EXC_GP, 0);
        }
        cpu->seg[which] = segment_null(selector);
        vcpu_sync_segment(cpu, which);
        return true;
    }
    TRY(descriptor_fetch(cpu, selector, EXC_GP, &descriptor));
    if (which == SEG_SS) {
        TRY(check_stack(cpu, &descriptor, selector));
    } else {
        TRY(check_data(cpu, &descriptor, selector));
    }
    TRY(descriptor_set_accessed(cpu, &descriptor));
    cpu->seg[which] = descriptor_segment(&descriptor, selector);
    vcpu_sync_segment(cpu, which);
    return true;
}

bool segment_load(struct vcpu *cpu, enum sreg which, uint16_t selector)
{
    if (which == SEG_CS) {
        return raise_exception(cpu, EXC_UD);
    }
    if (cpu->protected_mode) {
        return segment_load_protected(cpu, which, selector);
    }
    segment_load_real(cpu, which, selector);
    return true;
}

/* ---- Operands ------------------------------------------------------------------------------------------- */

bool operand_read16(struct vcpu *cpu, const struct insn *insn, uint16_t *value)
{
    if (insn->memory) {
        return mem_read16(cpu, (enum sreg)insn->seg, insn_ea(cpu, insn), value);
    }
    *value = reg16(cpu, insn->rm);
    return true;
}

bool operand_write_system(struct vcpu *cpu, const struct insn *insn, uint32_t value)
{
    if (insn->memory) {
        return mem_write16(cpu, (enum sreg)insn->seg, insn_ea(cpu, insn), (uint16_t)value);
    }
    if (insn->opsize == 2) {
        set_reg16(cpu, insn->rm, (uint16_t)value);
    } else {
        set_reg32(cpu, insn->rm, value);
    }
    return true;
}

/* ---- MOV and POP of segment registers, LDS and its kin ------------------------------------------------------ */

/* After MOV SS and POP SS one instruction runs undisturbed, so that it can load ESP. */
static bool load_with_shadow(struct vcpu *cpu, enum sreg which, uint16_t selector)
{
    TRY(segment_load(cpu, which, selector));
    if (which == SEG_SS) {
        vcpu_set_shadow(cpu, SHADOW_MOV_SS);
    }
    return true;
}

bool exec_mov_Sw_Ew(struct vcpu *cpu, const struct insn *insn)
{
    uint16_t selector;

    TRY(operand_read16(cpu, insn, &selector));
    return load_with_shadow(cpu, (enum sreg)insn->reg, selector);
}

bool exec_mov_Ev_Sw(struct vcpu *cpu, const struct insn *insn)
{
    return operand_write_system(cpu, insn, cpu->seg[insn->reg].selector);
}

static bool pop_segment(struct vcpu *cpu, const struct insn *insn, unsigned size)
{
    uint64_t rsp = cpu->gpr[RSP];
    uint32_t selector;

    TRY(stack_pop(cpu, size, &selector));
    if (!load_with_shadow(cpu, (enum sreg)insn->reg, (uint16_t)selector)) {
        cpu->gpr[RSP] = rsp;
        return false;
    }
    return true;
}

bool exec_pop_sreg_16(struct vcpu *cpu, const struct insn *insn)
{
    return pop_segment(cpu, insn, 2);
}

bool exec_pop_sreg_32(struct vcpu *cpu, const struct insn *insn)
{
    return pop_segment(cpu, insn, 4);
}

bool far_pointer_read(struct vcpu *cpu, const struct insn *insn, unsigned size, uint16_t *selector,
                      uint32_t *offset)
{
    uint32_t ea = insn_ea(cpu, insn), behind = ea + size;
    enum sreg seg = (enum sreg)insn->seg;

    if (size == 2) {
        uint16_t word;
        TRY(mem_read16(cpu, seg, ea, &word));
        *offset = word;
    } else {
        TRY(mem_read32(cpu, seg, ea, offset));
    }
    return mem_read16(cpu, seg, insn->addrsize == 2 ? (uint16_t)behind : behind, selector);
}

#define LOAD_FAR_POINTER(name, which)                                                                        \
    bool exec_##name##_16(struct vcpu *cpu, const struct insn *insn)                                         \
    {                                                                                                        \
        uint16_t selector;                                                                                   \
        uint32_t offset;                                                                                     \
                                                                                                             \
        TRY(far_pointer_read(cpu, insn, 2, &selector, &offset));                                             \
        TRY(segment_load(cpu, which, selector));                                                             \
        set_reg16(cpu, insn->reg, (uint16_t)offset);                                                         \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    bool exec_##name##_32(struct vcpu *cpu, const struct insn *insn)                                         \
    {                                                                                                        \
        uint16_t selector;                                                                                   \
        uint32_t offset;                                                                                     \
                                                                                                             \
        TRY(far_pointer_read(cpu, insn, 4, &selector, &offset));                                             \
        TRY(segment_load(cpu, which, selector));                                                             \
        set_reg32(cpu, insn->reg, offset);                                                                   \
        return true;                                                                                         \
    }

LOAD_FAR_POINTER(les, SEG_ES)
LOAD_FAR_POINTER(lds, SEG_DS)
LOAD_FAR_POINTER(lss, SEG_SS)
LOAD_FAR_POINTER(lfs, SEG_FS)
LOAD_FAR_POINTER(lgs, SEG_GS)

/* ---- Protected mode only ------------------------------------------------------------------------------------- */

static bool require_protected(struct vcpu *cpu)
{
    return cpu->protected_mode || raise_exception(cpu, EXC_UD);
}

/* ---- LDTR and TR ---------------------------------------------------------------------------------------- */

bool exec_sldt(struct vcpu *cpu, const struct insn *insn)
{
    TRY(require_protected(cpu));
    return operand_write_system(cpu, insn, cpu->ldtr.selector);
}

bool exec_str(struct vcpu *cpu, const struct insn *insn)
{
    TRY(require_protected(cpu));
    return operand_write_system(cpu, insn, cpu->tr.selector);
}

/* LLDT and LTR: a system descriptor of the GDT, of a type in `types` (bit per type), present. */
static bool fetch_system(struct vcpu *cpu, uint16_t selector, uint32_t types, struct descriptor *descriptor)
{
    if (selector & 4) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    TRY(descriptor_fetch(cpu, selector, EXC_GP, descriptor));
    if (!(types & 1u << descriptor_system_type(descriptor))) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    return (descriptor->attr & SEG_P) || raise_error(cpu, EXC_NP, selector_error(selector));
}

bool exec_lldt(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    uint16_t selector;

    TRY(require_protected(cpu));
    TRY(cpu->cpl == 0 || raise_error(cpu, EXC_GP, 0));
    TRY(operand_read16(cpu, insn, &selector));
    if (selector_is_null(selector)) {
        cpu->ldtr = segment_null(selector);
        return true;
    }
    TRY(fetch_system(cpu, selector, 1u << TYPE_LDT, &descriptor));
    cpu->ldtr = descriptor_segment(&descriptor, selector);
    return true;
}

bool exec_ltr(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    uint16_t selector;

    TRY(require_protected(cpu));
    TRY(cpu->cpl == 0 || raise_error(cpu, EXC_GP, 0));
    TRY(operand_read16(cpu, insn, &selector));
    TRY(fetch_system(cpu, selector, 1u << TYPE_TSS16_AVAILABLE | 1u << TYPE_TSS32_AVAILABLE, &descriptor));
    TRY(descriptor_set_busy(cpu, &descriptor, true));
    cpu->tr = descriptor_segment(&descriptor, selector);
    cpu->tr.attr |= TYPE_TSS_BUSY_BIT;
    return true;
}

/* ---- Questions about selectors: the answer is ZF ---------------------------------------------------------- */

static bool answer(struct vcpu *cpu, bool zf)
{
    cpu->rflags = zf ? cpu->rflags | RFLAGS_ZF : cpu->rflags & ~RFLAGS_ZF;
    return true;
}

/* CPL and RPL allow the descriptor to be seen. */
static bool is_visible(const struct vcpu *cpu, const struct descriptor *descriptor)
{
    unsigned dpl = descriptor_dpl(descriptor);

    return descriptor_is_conforming(descriptor) ||
           (cpu->cpl <= dpl && selector_rpl(descriptor->selector) <= dpl);
}

/* The operand's descriptor; *found also says that it is visible and its type in `system_types` (or code, data). */
static bool find_visible(struct vcpu *cpu, const struct insn *insn, uint32_t system_types,
                         struct descriptor *descriptor, bool *found)
{
    uint16_t selector;

    TRY(require_protected(cpu));
    TRY(operand_read16(cpu, insn, &selector));
    TRY(descriptor_lookup(cpu, selector, descriptor, found));
    if (*found && !(descriptor->attr & SEG_S)) {
        *found = system_types & 1u << descriptor_system_type(descriptor);
    }
    *found = *found && is_visible(cpu, descriptor);
    return true;
}

#define TYPES_TSS_LDT                                                                                        \
    (1u << TYPE_TSS16_AVAILABLE | 1u << TYPE_LDT | 1u << TYPE_TSS16_BUSY | 1u << TYPE_TSS32_AVAILABLE |      \
     1u << TYPE_TSS32_BUSY)
#define TYPES_LAR (TYPES_TSS_LDT | 1u << TYPE_CALL_GATE16 | 1u << TYPE_TASK_GATE | 1u << TYPE_CALL_GATE32)

bool exec_lar_16(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found;

    TRY(find_visible(cpu, insn, TYPES_LAR, &descriptor, &found));
    if (found) {
        set_reg16(cpu, insn->reg, descriptor.high & 0xff00);
    }
    return answer(cpu, found);
}

bool exec_lar_32(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found;

    TRY(find_visible(cpu, insn, TYPES_LAR, &descriptor, &found));
    if (found) { /* bits 19:16, undefined in the manual, come along as they do on processors */
        set_reg32(cpu, insn->reg, descriptor.high & 0x00ffff00);
    }
    return answer(cpu, found);
}

bool exec_lsl_16(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found;

    TRY(find_visible(cpu, insn, TYPES_TSS_LDT, &descriptor, &found));
    if (found) {
        set_reg16(cpu, insn->reg, (uint16_t)descriptor_segment(&descriptor, 0).limit);
    }
    return answer(cpu, found);
}

bool exec_lsl_32(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found;

    TRY(find_visible(cpu, insn, TYPES_TSS_LDT, &descriptor, &found));
    if (found) {
        set_reg32(cpu, insn->reg, descriptor_segment(&descriptor, 0).limit);
    }
    return answer(cpu, found);
}

bool exec_verr(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found;

    TRY(find_visible(cpu, insn, 0, &descriptor, &found));
    return answer(cpu, found && (!descriptor_is_code(&descriptor) || (descriptor.attr & SEG_TYPE_RW)));
}

bool exec_verw(struct vcpu *cpu, const struct insn *insn)
{
    struct descriptor descriptor;
    bool found;

    TRY(find_visible(cpu, insn, 0, &descriptor, &found));
    return answer(cpu, found && descriptor_is_writable_data(&descriptor));
}

bool exec_arpl(struct vcpu *cpu, const struct insn *insn)
{
    uint16_t source = reg16(cpu, insn->reg), target;
    struct rmw rmw = {0};

    TRY(require_protected(cpu));
    if (insn->memory) {
        TRY(rmw_begin16(cpu, (enum sreg)insn->seg, insn_ea(cpu, insn), &rmw, &target));
    } else {
        target = reg16(cpu, insn->rm);
    }
    bool raised = selector_rpl(target) < selector_rpl(source);
    if (raised) {
        target = (uint16_t)((target & 0xfffc) | selector_rpl(source));
    }
    if (insn->memory) {
        rmw_end16(cpu, &rmw, target);
    } else {
        set_reg16(cpu, insn->rm, target);
    }
    return answer(cpu, raised);
}
