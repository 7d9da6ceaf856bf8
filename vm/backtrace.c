/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Back traces. See vm/backtrace.h for what a frame looks like.
 *
 * The chain begins at EBP only in the middle of a function. At its first instructions, and at its last, EBP is still or again
 * the caller's, and the return address is at the stack pointer; which it is follows from the instructions between the
 * function's symbol and EIP, or, without symbols, from the one at EIP.
 *
 * Linux for i386 marks a frame of saved registers in the chain: its address with bit 31 cleared. The registers lie there in
 * the order of its struct pt_regs, a word each: EBX ECX EDX ESI EDI EBP EAX DS ES FS GS ORIG_EAX EIP CS EFLAGS ESP SS.
 */
#include "vm/backtrace.h"

#include <inttypes.h>

#include "cpu/insn.h"

enum { PROLOGUE_BYTES = 48, SCAN_BYTES = 8192, INSN_MAX = 15, BACKWARDS_MAX = 8 };
enum { REGS_EBP = 20, REGS_EIP = 48, REGS_CS = 52, REGS_EFLAGS = 56, REGS_ESP = 60, REGS_MARK_BIT = 31 };

struct walker {
    const struct vcpu *cpu;
    const struct symbols *symbols;
    unsigned width;   /* of a stack slot: 2 or 4 bytes, by CS.D */
    uint32_t cs_base; /* where near return addresses count from */
    uint32_t bp;      /* offset in the stack's segment */
    bool user;
    struct backtrace_frame *frame;
    unsigned count, max;
};

/* ---- looking ---- */

static bool peek(const struct vcpu *cpu, uint32_t linear, void *bytes, unsigned size)
{
    for (unsigned done = 0; done < size;) {
        unsigned n = (unsigned)MIN((uint64_t)(size - done), PAGE_SIZE - ((linear + done) & PAGE_OFFSET_MASK));
        struct pagewalk walk;

        if (!pagewalk(&cpu->paging, (uint32_t)(linear + done), PAGEWALK_READ, &walk) ||
            !addr_space_peek(cpu->wiring.mem, walk.gpa, (uint8_t *)bytes + done, n)) {
            return false;
        }
        done += n;
    }
    return true;
}

/* What lies on the stack at this offset; 16-bit offsets wrap. */
static bool peek_stack(const struct walker *walker, uint32_t offset, uint32_t *value)
{
    uint32_t linear =
        (uint32_t)walker->cpu->seg[SEG_SS].base + (walker->width == 2 ? (uint16_t)offset : offset);

    *value = 0;
    return peek(walker->cpu, linear, value, walker->width);
}

/* Decode what lies there, up to so many bytes. */
static bool decode(const struct walker *walker, uint32_t linear, unsigned most, struct insn *insn)
{
    uint8_t bytes[INSN_MAX];

    for (unsigned have = 0; have < most && peek(walker->cpu, linear + have, &bytes[have], 1);) {
        if (insn_decode(bytes, ++have, walker->width == 4, walker->cpu->features, insn) == DECODE_OK) {
            return true;
        }
    }
    return false;
}

static bool is_called(const struct insn *insn, const char *mnemonic)
{
    return strcmp(insn->opcode->mnemonic, mnemonic) == 0;
}

static bool is_far(const struct insn *insn)
{
    return strcmp(insn->opcode->operands, "Ap") == 0 || strcmp(insn->opcode->operands, "Mp") == 0;
}

/* Does a CALL, near or far, end right before the address? */
static bool follows_call(const struct walker *walker, uint32_t linear, bool far)
{
    for (unsigned length = 2; length <= 8; length++) {
        struct insn insn;

        if (decode(walker, linear - length, length, &insn) && insn.length == length &&
            is_called(&insn, "call") && is_far(&insn) == far) {
            return true;
        }
    }
    return false;
}

/* Is it behind an instruction of a function? The last one may be a call that never returns. */
static bool in_code(const struct walker *walker, uint32_t linear)
{
    const struct symbol *symbol = symbols_at(walker->symbols, linear - 1);

    return symbol && symbol->code;
}

/* ---- frames ---- */

static struct backtrace_frame *add_frame(struct walker *walker, enum backtrace_source source,
                                         uint32_t address, uint32_t stack)
{
    struct backtrace_frame *frame = &walker->frame[walker->count++];

    *frame = (struct backtrace_frame){.source = source,
                                      .user = walker->user,
                                      .address = address,
                                      .stack = (uint32_t)walker->cpu->seg[SEG_SS].base +
                                               (walker->width == 2 ? (uint16_t)stack : stack)};
    return frame;
}

/* ADD ESP, n at a return address: the caller takes n bytes of arguments off again. */
static unsigned arguments_at(const struct walker *walker, uint32_t linear)
{
    struct insn insn;
    bool taken_off = decode(walker, linear, INSN_MAX, &insn) && is_called(&insn, "add") && !insn.memory &&
                     insn.modrm == 0xc4 && insn.imm < 0x100;

    return taken_off ? MIN(insn.imm / walker->width, (unsigned)BACKTRACE_ARGUMENTS) : 0;
}

/* The frame that is known last was called from `address`, where the stack pointer will be at `stack`. */
static void add_caller(struct walker *walker, enum backtrace_source source, uint32_t address, uint32_t stack)
{
    struct backtrace_frame *callee = &walker->frame[walker->count - 1];
    unsigned count = arguments_at(walker, address);

    for (unsigned i = 0; i < count; i++) {
        if (!peek_stack(walker, stack + i * walker->width, &callee->argument[i])) {
            break;
        }
        callee->arguments++;
    }
    add_frame(walker, source, address, stack);
}

/* ---- the first instructions of a function, and the last ---- */

static bool is_push_bp(const struct insn *insn)
{
    return insn->length == 1 && insn->bytes[0] == 0x55;
}

static bool is_mov_bp_sp(const struct insn *insn)
{
    return insn->length == 2 && ((insn->bytes[0] == 0x89 && insn->bytes[1] == 0xe5) ||
                                 (insn->bytes[0] == 0x8b && insn->bytes[1] == 0xec));
}

static bool is_sp_by_constant(const struct insn *insn, const char *mnemonic, uint8_t modrm)
{
    return is_called(insn, mnemonic) && insn->modrm == modrm && !insn->memory && insn->imm < 0x1000;
}

/*
 * Execute, in thought, what precedes EIP in its function, as if no jump were taken: by how much has the stack grown? False: the
 * frame is made by then, or nothing can be said.
 */
static bool grown_since(const struct walker *walker, uint32_t start, uint32_t pc, unsigned *grown)
{
    uint32_t bytes = 0;

    while (start < pc) {
        struct insn insn;

        if (!decode(walker, start, INSN_MAX, &insn) || is_mov_bp_sp(&insn) || is_called(&insn, "enter")) {
            return false;
        }
        if (is_called(&insn, "push")) {
            bytes += insn.opsize;
        } else if (is_called(&insn, "pop")) {
            bytes -= insn.opsize;
        } else if (is_sp_by_constant(&insn, "sub", 0xec)) {
            bytes += insn.imm;
        } else if (is_sp_by_constant(&insn, "add", 0xc4)) {
            bytes -= insn.imm;
        } else if (is_called(&insn, "jmp") || is_called(&insn, "ret") || is_called(&insn, "leave")) {
            return false;
        }
        start += insn.length;
    }
    *grown = bytes;
    return start == pc && bytes < 0x1000;
}

/* Is the return address still, or again, at the stack pointer plus *offset? */
static bool at_entry(const struct walker *walker, uint32_t pc, unsigned *offset)
{
    const struct symbol *symbol = symbols_at(walker->symbols, pc);
    struct insn insn;

    *offset = 0;
    if (!decode(walker, pc, INSN_MAX, &insn)) {
        return false;
    }
    if (is_called(&insn, "ret") || is_push_bp(&insn)) {
        return true;
    }
    if (symbol && symbol->code && pc - symbol->address < PROLOGUE_BYTES) {
        return grown_since(walker, (uint32_t)symbol->address, pc, offset);
    }
    if (is_mov_bp_sp(&insn)) {
        uint8_t before;

        *offset = walker->width;
        return peek(walker->cpu, pc - 1, &before, 1) && before == 0x55;
    }
    if (insn.length == 1 && insn.bytes[0] == 0x5d) { /* POP EBP */
        *offset = walker->width;
        return true;
    }
    return false;
}

/* EFLAGS as it can have been pushed: what is always 1 is, what is always 0 is. */
static bool is_eflags(uint32_t value)
{
    return (value & (RFLAGS_FIXED1 | BIT(3) | BIT(5) | BIT(15))) == RFLAGS_FIXED1 && value < BIT(22);
}

/* The first instruction of an interrupt's handler: EIP, CS and EFLAGS are at `at`. */
static bool try_interrupted(struct walker *walker, uint32_t at)
{
    uint32_t eip, cs, eflags, esp;

    if (walker->width != 4 || !walker->cpu->protected_mode || !peek_stack(walker, at, &eip) ||
        !peek_stack(walker, at + 4, &cs) || !peek_stack(walker, at + 8, &eflags) || !is_eflags(eflags)) {
        return false;
    }
    if (cs == walker->cpu->seg[SEG_CS].selector) {
        add_frame(walker, BACKTRACE_INTERRUPTED, eip, at + 12);
        return true;
    }
    if ((cs & 3) != 3 || cs > 0xffff || !peek_stack(walker, at + 12, &esp)) {
        return false;
    }
    walker->user = true;
    add_frame(walker, BACKTRACE_INTERRUPTED, eip, esp);
    return true;
}

static bool is_first(const struct walker *walker, uint32_t pc)
{
    const struct symbol *symbol = symbols_at(walker->symbols, pc);

    return symbol && symbol->code && symbol->address == pc;
}

static void try_entry(struct walker *walker, uint32_t pc)
{
    uint32_t sp = reg32(walker->cpu, RSP), ret;
    unsigned offset;

    if (walker->max > 1 && is_first(walker, pc) &&
        (try_interrupted(walker, sp) || try_interrupted(walker, sp + 4))) { /* an error code may lie below */
        return;
    }
    if (walker->max < 2 || !at_entry(walker, pc, &offset) || !peek_stack(walker, sp + offset, &ret)) {
        return;
    }
    ret = walker->cs_base + ret;
    if (follows_call(walker, ret, false)) {
        struct insn insn;

        add_caller(walker, BACKTRACE_ENTRY, ret, sp + offset + walker->width);
        if (decode(walker, pc, INSN_MAX, &insn) && insn.length == 1 && insn.bytes[0] == 0x5d) {
            peek_stack(walker, sp, &walker->bp); /* the caller's, which POP EBP is about to take */
        }
    }
}

/* ---- the chain ---- */

static bool ends(char *why, size_t size, const char *format, uint32_t value)
{
    if (why) {
        snprintf(why, size, format, value);
    }
    return false;
}

/* Linux's mark in the chain: follow it to what was interrupted. False: it is none. */
static bool step_interrupted(struct walker *walker)
{
    uint32_t regs = walker->bp | (uint32_t)BIT(REGS_MARK_BIT), eip, cs, eflags, esp, ebp;
    bool kernel = walker->frame[walker->count - 1].address >> REGS_MARK_BIT;

    if (walker->width != 4 || walker->user || !kernel || walker->bp >> REGS_MARK_BIT || walker->bp % 4 ||
        !peek_stack(walker, regs + REGS_EIP, &eip) || !peek_stack(walker, regs + REGS_CS, &cs) ||
        !peek_stack(walker, regs + REGS_EFLAGS, &eflags) || !peek_stack(walker, regs + REGS_ESP, &esp) ||
        !peek_stack(walker, regs + REGS_EBP, &ebp)) {
        return false;
    }
    if (!(eflags & RFLAGS_FIXED1) || (uint16_t)cs <= 3) {
        return false;
    }
    walker->user = (cs & 3) == 3;
    walker->bp = ebp;
    add_frame(walker, BACKTRACE_INTERRUPTED, eip, esp);
    return true;
}

/* 16-bit code returns near or far: which, the CALL before the address tells. False: neither. */
static bool find_return(struct walker *walker, uint32_t *address, unsigned *slots)
{
    uint32_t ip, cs;

    *slots = 1;
    if (!peek_stack(walker, walker->bp + walker->width, &ip)) {
        return false;
    }
    *address = walker->cs_base + ip;
    if (follows_call(walker, *address, false) || (walker->width == 4 && in_code(walker, *address))) {
        return true;
    }
    if (walker->cpu->protected_mode || !peek_stack(walker, walker->bp + 2 * walker->width, &cs)) {
        return false;
    }
    *address = ((cs & 0xffff) << 4) + ip;
    *slots = 2;
    if (!follows_call(walker, *address, true)) {
        return false;
    }
    walker->cs_base = (cs & 0xffff) << 4;
    return true;
}

static bool step_frame(struct walker *walker, char *why, size_t size)
{
    uint32_t bp, ret, address;
    unsigned slots;

    if (!peek_stack(walker, walker->bp, &bp) || !peek_stack(walker, walker->bp + walker->width, &ret)) {
        return ends(why, size, "EBP is %08" PRIx32 " there, where no frame can be read", walker->bp);
    }
    if (ret == 0) {
        return ends(why, size, "the chain ends at EBP %08" PRIx32, walker->bp);
    }
    if (!find_return(walker, &address, &slots)) {
        return ends(why, size, "%08" PRIx32 " is in a return address's place, and is none", ret);
    }
    add_caller(walker, BACKTRACE_FRAME, address, walker->bp + (1 + slots) * walker->width);
    walker->bp = bp;
    return true;
}

static void begin(struct walker *walker, const struct vcpu *cpu, const struct symbols *symbols,
                  struct backtrace_frame *frame, unsigned max)
{
    *walker = (struct walker){.cpu = cpu,
                              .symbols = symbols,
                              .width = cpu->code32 ? 4 : 2,
                              .cs_base = (uint32_t)cpu->seg[SEG_CS].base,
                              .bp = reg32(cpu, RBP),
                              .user = cpu->cpl == 3,
                              .frame = frame,
                              .max = max};
    add_frame(walker, BACKTRACE_HERE, walker->cs_base + (uint32_t)cpu->rip, reg32(cpu, RSP));
}

unsigned backtrace_chain(const struct vcpu *cpu, const struct symbols *symbols, struct backtrace_frame *frame,
                         unsigned max, char *why, size_t size)
{
    struct walker walker;
    unsigned backwards = 0;

    ends(why, size, "there may be more", 0);
    begin(&walker, cpu, symbols, frame, max);
    try_entry(&walker, (uint32_t)frame[0].address);
    while (walker.count < max) {
        uint32_t before = walker.bp;

        if (step_interrupted(&walker)) {
            continue;
        }
        if (!step_frame(&walker, why, size)) {
            break;
        }
        /* Stacks grow downwards, so frames lie ever higher, unless the code has switched stacks. */
        if (walker.bp <= before && !(walker.bp >> REGS_MARK_BIT == 0 && before >> REGS_MARK_BIT) &&
            (walker.bp == before || ++backwards > BACKWARDS_MAX)) {
            ends(why, size, "EBP %08" PRIx32 " leads backwards", walker.bp);
            break;
        }
    }
    return walker.count;
}

/* ---- the scan ---- */

unsigned backtrace_scan(const struct vcpu *cpu, const struct symbols *symbols, struct backtrace_frame *frame,
                        unsigned max)
{
    struct walker walker;
    uint32_t sp = reg32(cpu, RSP), value;

    begin(&walker, cpu, symbols, frame, max);
    for (uint32_t at = 0; at < SCAN_BYTES && walker.count < max && peek_stack(&walker, sp + at, &value);
         at += walker.width) {
        uint32_t address = walker.cs_base + value;

        if ((!symbols || in_code(&walker, address)) && follows_call(&walker, address, false)) {
            add_frame(&walker, BACKTRACE_FOUND, address, sp + at + walker.width);
        }
    }
    return walker.count;
}

/* ---- printing ---- */

const char *backtrace_remark(const struct backtrace_frame *frame)
{
    switch (frame->source) {
    case BACKTRACE_INTERRUPTED:
        return frame->user ? "interrupted here, in user mode" : "interrupted here";
    case BACKTRACE_FOUND:
        return "found on the stack";
    default:
        return "";
    }
}

const char *backtrace_name(const struct symbols *symbols, const struct backtrace_frame *frame, char *text,
                           size_t size)
{
    bool returned = frame->source != BACKTRACE_HERE && frame->source != BACKTRACE_INTERRUPTED;
    const struct symbol *symbol = symbols_at(symbols, frame->address - returned);

    if (!symbol) {
        snprintf(text, size, "%s", "");
    } else if (symbol->address == frame->address) {
        snprintf(text, size, "%s", symbol->name);
    } else {
        snprintf(text, size, "%s+0x%" PRIx64, symbol->name, frame->address - symbol->address);
    }
    return text;
}

void backtrace_print(FILE *out, const struct symbols *symbols, const struct backtrace_frame *frame,
                     unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[256];

        backtrace_name(symbols, &frame[i], name, sizeof(name));
        fprintf(out, "#%-3u 0x%08" PRIx64 "%s%s", i, frame[i].address, *name ? " " : "", name);
        if (frame[i].arguments) {
            fprintf(out, " (");
            for (unsigned n = 0; n < frame[i].arguments; n++) {
                fprintf(out, "%s0x%" PRIx32, n ? ", " : "", frame[i].argument[n]);
            }
            fputc(')', out);
        }
        fprintf(out, "%s%s\n", *backtrace_remark(&frame[i]) ? "   <- " : "", backtrace_remark(&frame[i]));
    }
}
