/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The generator and cache of stubs; cpu/hostfpu.h tells what a stub is.
 *
 *   x87 stub                              SIMD stub
 *   stmxcsr [rdi + host_mxcsr]            stmxcsr [rdi + host_mxcsr]     SIMD_FP rows
 *   fxrstor [rdi + x87]                   ldmxcsr [rdi + mxcsr]          SIMD_FP rows
 *   push [rdi + rflags]; popfq            load XMM0, MM0 or EAX from [rdi + reg]
 *   <instruction>                         load XMM1, MM1 or ECX from [rdi + rm]
 *   pushfq; pop [rdi + rflags]            <instruction>
 *   fxsave [rdi + x87]                    pushfq; pop [rdi + rflags]     rows that write flags
 *   fninit                                store what was loaded
 *   ldmxcsr [rdi + host_mxcsr]            stmxcsr [rdi + mxcsr]; ldmxcsr [rdi + host_mxcsr]
 *   ret                                   emms; ret
 *
 * RDI points to the struct hostfpu_frame, as the calling convention passes it; all registers that a stub
 * changes are the callee's to change, and the x87 unit and MXCSR are left as the convention wants them. A
 * memory operand becomes [rdi + memory]. When the buffer or the table is full, everything is forgotten and
 * generation starts afresh.
 *
 * SDM: Volume 2A, "Instruction Format".
 */
#include "cpu/hostfpu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/decode.h"

enum {
    CODE_SIZE = 64 * 1024,
    CODE_START =
        64, /* the bytes before a function are somebody's to look at (type checks of indirect calls) */
    STUB_SIZE_MAX = 128,
    STUB_ALIGN = 16,
    SLOT_COUNT = 2048, /* a power of two */
    SLOT_LIMIT = SLOT_COUNT / 2,
};

struct hostfpu {
    struct hostfpu_frame frame; /* first: it wants the struct's alignment */
    struct hostfpu_stub slot[SLOT_COUNT];
    unsigned used;          /* slots */
    unsigned position;      /* where the next stub begins in the buffer */
    uint8_t *write_view;    /* the code buffer, read and write */
    const uint8_t *execute; /* the same memory, read and execute */
};

/* ---- code ---- */

struct emitter {
    uint8_t bytes[STUB_SIZE_MAX];
    unsigned length;
};

static void emit8(struct emitter *e, uint8_t byte)
{
    e->bytes[e->length++] = byte;
}

static void emit16(struct emitter *e, uint8_t first, uint8_t second)
{
    emit8(e, first);
    emit8(e, second);
}

/* ModRM mod = 10b, r/m = 111b with a 32-bit displacement: [rdi + offset]. */
static void emit_frame_operand(struct emitter *e, unsigned reg, size_t offset)
{
    emit8(e, (uint8_t)(0x80 | reg << 3 | 7));
    store_le32(e->bytes + e->length, (uint32_t)offset);
    e->length += 4;
}

#define FRAME(member) offsetof(struct hostfpu_frame, member)

/* Group 15, 0F AE: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR by ModRM.reg. */
enum { FXSAVE, FXRSTOR, LDMXCSR, STMXCSR };

static void emit_group15(struct emitter *e, unsigned which, size_t offset)
{
    emit16(e, 0x0f, 0xae);
    emit_frame_operand(e, which, offset);
}

static void emit_load_flags(struct emitter *e)
{
    emit8(e, 0xff); /* push qword [rdi + rflags] */
    emit_frame_operand(e, 6, FRAME(rflags));
    emit8(e, 0x9d); /* popfq */
}

static void emit_store_flags(struct emitter *e)
{
    emit8(e, 0x9c); /* pushfq */
    emit8(e, 0x8f); /* pop qword [rdi + rflags] */
    emit_frame_operand(e, 0, FRAME(rflags));
}

static void emit_x87(struct emitter *e, const struct insn *insn)
{
    bool flags = insn->opcode->flags & (OPF_READ_FLAGS | OPF_WRITE_FLAGS);

    emit_group15(e, STMXCSR, FRAME(host_mxcsr));
    emit_group15(e, FXRSTOR, FRAME(x87));
    if (flags) {
        emit_load_flags(e);
    }
    emit8(e, insn->opcode->byte);
    if (insn->memory) {
        emit_frame_operand(e, insn->reg, FRAME(memory));
    } else {
        emit8(e, insn->modrm);
    }
    if (flags) {
        emit_store_flags(e);
    }
    emit_group15(e, FXSAVE, FRAME(x87));
    emit16(e, 0xdb, 0xe3); /* fninit */
    emit_group15(e, LDMXCSR, FRAME(host_mxcsr));
    emit8(e, 0xc3); /* ret */
}

/* Load or store register `number` of the kind. MOVUPS, MOVQ and MOV: opcode bytes of both directions. */
static void emit_move(struct emitter *e, enum hostfpu_operand kind, unsigned number, size_t offset,
                      bool store)
{
    switch (kind) {
    case OPERAND_NONE:
        return;
    case OPERAND_XMM:
        emit16(e, 0x0f, store ? 0x11 : 0x10);
        break;
    case OPERAND_MM:
        emit16(e, 0x0f, store ? 0x7f : 0x6f);
        break;
    case OPERAND_GPR:
        emit8(e, store ? 0x89 : 0x8b);
        break;
    }
    emit_frame_operand(e, number, offset);
}

/* The guest's instruction with its registers renumbered to 0 (ModRM.reg) and 1 (ModRM.r/m). */
static void emit_simd_insn(struct emitter *e, const struct insn *insn)
{
    const struct opcode *row = insn->opcode;
    unsigned reg = row->reg >= 0 ? (unsigned)row->reg : 0;

    if (row->prefix > OPP_NP) {
        emit8(e, row->prefix);
    }
    emit8(e, 0x0f);
    if (row->map != MAP_0F) {
        emit8(e, row->map == MAP_0F38 ? 0x38 : 0x3a);
    }
    emit8(e, row->byte);
    if (insn->memory) {
        emit_frame_operand(e, reg, FRAME(memory));
    } else {
        emit8(e, (uint8_t)(0xc0 | reg << 3 | 1));
    }
    if (strstr(row->operands, ",Ib")) {
        emit8(e, (uint8_t)insn->imm);
    }
}

static void emit_simd(struct emitter *e, const struct insn *insn, const struct hostfpu_stub *stub)
{
    uint32_t flags = insn->opcode->flags;

    if (flags & OPF_SIMD_FP) {
        emit_group15(e, STMXCSR, FRAME(host_mxcsr));
        emit_group15(e, LDMXCSR, FRAME(mxcsr));
    }
    emit_move(e, stub->reg, 0, FRAME(reg), false);
    emit_move(e, stub->rm, 1, FRAME(rm), false);
    emit_simd_insn(e, insn);
    if (flags & OPF_WRITE_FLAGS) {
        emit_store_flags(e);
    }
    emit_move(e, stub->reg_written ? stub->reg : OPERAND_NONE, 0, FRAME(reg), true);
    emit_move(e, stub->rm_written ? stub->rm : OPERAND_NONE, 1, FRAME(rm), true);
    if (flags & OPF_SIMD_FP) {
        emit_group15(e, STMXCSR, FRAME(mxcsr));
        emit_group15(e, LDMXCSR, FRAME(host_mxcsr));
    }
    if (stub->reg == OPERAND_MM || stub->rm == OPERAND_MM) {
        emit16(e, 0x0f, 0x77); /* emms */
    }
    emit8(e, 0xc3); /* ret */
}

/* ---- operands ---- */

/* Bytes of an operand from its size letters; see cpu/opcodes_fpu.def. */
static unsigned operand_bytes(const struct operand *operand)
{
    const char *slash = memchr(operand->text, '/', operand->length);
    const char *size = slash ? slash + 2 : operand->text + 1;

    switch (size[0]) {
    case 'b':
        return 1;
    case 'w':
        return 2;
    case 'd':
        return size[1] == 'q' ? 16 : 4;
    case 'q':
        return 8;
    case 's':
        return size[1] == 's' ? 4 : 8;
    case 't':
        return 10;
    default:
        return size[1] == 'i' ? 8 : 16; /* pi; ps, pd */
    }
}

static enum hostfpu_operand register_kind(char letter)
{
    switch (letter) {
    case 'P':
    case 'Q':
    case 'N':
        return OPERAND_MM;
    case 'V':
    case 'W':
    case 'U':
        return OPERAND_XMM;
    case 'G':
    case 'E':
    case 'R':
        return OPERAND_GPR;
    default:
        return OPERAND_NONE;
    }
}

static void describe_operand(struct hostfpu_stub *stub, const struct insn *insn,
                             const struct operand *operand, bool written)
{
    enum hostfpu_operand kind = register_kind(operand->letter);

    if (operand->letter == 0 || operand->letter == 'I') {
        return;
    }
    if (strchr("PVG", operand->letter)) {
        stub->reg = (uint8_t)kind;
        stub->reg_written = written;
    } else if (insn->memory) {
        unsigned bytes = operand_bytes(operand);
        stub->memory_size = (uint8_t)bytes;
        stub->memory_align = bytes == 10 ? 8 : (uint8_t)bytes;
    } else {
        stub->rm = (uint8_t)kind;
        stub->rm_written = written;
    }
}

/* The first operand is the destination, unless the result goes to the flags. */
static void describe(struct hostfpu_stub *stub, const struct insn *insn)
{
    const char *cursor = insn->opcode->operands;
    bool written = !(insn->opcode->flags & OPF_WRITE_FLAGS);
    struct operand operand;

    while (operand_next(&cursor, &operand)) {
        describe_operand(stub, insn, &operand, written);
        written = false;
    }
}

/* ---- cache ---- */

/* Never 0. x87 encodings differ in opcode byte and ModRM, SIMD ones in row, kind of r/m and immediate. */
static uint32_t stub_key(const struct insn *insn)
{
    const struct opcode *row = insn->opcode;

    if (row->flags & OPF_FPU) {
        unsigned modrm = insn->memory ? insn->modrm & 0x38u : insn->modrm;
        return 1u << 31 | (uint32_t)row->byte << 8 | modrm;
    }
    return 1u << 30 | (uint32_t)row->id << 9 | (uint32_t)insn->memory << 8 | (uint8_t)insn->imm;
}

static void forget_all(struct hostfpu *hostfpu)
{
    memset(hostfpu->slot, 0, sizeof(hostfpu->slot));
    hostfpu->used = 0;
    hostfpu->position = CODE_START;
}

/* Slot of the key: the one that has it, or the free one where it belongs. */
static struct hostfpu_stub *find_slot(struct hostfpu *hostfpu, uint32_t key)
{
    unsigned i = key * 0x9e3779b1u >> 21;

    while (hostfpu->slot[i % SLOT_COUNT].key && hostfpu->slot[i % SLOT_COUNT].key != key) {
        i++;
    }
    return &hostfpu->slot[i % SLOT_COUNT];
}

static void generate(struct hostfpu *hostfpu, struct hostfpu_stub *stub, const struct insn *insn)
{
    struct emitter e = {.length = 0};

    describe(stub, insn);
    if (insn->opcode->flags & OPF_FPU) {
        emit_x87(&e, insn);
    } else {
        emit_simd(&e, insn, stub);
    }
    memcpy(hostfpu->write_view + hostfpu->position, e.bytes, e.length);
    stub->run = (void (*)(struct hostfpu_frame *))(uintptr_t)(hostfpu->execute + hostfpu->position);
    hostfpu->position += (unsigned)ALIGN_UP(e.length, STUB_ALIGN);
    hostfpu->used++;
}

const struct hostfpu_stub *hostfpu_stub(struct hostfpu *hostfpu, const struct insn *insn)
{
    uint32_t key = stub_key(insn);
    struct hostfpu_stub *stub = find_slot(hostfpu, key);

    if (LIKELY(stub->key)) {
        return stub;
    }
    if (hostfpu->used >= SLOT_LIMIT || hostfpu->position + STUB_SIZE_MAX > CODE_SIZE) {
        forget_all(hostfpu);
        stub = find_slot(hostfpu, key);
    }
    stub->key = key;
    generate(hostfpu, stub, insn);
    return stub;
}

struct hostfpu_frame *hostfpu_frame(struct hostfpu *hostfpu)
{
    return &hostfpu->frame;
}

/* ---- life ---- */

static int map_code(struct hostfpu *hostfpu, struct error *error)
{
    int result = 0;
    int fd = memfd_create("hypatia-hostfpu", MFD_CLOEXEC);

    if (fd < 0) {
        return error_set(error, -errno, "FPU code buffer: memfd_create: %s", strerror(errno));
    }
    if (ftruncate(fd, CODE_SIZE) < 0) {
        result = error_set(error, -errno, "FPU code buffer: ftruncate: %s", strerror(errno));
        goto out;
    }
    void *view = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (view == MAP_FAILED) {
        result = error_set(error, -errno, "FPU code buffer: mmap: %s", strerror(errno));
        goto out;
    }
    void *execute = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (execute == MAP_FAILED) {
        result = error_set(error, -errno, "FPU code buffer: mmap for execution: %s", strerror(errno));
        munmap(view, CODE_SIZE);
        goto out;
    }
    hostfpu->write_view = view;
    hostfpu->execute = execute;
out:
    close(fd);
    return result;
}

struct hostfpu *hostfpu_create(struct error *error)
{
    struct hostfpu *hostfpu = aligned_alloc(_Alignof(struct hostfpu), sizeof(*hostfpu));

    if (!hostfpu) {
        error_set(error, -ENOMEM, "FPU code buffer: out of memory");
        return NULL;
    }
    memset(hostfpu, 0, sizeof(*hostfpu));
    if (map_code(hostfpu, error) < 0) {
        free(hostfpu);
        return NULL;
    }
    forget_all(hostfpu);
    return hostfpu;
}

void hostfpu_destroy(struct hostfpu *hostfpu)
{
    if (!hostfpu) {
        return;
    }
    munmap(hostfpu->write_view, CODE_SIZE);
    munmap((void *)(uintptr_t)hostfpu->execute, CODE_SIZE);
    free(hostfpu);
}
