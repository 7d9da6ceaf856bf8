/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one file that includes Capstone. See monitor/disassemble.h.
 */
#include "monitor/disassemble.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct disassembler {
    csh handle;
    cs_insn *insn; /* Capstone's, to be filled again and again */
};

struct disassembler *disassembler_open(unsigned bits, struct error *error)
{
    struct disassembler *disassembler = calloc(1, sizeof(*disassembler));
    cs_mode mode = bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16;
    cs_err code = CS_ERR_MEM;

    if (disassembler) {
        code = cs_open(CS_ARCH_X86, mode, &disassembler->handle);
    }
    if (code != CS_ERR_OK) {
        error_set(error, code == CS_ERR_MEM ? -ENOMEM : -EINVAL, "disassembler: %s", cs_strerror(code));
        free(disassembler);
        return NULL;
    }
    cs_option(disassembler->handle, CS_OPT_DETAIL, CS_OPT_ON);
    disassembler->insn = cs_malloc(disassembler->handle);
    if (!disassembler->insn) {
        error_set(error, -ENOMEM, "disassembler: out of memory");
        disassembler_close(disassembler);
        return NULL;
    }
    return disassembler;
}

void disassembler_close(struct disassembler *disassembler)
{
    if (!disassembler) {
        return;
    }
    if (disassembler->insn) {
        cs_free(disassembler->insn, 1);
    }
    cs_close(&disassembler->handle);
    free(disassembler);
}

static void find_target(struct disassembler *disassembler, struct disassembled *result)
{
    const cs_insn *insn = disassembler->insn;
    bool transfers = cs_insn_group(disassembler->handle, insn, CS_GRP_JUMP) ||
                     cs_insn_group(disassembler->handle, insn, CS_GRP_CALL);

    if (transfers && insn->detail && insn->detail->x86.op_count == 1 &&
        insn->detail->x86.operands[0].type == X86_OP_IMM) {
        result->branch = true;
        result->target = (uint64_t)insn->detail->x86.operands[0].imm;
    }
}

void disassemble(struct disassembler *disassembler, const uint8_t *bytes, size_t size, uint64_t address,
                 struct disassembled *result)
{
    *result = (struct disassembled){.length = 1};
    if (!cs_disasm_iter(disassembler->handle, &bytes, &size, &address, disassembler->insn)) {
        snprintf(result->text, sizeof(result->text), ".byte 0x%02x", bytes[0]);
        return;
    }
    result->length = disassembler->insn->size;
    snprintf(result->text, sizeof(result->text), "%s%s%s", disassembler->insn->mnemonic,
             *disassembler->insn->op_str ? " " : "", disassembler->insn->op_str);
    find_target(disassembler, result);
}
