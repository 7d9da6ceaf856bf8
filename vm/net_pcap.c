/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Captures in the format of libpcap, for Wireshark and tcpdump. See vm/net.h.
 *
 *   file    magic a1b2c3d4, version 2.4, zone 0, accuracy 0, longest 65535, link type 1 (Ethernet)
 *   frame   seconds, microseconds, bytes stored, bytes on the wire, the bytes              all little-endian
 *
 * Source: draft-ietf-opsawg-pcap. A capture that cannot be written any more is given up with one line; the network goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vm/net.h"

struct net_pcap {
    struct net_tap tap;
    FILE *file; /* NULL: given up */
    char *path;
    const struct clock *clock;
    uint64_t epoch_ns;     /* added to the clock's time */
    uint64_t bytes, limit; /* written; most, 0: no limit */
};

static void pcap_write(struct net_pcap *pcap, const void *bytes, size_t count)
{
    if (pcap->file && fwrite(bytes, 1, count, pcap->file) != count) {
        fprintf(stderr, "hypatia: the capture '%s' ends here: %s\n", pcap->path, strerror(errno));
        fclose(pcap->file);
        pcap->file = NULL;
    }
    pcap->bytes += count;
}

/* Is there room for so many bytes more? If not, the capture is over. */
static bool pcap_has_room(struct net_pcap *pcap, size_t count)
{
    if (!pcap->file || !pcap->limit || pcap->bytes + count <= pcap->limit) {
        return pcap->file;
    }
    fprintf(stderr, "hypatia: the capture '%s' is as long as -output-limit allows: it ends here\n",
            pcap->path);
    fclose(pcap->file);
    pcap->file = NULL;
    return false;
}

static void pcap_frame(struct net_tap *tap, bool sent, const uint8_t *frame, size_t length)
{
    struct net_pcap *pcap = CONTAINER_OF(tap, struct net_pcap, tap);
    uint64_t now = pcap->epoch_ns + clock_now(pcap->clock);
    const uint32_t header[4] = {(uint32_t)(now / NS_PER_SEC), (uint32_t)(now % NS_PER_SEC / 1000),
                                (uint32_t)length, (uint32_t)length};

    (void)sent;
    if (pcap_has_room(pcap, sizeof(header) + length)) {
        pcap_write(pcap, header, sizeof(header));
        pcap_write(pcap, frame, length);
    }
}

static void pcap_destroy(struct net_tap *tap)
{
    struct net_pcap *pcap = CONTAINER_OF(tap, struct net_pcap, tap);

    if (pcap->file && fclose(pcap->file) != 0) {
        fprintf(stderr, "hypatia: the capture '%s' is not complete: %s\n", pcap->path, strerror(errno));
    }
    free(pcap->path);
    free(pcap);
}

static uint64_t host_epoch(const struct clock *clock)
{
    struct timespec now;

    if (clock->policy != CLOCK_REAL_TIME) {
        return 0;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec - clock_now(clock);
}

int net_pcap_open(struct net_port *port, const char *path, uint64_t limit, const struct clock *clock,
                  struct error *error)
{
    static const uint32_t header[6] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, 1};
    struct net_pcap *pcap = calloc(1, sizeof(*pcap));
    char *copy = strdup(path);
    FILE *file = fopen(path, "wbe");

    if (!pcap || !copy || !file) {
        int code = file ? ENOMEM : errno;

        if (file) {
            fclose(file);
        }
        free(copy);
        free(pcap);
        return error_set(error, -code, "%s: cannot write the capture '%s': %s", port->name, path,
                         strerror(code));
    }
    *pcap = (struct net_pcap){.tap = {pcap_frame, pcap_destroy},
                              .file = file,
                              .path = copy,
                              .clock = clock,
                              .limit = limit,
                              .epoch_ns = host_epoch(clock)};
    pcap_write(pcap, header, sizeof(header));
    port->tap = &pcap->tap;
    return 0;
}
