/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gdb_fuzz [--seconds N] [--seed N] ROM: hostile clients for the gdb stub.
 *
 * A VM, its stub and the client are all in this thread: the client writes pieces of mutated sessions, real packets with some of
 * their bytes changed, and noise, hangs up where it likes and comes again; the VM takes a step in between. Now and then a client
 * with manners must be served as if nothing had happened. What else can go wrong is for the sanitizers to see.
 *
 * A failure names the seed, and the same seed does the same again: -icount leaves time out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/gdb.h"
#include "tests/fuzz/rng.h"
#include "vm/pacer.h"

enum { SESSION_MAX = 40, BYTES_MAX = 40000, ROUNDS_A_VM = 400, PATIENCE = 4000, ATTEMPTS = 50 };

struct fuzz {
    struct rng rng;
    uint64_t seed;
    const char *rom;
    char path[64];
    struct hypervisor *hv;
    struct vm_config config;
    struct vm *vm;
    struct gdb *gdb;
    int client; /* -1: none */
};

static void fail(const struct fuzz *fuzz, const char *what)
{
    fprintf(stderr, "gdb_fuzz: seed %llu: %s\n", (unsigned long long)fuzz->seed, what);
    exit(1);
}

/* ---- The VM ---------------------------------------------------------------------------------------------------- */

static void open_vm(struct fuzz *fuzz)
{
    char gdb[80], *words[] = {(char *)"hypatia", (char *)"-m",
                              (char *)"4",       (char *)"-bios",
                              (char *)fuzz->rom, (char *)"-display",
                              (char *)"none",    (char *)"-vga",
                              (char *)"none",    (char *)"-nodefaults",
                              (char *)"-icount", (char *)"3",
                              (char *)"-accel",  (char *)(fuzz->seed % 2 ? "interp" : "dbt")};
    enum config_action action;
    struct error error = {{0}};
    struct gdb_port *port;

    config_init(&fuzz->config);
    if (config_parse(&fuzz->config, (int)ARRAY_LEN(words), words, &action, &error) < 0) {
        fail(fuzz, error.text);
    }
    snprintf(gdb, sizeof(gdb), "unix:%s", fuzz->path);
    port = gdb_port_open(gdb, &error);
    fuzz->vm = port ? vm_create(&fuzz->config, &error) : NULL;
    if (!fuzz->vm) {
        fail(fuzz, error.text);
    }
    fuzz->gdb = gdb_create(fuzz->vm, fuzz->hv, port);
}

static void close_vm(struct fuzz *fuzz)
{
    gdb_destroy(fuzz->gdb);
    vm_destroy(fuzz->vm);
}

/* The VM ends as its guest or its clients like; then there is another one. */
static void step_vm(struct fuzz *fuzz)
{
    uint64_t wait;

    vm_look_outside(fuzz->vm); /* for the client, whatever the time is */
    if (vm_step(fuzz->vm, UINT64_MAX, &wait) == VM_NEXT_STOPPED) {
        close_vm(fuzz);
        open_vm(fuzz);
    }
}

/* ---- The client ------------------------------------------------------------------------------------------------- */

static void hang_up(struct fuzz *fuzz)
{
    if (fuzz->client >= 0) {
        close(fuzz->client);
    }
    fuzz->client = -1;
}

static void call(struct fuzz *fuzz)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, fuzz->path);
    fuzz->client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fuzz->client < 0 || connect(fuzz->client, (struct sockaddr *)&address, sizeof(address)) < 0) {
        hang_up(fuzz); /* its queue is full of those that have hung up: the VM has to look */
    }
}

/* Read what has come; most of the time. */
static size_t listen_to(struct fuzz *fuzz, char *bytes, size_t size)
{
    ssize_t n = fuzz->client >= 0 ? read(fuzz->client, bytes, size) : -1;

    if (n == 0) {
        hang_up(fuzz);
    }
    return n > 0 ? (size_t)n : 0;
}

static void say(struct fuzz *fuzz, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size && fuzz->client >= 0;) {
        ssize_t n = send(fuzz->client, bytes + at, MIN(size - at, (size_t)1 + rng_below(&fuzz->rng, 3000)),
                         MSG_NOSIGNAL);

        if (n > 0) {
            at += (size_t)n;
        } else if (errno != EAGAIN) {
            hang_up(fuzz);
        } else if (rng_once_in(&fuzz->rng, 20)) {
            return;
        }
        step_vm(fuzz);
        if (!rng_once_in(&fuzz->rng, 10)) {
            char heard[4096];

            listen_to(fuzz, heard, sizeof(heard));
        }
    }
}

/* ---- What it says ------------------------------------------------------------------------------------------------ */

static const char *const packets[] = {
    "qSupported:swbreak+;hwbreak+;vContSupported+",
    "vMustReplyEmpty",
    "QStartNoAckMode",
    "Hg0",
    "Hc-1",
    "qXfer:features:read:target.xml:0,ffb",
    "qTStatus",
    "?",
    "qfThreadInfo",
    "qsThreadInfo",
    "qThreadExtraInfo,1",
    "qC",
    "g",
    "p8",
    "P0=78563412",
    "P8=00000f00",
    "P9=ffffffff",
    "Pa=08000000",
    "Pc=10000000",
    "P29=11000080",
    "P2b=00000900",
    "P2c=ffffffff",
    "m0,40",
    "mf0000,ffff",
    "mffffffff,10",
    "mc0100000,1000",
    "Mc0100000,4:deadbeef",
    "Mf0000,2:ebfe",
    "X100000,4:abcd",
    "X100000,ffffffffffffffff:ab",
    "c",
    "cf0000",
    "C05",
    "s",
    "s00100000",
    "vCont?",
    "vCont;c",
    "vCont;s:1;c",
    "vCont;rf0000,f0040:1",
    "vCont;r0,ffffffff",
    "Z0,f0000,1",
    "Z1,c0100000,1",
    "Z2,7000,2",
    "Z3,90000,1000",
    "Z4,0,ffffffff",
    "z0,f0000,1",
    "z2,7000,2",
    "T1",
    "D",
    "k",
    "vKill;1",
    "qRcmd,696e666f20726567697374657273",
    "qRcmd,73797374656d5f7265736574",
    "qRcmd,73746f70",
    "qRcmd,636f6e74",
    "qSearch:memory:f0000;10000;\xfa\x31",
    "qSearch:memory:0;ffffffff;zzz",
    "Qqemu.PhyMemMode:1",
    "qqemu.sstepbits",
    "Qqemu.sstep=0x5",
};

static size_t add_packet(struct fuzz *fuzz, uint8_t *bytes)
{
    const char *text = packets[rng_below(&fuzz->rng, ARRAY_LEN(packets))];
    size_t length = strlen(text), used = 1 + length;
    uint8_t sum = 0;

    bytes[0] = '$';
    memcpy(bytes + 1, text, length);
    if (rng_once_in(&fuzz->rng, 4)) {
        bytes[1 + rng_below(&fuzz->rng, (uint32_t)length)] = (uint8_t)rng_u32(&fuzz->rng);
    }
    if (rng_once_in(&fuzz->rng, 10)) {
        used = 1 + rng_below(&fuzz->rng, (uint32_t)length);
    }
    for (size_t i = 1; i < used; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    sum = rng_once_in(&fuzz->rng, 15) ? (uint8_t)rng_u32(&fuzz->rng) : sum;
    return used + (size_t)sprintf((char *)bytes + used, "#%02x", sum);
}

static size_t add_noise(struct fuzz *fuzz, uint8_t *bytes)
{
    static const char telling[] = "+-$#\x03}*\0;:,";
    size_t length = rng_below(&fuzz->rng, rng_once_in(&fuzz->rng, 50) ? 20000 : 8);

    for (size_t i = 0; i < length; i++) {
        bytes[i] = rng_once_in(&fuzz->rng, 3) ? (uint8_t)rng_u32(&fuzz->rng)
                                              : (uint8_t)telling[rng_below(&fuzz->rng, sizeof(telling) - 1)];
    }
    return length;
}

/* One client from its first word to its last. */
static void run_session(struct fuzz *fuzz)
{
    static uint8_t bytes[BYTES_MAX];
    unsigned count = 1 + rng_below(&fuzz->rng, SESSION_MAX);
    size_t length = 0;

    call(fuzz);
    for (unsigned i = 0; i < count && length + 20100 < BYTES_MAX; i++) {
        length +=
            rng_once_in(&fuzz->rng, 5) ? add_noise(fuzz, bytes + length) : add_packet(fuzz, bytes + length);
    }
    say(fuzz, bytes, length);
    hang_up(fuzz);
    if (rng_once_in(&fuzz->rng, 2)) {
        step_vm(fuzz);
    }
}

/* ---- Manners ----------------------------------------------------------------------------------------------------- */

/* Say one thing, and wait until `wanted` is heard. */
static bool ask(struct fuzz *fuzz, const char *text, const char *wanted)
{
    char heard[8192];
    size_t length = 0;

    if (fuzz->client < 0 || send(fuzz->client, text, strlen(text), MSG_NOSIGNAL) < 0) {
        return false;
    }
    for (unsigned i = 0; i < PATIENCE && fuzz->client >= 0; i++) {
        step_vm(fuzz);
        length += listen_to(fuzz, heard + length, sizeof(heard) - 1 - length);
        heard[length] = '\0';
        if (memmem(heard, length, wanted, strlen(wanted))) {
            return true;
        }
    }
    return false;
}

static bool converse(struct fuzz *fuzz)
{
    call(fuzz);
    return ask(fuzz, "+$qC#b4", "$QC1#c5") && ask(fuzz, "$qfThreadInfo#bb", "$m1#9e") &&
           ask(fuzz, "$Z1,0,1#44", "$OK#9a") && ask(fuzz, "$z1,0,1#64", "$OK#9a") &&
           ask(fuzz, "$D#44", "$OK#9a");
}

/* Whatever was said before, a client is served soon: clients that have hung up may still be in the queue, and so may what they
 * said, which was perhaps to end the VM. */
static void check_service(struct fuzz *fuzz)
{
    bool served = false;

    for (unsigned i = 0; i < ATTEMPTS && !served; i++) {
        served = converse(fuzz);
        hang_up(fuzz);
        step_vm(fuzz);
    }
    if (!served) {
        fail(fuzz, "a client with manners was not served");
    }
}

int main(int argc, char **argv)
{
    struct fuzz fuzz = {.seed = 1, .client = -1};
    uint64_t seconds = 10, began = pacer_host_now(), sessions = 0;
    struct error error = {{0}};

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--seconds") && i + 1 < argc) {
            seconds = strtoull(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
            fuzz.seed = strtoull(argv[++i], NULL, 10);
        } else {
            fuzz.rom = argv[i];
        }
    }
    if (!fuzz.rom) {
        fprintf(stderr, "usage: gdb_fuzz [--seconds N] [--seed N] ROM\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    fuzz.hv = hypervisor_create(1, &error);
    snprintf(fuzz.path, sizeof(fuzz.path), P_tmpdir "/gdb_fuzz.%d", (int)getpid());
    while (pacer_host_now() - began < seconds * NS_PER_SEC) {
        fuzz.rng.state = fuzz.seed;
        open_vm(&fuzz);
        for (unsigned i = 0; i < ROUNDS_A_VM && pacer_host_now() - began < seconds * NS_PER_SEC; i++) {
            run_session(&fuzz);
            if (i % 10 == 9) {
                check_service(&fuzz);
            }
            sessions++;
        }
        close_vm(&fuzz);
        fuzz.seed++;
    }
    hypervisor_destroy(fuzz.hv);
    printf("gdb_fuzz: %llu sessions\n", (unsigned long long)sessions);
    return 0;
}
