/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the integer instruction functions share: ModRM operands, conditions, and the parameter lists.
 *
 * SDM: Volume 2A, "Instruction Format"; Volume 1, Appendix B, "EFLAGS Condition Codes".
 */
#ifndef CPU_EXEC_UTIL_H
#define CPU_EXEC_UTIL_H

#include "cpu/access_inline.h"
#include "cpu/exec.h"

#define EXEC(name) bool exec_##name(struct vcpu *cpu, const struct insn *insn)
/* For instructions that look at nothing of their encoding. */
#define EXEC_PLAIN(name) bool exec_##name(struct vcpu *cpu, const struct insn *insn __attribute__((unused)))

/* Read, write or read and write the ModRM r/m operand. */
#define DEFINE_RM(bits)                                                                                      \
    static inline bool rm_read##bits(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *value)       \
    {                                                                                                        \
        if (insn->memory) {                                                                                  \
            return fast_read##bits(cpu, insn->seg, insn_ea(cpu, insn), value);                               \
        }                                                                                                    \
        *value = reg##bits(cpu, insn->rm);                                                                   \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    static inline bool rm_write##bits(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)       \
    {                                                                                                        \
        if (insn->memory) {                                                                                  \
            return fast_write##bits(cpu, insn->seg, insn_ea(cpu, insn), value);                              \
        }                                                                                                    \
        set_reg##bits(cpu, insn->rm, value);                                                                 \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    static inline bool rm_begin##bits(struct vcpu *cpu, const struct insn *insn, struct rmw *rmw,            \
                                      uint##bits##_t *value)                                                 \
    {                                                                                                        \
        if (insn->memory) {                                                                                  \
            return fast_rmw_begin##bits(cpu, insn->seg, insn_ea(cpu, insn), rmw, value);                     \
        }                                                                                                    \
        *value = reg##bits(cpu, insn->rm);                                                                   \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    static inline void rm_end##bits(struct vcpu *cpu, const struct insn *insn, const struct rmw *rmw,        \
                                    uint##bits##_t value)                                                    \
    {                                                                                                        \
        if (insn->memory) {                                                                                  \
            fast_rmw_end##bits(cpu, rmw, value);                                                             \
        } else {                                                                                             \
            set_reg##bits(cpu, insn->rm, value);                                                             \
        }                                                                                                    \
    }

DEFINE_RM(8)
DEFINE_RM(16)
DEFINE_RM(32)
#undef DEFINE_RM

/* The sixteen conditions under the names of Jcc, SETcc and CMOVcc. */
#define CONDITION_o(f)  (((f)&RFLAGS_OF) != 0)
#define CONDITION_b(f)  (((f)&RFLAGS_CF) != 0)
#define CONDITION_e(f)  (((f)&RFLAGS_ZF) != 0)
#define CONDITION_be(f) (((f) & (RFLAGS_CF | RFLAGS_ZF)) != 0)
#define CONDITION_s(f)  (((f)&RFLAGS_SF) != 0)
#define CONDITION_p(f)  (((f)&RFLAGS_PF) != 0)
#define CONDITION_l(f)  ((((f) >> 7 ^ (f) >> 11) & 1) != 0)
#define CONDITION_le(f) (CONDITION_e(f) || CONDITION_l(f))
#define CONDITION_no(f) (!CONDITION_o(f))
#define CONDITION_ae(f) (!CONDITION_b(f))
#define CONDITION_ne(f) (!CONDITION_e(f))
#define CONDITION_a(f)  (!CONDITION_be(f))
#define CONDITION_ns(f) (!CONDITION_s(f))
#define CONDITION_np(f) (!CONDITION_p(f))
#define CONDITION_ge(f) (!CONDITION_l(f))
#define CONDITION_g(f)  (!CONDITION_le(f))

#define FOR_EACH_CONDITION(m)                                                                                \
    m(o) m(no) m(b) m(ae) m(e) m(ne) m(be) m(a) m(s) m(ns) m(p) m(np) m(l) m(ge) m(le) m(g)

/* Continue at `target`, an offset in CS of the operand size. False: #GP(0), beyond the limit. */
static inline bool branch_to(struct vcpu *cpu, const struct insn *insn, uint32_t target)
{
    if (LIKELY(cpu->flat >> SEG_CS & 1) && LIKELY(insn->opsize == 4)) {
        cpu->next_rip = target;
        return true;
    }
    return branch_near(cpu, insn, target);
}

static inline bool branch_relative(struct vcpu *cpu, const struct insn *insn)
{
    return branch_to(cpu, insn, (uint32_t)cpu->next_rip + insn->imm);
}

#endif
