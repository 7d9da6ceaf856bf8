/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The socket and NAT back ends and captures, driven through an event loop with a fake adapter.
 */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/ethernet.h"
#include "vm/net.h"

struct adapter {
    struct net_port port;
    unsigned received;
    bool full;
    size_t length;
    uint8_t frame[NET_FRAME_MAX];
};

static bool adapter_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct adapter *adapter = owner;
    if (adapter->full) {
        return false;
    }
    adapter->received++;
    adapter->length = length;
    memcpy(adapter->frame, frame, length);
    return true;
}

static const struct net_port_ops adapter_ops = {.receive = adapter_receive};

struct bench {
    struct loop loop;
    struct clock clock;
    struct net_port *backend[2];
    struct adapter adapter[2];
    char path[64];
};

static struct bench *bench_create(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    cr_assert_eq(loop_init(&bench->loop, NULL), 0);
    clock_init(&bench->clock, CLOCK_STEPPED);
    snprintf(bench->path, sizeof(bench->path), "/tmp/hypatia-net-%d.sock", (int)getpid());
    for (unsigned i = 0; i < 2; i++) {
        net_port_init(&bench->adapter[i].port, "nic", &adapter_ops, &bench->adapter[i]);
    }
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    for (unsigned i = 0; i < 2; i++) {
        net_port_fini(&bench->adapter[i].port);
        net_port_destroy(bench->backend[i]);
    }
    loop_fini(&bench->loop);
    free(bench);
}

static void turn(struct bench *bench, unsigned times)
{
    while (times--) {
        loop_poll(&bench->loop, 2000000);
    }
}

static void open_socket(struct bench *bench, unsigned number, bool server)
{
    struct net_socket_config config = {.server = server, .is_unix = true};
    struct error error = {{0}};
    strcpy(config.path, bench->path);
    cr_assert_eq(net_socket_create(&bench->backend[number], "net0", &config, &bench->loop, &error), 0, "%s",
                 error.text);
    net_port_connect(&bench->adapter[number].port, bench->backend[number]);
}

Test(net_socket, carries_frames_of_every_length_between_two_ends)
{
    struct bench *bench = bench_create();
    uint8_t frame[NET_FRAME_MAX];
    open_socket(bench, 0, true);
    open_socket(bench, 1, false);
    turn(bench, 2);
    for (size_t length = 14; length <= NET_FRAME_MAX; length += 1637) {
        memset(frame, (int)length, length);
        for (unsigned from = 0; from < 2; from++) {
            struct adapter *to = &bench->adapter[1 - from];
            unsigned before = to->received;
            cr_assert(net_port_send(&bench->adapter[from].port, frame, length));
            turn(bench, 3);
            cr_assert_eq(to->received, before + 1);
            cr_assert_eq(to->length, length);
            cr_assert_arr_eq(to->frame, frame, length);
        }
    }
    bench_destroy(bench);
}

/* Frames wait for their companions, but not for ever: till the sender has no more, or the loop turns. */
Test(net_socket, collects_frames_until_it_is_flushed)
{
    struct bench *bench = bench_create();
    uint8_t frame[100] = {0}, byte;
    open_socket(bench, 0, true);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, bench->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    turn(bench, 2);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(net_port_send(&bench->adapter[0].port, frame, sizeof(frame)));
    }
    cr_assert_eq(recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    net_port_flush(&bench->adapter[0].port);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t got[104];
        cr_assert_eq(recv(fd, got, sizeof(got), MSG_DONTWAIT), (ssize_t)sizeof(got));
        cr_assert_eq(load_be32(got), 100);
    }
    cr_assert(net_port_send(&bench->adapter[0].port, frame, sizeof(frame)));
    turn(bench, 1);
    cr_assert_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
    for (unsigned i = 0; i < 700; i++) {
        cr_assert(net_port_send(&bench->adapter[0].port, frame, sizeof(frame)));
    }
    cr_assert_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 1, "64 KiB are enough");
    close(fd);
    bench_destroy(bench);
}

Test(net_socket, slows_the_sender_down_and_loses_nothing)
{
    struct bench *bench = bench_create();
    uint8_t frame[1500] = {0};
    unsigned sent = 0;
    open_socket(bench, 0, true);
    open_socket(bench, 1, false);
    turn(bench, 2);
    bench->adapter[1].full = true;
    while (net_port_send(&bench->adapter[0].port, frame, sizeof(frame))) {
        sent++;
        cr_assert_lt(sent, 10000, "nothing ever pushed back");
        if (sent % 8 == 0) {
            loop_poll(&bench->loop, 0);
        }
    }
    bench->adapter[1].full = false;
    bench->backend[1]->ops->writable(bench->backend[1]->owner);
    bench->backend[1]->starved = false;
    for (unsigned i = 0; i < 1000 && bench->adapter[1].received < sent; i++) {
        turn(bench, 1);
    }
    cr_assert_eq(bench->adapter[1].received, sent);
    cr_assert_not(bench->adapter[0].port.starved);
    bench_destroy(bench);
}

static int connect_raw(struct bench *bench)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(address.sun_path, bench->path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    turn(bench, 2);
    return fd;
}

Test(net_socket, garbage_and_half_frames_do_no_harm)
{
    static const uint32_t lengths[] = {0, 13, NET_FRAME_MAX + 1, 0x7fffffff, 0xffffffff};
    struct bench *bench = bench_create();
    uint8_t frame[64] = {0};
    open_socket(bench, 0, true);
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        uint32_t header = htonl(lengths[i]);
        int fd = connect_raw(bench);
        cr_assert_eq(write(fd, &header, 4), 4);
        turn(bench, 2);
        cr_assert_eq(read(fd, frame, 1), 0, "still connected after length %u", lengths[i]);
        close(fd);
    }
    uint32_t header = htonl(60);
    int fd = connect_raw(bench);
    cr_assert_eq(write(fd, &header, 3), 3);
    turn(bench, 2);
    cr_assert_eq(write(fd, (uint8_t *)&header + 3, 1), 1);
    cr_assert_eq(write(fd, frame, 59), 59);
    turn(bench, 2);
    cr_assert_eq(bench->adapter[0].received, 0);
    cr_assert_eq(write(fd, frame, 1), 1);
    turn(bench, 2);
    cr_assert_eq(bench->adapter[0].received, 1);
    close(fd);
    turn(bench, 2);
    cr_assert(net_port_send(&bench->adapter[0].port, frame, 60), "nobody listens: lost");
    bench_destroy(bench);
}

Test(net_socket, a_place_that_cannot_be_had_is_named)
{
    struct bench *bench = bench_create();
    struct net_socket_config config = {.is_unix = true, .path = "/nonexistent/socket"};
    struct error error = {{0}};
    struct net_port *port = NULL;
    cr_assert_lt(net_socket_create(&port, "net0", &config, &bench->loop, &error), 0);
    cr_assert(strstr(error.text, "/nonexistent/socket"));
    bench_destroy(bench);
}

static void open_user(struct bench *bench, bool restricted)
{
    struct net_user_config config = {.restricted = restricted,
                                     .network.s_addr = inet_addr("10.0.2.0"),
                                     .mask.s_addr = inet_addr("255.255.255.0"),
                                     .host.s_addr = inet_addr("10.0.2.2"),
                                     .dns.s_addr = inet_addr("10.0.2.3"),
                                     .dhcp_start.s_addr = inet_addr("10.0.2.15")};
    struct error error = {{0}};
    cr_assert_eq(net_user_create(&bench->backend[0], "net0", &config, &bench->loop, &bench->clock, &error), 0,
                 "%s", error.text);
    net_port_connect(&bench->adapter[0].port, bench->backend[0]);
}

Test(net_user, answers_arp_for_the_host)
{
    struct bench *bench = bench_create();
    uint8_t request[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    0,    0,  1, 8, 6,
                           0,    1,    8,    0,    6,    4,    0,    1,    0x52, 0x54, 0,  0, 0, 1,
                           10,   0,    2,    15,   0,    0,    0,    0,    0,    0,    10, 0, 2, 2};
    open_user(bench, false);
    net_port_send(&bench->adapter[0].port, request, sizeof(request));
    turn(bench, 2);
    cr_assert_eq(bench->adapter[0].received, 1);
    cr_assert_eq(bench->adapter[0].frame[21], 2, "a reply");
    cr_assert_eq(memcmp(bench->adapter[0].frame + 28, "\x0a\0\2\2", 4), 0);
    bench_destroy(bench);
}

/* A TCP segment of the guest, 10.0.2.15:1000, to a port of the host; `frame` holds its data behind 54 bytes. */
static void send_tcp(struct bench *bench, uint8_t *frame, unsigned port, uint32_t seq, uint32_t ack,
                     uint8_t flags, size_t payload)
{
    static const uint8_t head[34] = {0x52, 0x55, 10, 0, 2, 2,  0x52, 0x54, 0, 0,  0, 1, 8,  0,  0x45, 0, 0,
                                     0,    0,    0,  0, 0, 64, 6,    0,    0, 10, 0, 2, 15, 10, 0,    2, 2};
    memcpy(frame, head, sizeof(head));
    memset(frame + 34, 0, 20);
    store_be16(frame + 16, (uint16_t)(40 + payload));
    store_be16(frame + 24, (uint16_t)~ethernet_sum(frame + 14, 20));
    store_be16(frame + 34, 1000);
    store_be16(frame + 36, (uint16_t)port);
    store_be32(frame + 38, seq);
    store_be32(frame + 42, ack);
    frame[46] = 0x50;
    frame[47] = flags;
    store_be16(frame + 48, 0xffff);
    uint16_t sum = ethernet_sum_add(ethernet_sum(frame + 26, 8), (uint16_t)(6 + 20 + payload));
    store_be16(frame + 50, (uint16_t)~ethernet_sum_add(sum, ethernet_sum(frame + 34, 20 + payload)));
    cr_assert(net_port_send(&bench->adapter[0].port, frame, MAX(54 + payload, (size_t)60)));
}

/* What long_tcp promises: a segment as long as a frame can be goes through to the host's socket in one piece. */
Test(net_user, takes_tcp_segments_beyond_any_mtu)
{
    enum { SYN = 2, PSH_ACK = 0x18, ACK = 0x10, PAYLOAD = NET_FRAME_MAX - 54 };
    struct bench *bench = bench_create();
    struct adapter *adapter = &bench->adapter[0];
    uint8_t frame[NET_FRAME_MAX] = {0}, got[PAYLOAD];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(server, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(listen(server, 1), 0);
    getsockname(server, (struct sockaddr *)&address, &length);
    unsigned port = ntohs(address.sin_port);

    open_user(bench, false);
    cr_assert(net_port_takes_long_tcp(&adapter->port));
    send_tcp(bench, frame, port, 1000, 0, SYN, 0);
    turn(bench, 4);
    /* libslirp asks for our address first, as any host does. */
    uint8_t arp[60] = {0x52, 0x55, 10,   0, 2, 2, 0x52, 0x54, 0, 0, 0,  1,    8,    6,  0, 1, 8, 0,  6, 4, 0,
                       2,    0x52, 0x54, 0, 0, 0, 1,    10,   0, 2, 15, 0x52, 0x55, 10, 0, 2, 2, 10, 0, 2, 2};
    net_port_send(&adapter->port, arp, sizeof(arp));
    clock_skip(&bench->clock, 1000000000);
    turn(bench, 4);
    cr_assert_eq(adapter->frame[47], 0x12, "SYN and ACK");
    uint32_t theirs = load_be32(adapter->frame + 38) + 1;
    send_tcp(bench, frame, port, 1001, theirs, ACK, 0);
    int connection = accept(server, NULL, NULL);
    for (unsigned i = 0; i < PAYLOAD; i++) {
        frame[54 + i] = (uint8_t)(i * 31 >> 3);
    }
    send_tcp(bench, frame, port, 1001, theirs, PSH_ACK, PAYLOAD);
    turn(bench, 2);
    cr_assert_eq(recv(connection, got, sizeof(got), MSG_WAITALL), PAYLOAD);
    cr_assert_arr_eq(got, frame + 54, PAYLOAD);
    cr_assert_eq(load_be32(adapter->frame + 42), 1001 + PAYLOAD, "all of it is acknowledged");
    close(connection);
    close(server);
    bench_destroy(bench);
}

/* Fragments that overlap, come out of order, claim to be huge or to have no end, and headers that lie. */
static unsigned count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

static uint16_t ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 20; i += 2) {
        sum += (uint32_t)(header[i] << 8 | header[i + 1]);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* One datagram from each port to 10.0.2.2: a socket each, which lives for minutes. */
Test(net_user, a_guest_keeps_a_bounded_number_of_sockets)
{
    struct bench *bench = bench_create();
    uint8_t frame[64] = {
        0x52,          0x55, 10, 0,  2, 2,  0x52, 0x54, 0,  0x12, 0x34, 0x56, 0x08, 0x00,
        /* IP */ 0x45, 0,    0,  50, 0, 0,  0,    0,    64, 17,   0,    0,    10,   0,    2, 15, 10, 0, 2, 2,
        /* UDP */ 0,   0,    0,  9,  0, 30, 0,    0};
    uint16_t sum = ip_checksum(frame + 14);
    unsigned before, after;

    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){1000, 1000}), 0);
    open_user(bench, false);
    frame[24] = (uint8_t)(sum >> 8);
    frame[25] = (uint8_t)sum;
    before = count_descriptors();
    for (unsigned port = 1024; port < 1024 + 2000; port++) {
        frame[34] = (uint8_t)(port >> 8);
        frame[35] = (uint8_t)port;
        net_port_send(&bench->adapter[0].port, frame, sizeof(frame));
    }
    after = count_descriptors();
    cr_assert_geq(after - before, 500u, "%u sockets", after - before);
    cr_assert_leq(after - before, 512u, "%u sockets", after - before);
    bench_destroy(bench);
    cr_assert_leq(count_descriptors(), before);
}

Test(net_user, hostile_packets_do_no_harm)
{
    struct bench *bench = bench_create();
    uint64_t random = 88172645463325252ull;
    open_user(bench, false);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t frame[1514] = {0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0, 0, 1, 8, 0, 0x45};
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        frame[14] = (uint8_t)(0x40 | (random & 1 ? 5 : random >> 1 & 15));
        frame[16] = (uint8_t)(random >> 8 & 7);
        frame[17] = (uint8_t)(random >> 16);
        frame[19] = (uint8_t)(random >> 24 & 3);
        frame[20] = (uint8_t)(random >> 32 & 0x3f);
        frame[21] = (uint8_t)(random >> 40);
        frame[22] = 64;
        frame[23] = (uint8_t)(random >> 48 & 3 ? random >> 48 & 1 ? 17 : 6 : 1);
        memcpy(frame + 26, "\x0a\0\2\xf\x0a\0\2\2", 8);
        uint32_t sum = 0;
        unsigned header = (frame[14] & 15u) * 4;
        for (unsigned j = 0; j + 1 < header; j += 2) {
            sum += (uint32_t)frame[14 + j] << 8 | frame[15 + j];
        }
        sum = (sum & 0xffff) + (sum >> 16);
        sum = ~((sum & 0xffff) + (sum >> 16));
        frame[24] = (uint8_t)(sum >> 8);
        frame[25] = (uint8_t)sum;
        for (unsigned j = 34; j < 80; j++) {
            frame[j] = (uint8_t)(random >> (j % 57));
        }
        net_port_send(&bench->adapter[0].port, frame, 34 + (random >> 4) % 1480);
        if (i % 64 == 0) {
            clock_skip(&bench->clock, 50000000);
            loop_poll(&bench->loop, 0);
        }
    }
    bench_destroy(bench);
}

Test(net_pcap, writes_the_header_and_each_frame)
{
    struct bench *bench = bench_create();
    struct error error = {{0}};
    char path[64];
    uint8_t file[4096], frame[100];
    snprintf(path, sizeof(path), "/tmp/hypatia-net-%d.pcap", (int)getpid());
    memset(frame, 0x42, sizeof(frame));
    net_port_connect(&bench->adapter[0].port, &bench->adapter[1].port);
    cr_assert_eq(net_pcap_open(&bench->adapter[0].port, path, 0, &bench->clock, &error), 0, "%s", error.text);
    clock_step_to(&bench->clock, 3 * NS_PER_SEC + 5000);
    net_port_send(&bench->adapter[0].port, frame, 60);
    net_port_send(&bench->adapter[1].port, frame, 100);
    bench_destroy(bench);
    FILE *in = fopen(path, "rb");
    cr_assert_not_null(in);
    size_t size = fread(file, 1, sizeof(file), in);
    fclose(in);
    unlink(path);
    cr_assert_eq(size, 24 + 16 + 60 + 16 + 100);
    cr_assert_eq(load_le32(file), 0xa1b2c3d4);
    cr_assert_eq(load_le16(file + 4), 2);
    cr_assert_eq(load_le16(file + 6), 4);
    cr_assert_eq(load_le32(file + 20), 1);
    cr_assert_eq(load_le32(file + 24), 3);
    cr_assert_eq(load_le32(file + 28), 5);
    cr_assert_eq(load_le32(file + 32), 60);
    cr_assert_eq(load_le32(file + 24 + 16 + 60 + 8), 100);
    struct net_port port;
    net_port_init(&port, "net0", &adapter_ops, NULL);
    cr_assert_lt(net_pcap_open(&port, "/nonexistent/file", 0, &bench->clock, &error), 0);
}

Test(net_pcap, ends_at_its_limit_with_a_whole_frame)
{
    struct bench *bench = bench_create();
    struct error error = {{0}};
    struct stat status;
    char path[64];
    uint8_t frame[100] = {0};
    snprintf(path, sizeof(path), "/tmp/hypatia-net-limit-%d.pcap", (int)getpid());
    net_port_connect(&bench->adapter[0].port, &bench->adapter[1].port);
    cr_assert_eq(net_pcap_open(&bench->adapter[0].port, path, 400, &bench->clock, &error), 0, "%s",
                 error.text);
    for (unsigned i = 0; i < 10; i++) {
        net_port_send(&bench->adapter[0].port, frame, 100);
    }
    cr_assert_eq(bench->adapter[0].port.sent_frames, 10, "the network goes on");
    bench_destroy(bench);
    cr_assert_eq(stat(path, &status), 0);
    unlink(path);
    cr_assert_eq(status.st_size, 24 + 3 * (16 + 100));
}

/* A back end that answers each frame before it returns, as libslirp answers DHCP. */
static bool echo_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct adapter *echo = owner;
    uint8_t answer[NET_FRAME_MAX];

    memcpy(answer, frame, length);
    answer[0] ^= 0xff;
    net_port_send(&echo->port, answer, length);
    return true;
}

static const struct net_port_ops echo_ops = {.receive = echo_receive};

struct order_tap {
    struct net_tap tap;
    unsigned count;
    bool sent[8];
    uint8_t first_byte[8];
};

static void order_frame(struct net_tap *tap, bool sent, const uint8_t *frame, size_t length)
{
    struct order_tap *order = CONTAINER_OF(tap, struct order_tap, tap);

    cr_assert_eq(length, 60);
    cr_assert_lt(order->count, 8);
    order->sent[order->count] = sent;
    order->first_byte[order->count++] = frame[0];
}

static void order_destroy(struct net_tap *tap)
{
    (void)tap;
}

Test(net_tap, sees_a_question_before_its_answer)
{
    struct bench *bench = bench_create();
    struct order_tap near = {.tap = {order_frame, order_destroy}},
                     far = {.tap = {order_frame, order_destroy}};
    uint8_t frame[60] = {0x0f};

    net_port_init(&bench->adapter[1].port, "echo", &echo_ops, &bench->adapter[1]);
    net_port_connect(&bench->adapter[0].port, &bench->adapter[1].port);
    bench->adapter[0].port.tap = &near.tap;
    bench->adapter[1].port.tap = &far.tap;
    cr_assert(net_port_send(&bench->adapter[0].port, frame, sizeof(frame)));
    cr_assert_eq(bench->adapter[0].received, 1);
    cr_assert_eq(near.count, 2);
    cr_assert(near.sent[0] && !near.sent[1]);
    cr_assert_eq(near.first_byte[0], 0x0f);
    cr_assert_eq(near.first_byte[1], 0xf0);
    cr_assert_eq(far.count, 2);
    cr_assert(!far.sent[0] && far.sent[1]);
    bench_destroy(bench);
}

Test(net_tap, sees_a_refused_frame_once_it_is_taken)
{
    struct bench *bench = bench_create();
    struct order_tap near = {.tap = {order_frame, order_destroy}};
    uint8_t frame[60] = {1};

    net_port_connect(&bench->adapter[0].port, &bench->adapter[1].port);
    bench->adapter[0].port.tap = &near.tap;
    bench->adapter[1].full = true;
    cr_assert_not(net_port_send(&bench->adapter[0].port, frame, sizeof(frame)));
    cr_assert_eq(near.count, 0);
    bench->adapter[1].full = false;
    cr_assert(net_port_send(&bench->adapter[0].port, frame, sizeof(frame)));
    cr_assert_eq(near.count, 1);
    bench_destroy(bench);
}
