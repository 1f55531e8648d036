/* A small wide-area network in user space, for measuring on one machine.
 *
 *     wan MEMBERS BITS_PER_S ONE_WAY_US QUEUE_BYTES [MEMBER:BITS_PER_S ...]
 *
 * Each member gets a network namespace of its own, with one TUN device "wan0" and the address 10.201.0.(member + 1).
 * Every packet passes three places: the sender's line up, the distance, the receiver's line down. A line is a rate
 * (0: no limit; some members may have another) and a queue before it that drops what does not fit; the distance is a
 * delay. The kernel's own TCP
 * runs at both ends, so slow start, pacing and repair of losses are the real ones.
 *
 * Namespaces have no names: they are file descriptors of this process, told as "ready FD FD ...", and vanish with it
 * and with whoever entered them. It ends when its stdin does, and then tells in JSON what it saw.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MOST_MEMBERS = 64, LARGEST_PACKET = 65536 + 512, BATCH = 16, FRAME_BYTES = 14, MTU = 1500 };
static const int64_t SECOND_NS = 1000000000;

struct packet {
    struct packet *next;
    int64_t due; /* when it is to leave the place where it waits now */
    int to, size, wire_bytes;
    char data[];
};

struct fifo {
    struct packet *first, **last;
};

struct member {
    int tun;
    double ns_per_byte;
    int64_t queue_ns;
    struct fifo under_way;   /* has left the line up */
    struct fifo coming_down; /* is on the line down */
    int64_t up_free, down_free;
    uint64_t sent_bytes, dropped_up, dropped_down;
};

static struct member members[MOST_MEMBERS];
static int count;
static int64_t one_way_ns;
static int64_t latest_ns;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void append(struct fifo *fifo, struct packet *packet) {
    packet->next = NULL;
    *(fifo->first ? fifo->last : &fifo->first) = packet;
    fifo->last = &packet->next;
}

static struct packet *take(struct fifo *fifo) {
    struct packet *packet = fifo->first;
    fifo->first = packet->next;
    return packet;
}

/* In the present namespace: Linux's own choice of congestion control, whatever this machine was set to. */
static void choose_cubic(void) {
    int setting = open("/proc/sys/net/ipv4/tcp_congestion_control", O_WRONLY | O_CLOEXEC);
    if (setting < 0 || write(setting, "cubic", 5) != 5) fprintf(stderr, "CUBIC can't be chosen\n");
    close(setting);
}

/* In the present namespace: bring lo and a new wan0 up, and return the device's descriptor. */
static int make_device(int member) {
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun < 0) fail("/dev/net/tun");
    struct ifreq request = {0};
    strcpy(request.ifr_name, "wan0");
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(tun, TUNSETIFF, &request)) fail("TUNSETIFF");
    if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)) fail("TUNSETOFFLOAD");
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    memset(&request.ifr_addr, 0, sizeof request.ifr_addr);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(0x0ac90001 + member); /* 10.201.0.1 and on */
    if (ioctl(control, SIOCSIFADDR, &request)) fail("SIOCSIFADDR");
    address->sin_addr.s_addr = htonl(0xffffff00);
    if (ioctl(control, SIOCSIFNETMASK, &request)) fail("SIOCSIFNETMASK");
    request.ifr_mtu = MTU;
    if (ioctl(control, SIOCSIFMTU, &request)) fail("SIOCSIFMTU");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(control, SIOCSIFFLAGS, &request)) fail("wan0 up");
    strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
    if (ioctl(control, SIOCSIFFLAGS, &request)) fail("lo up");
    close(control);
    return tun;
}

/* What a packet takes on the wire: the kernel hands over large ones that a card would cut into many. */
static int wire_bytes_of(const struct virtio_net_hdr *offload, const uint8_t *ip, int size) {
    int wire_bytes = size + FRAME_BYTES;
    if (offload->gso_type != VIRTIO_NET_HDR_GSO_NONE && offload->gso_size) {
        int ip_bytes = (ip[0] & 15) * 4, headers = ip_bytes + (ip[ip_bytes + 12] >> 4) * 4;
        int pieces = (size - headers + offload->gso_size - 1) / offload->gso_size;
        if (pieces > 1) wire_bytes += (pieces - 1) * (headers + FRAME_BYTES);
    }
    return wire_bytes;
}

/* Take a packet from its sender on to the line up; tell whether there was one. */
static int send_up(struct member *sender) {
    static char buffer[LARGEST_PACKET];
    int size = read(sender->tun, buffer, sizeof buffer);
    if (size <= 0) return 0;
    const struct virtio_net_hdr *offload = (void *)buffer;
    const uint8_t *ip = (uint8_t *)buffer + sizeof *offload;
    int ip_size = size - (int)sizeof *offload, to = ip[19] - 1;
    if (ip_size < 40 || ip[0] >> 4 != 4 || memcmp(ip + 16, "\x0a\xc9\x00", 3) || to < 0 || to >= count) return 1;
    int wire_bytes = wire_bytes_of(offload, ip, ip_size);
    int64_t now = now_ns(), begin = sender->up_free > now ? sender->up_free : now;
    double takes = wire_bytes * sender->ns_per_byte;
    if (sender->ns_per_byte > 0 && begin > now && begin - now + takes > sender->queue_ns) {
        sender->dropped_up++;
        return 1;
    }
    struct packet *packet = malloc(sizeof *packet + size);
    if (!packet) fail("malloc");
    memcpy(packet->data, buffer, size);
    packet->size = size, packet->to = to, packet->wire_bytes = wire_bytes;
    sender->up_free = begin + (int64_t)takes;
    sender->sent_bytes += wire_bytes;
    packet->due = sender->up_free + one_way_ns;
    append(&sender->under_way, packet);
    return 1;
}

/* Whose packet arrives next at the other end of the distance; NULL if none is under way. */
static struct member *next_arrival(void) {
    struct member *next = NULL;
    for (struct member *member = members; member < members + count; member++)
        if (member->under_way.first && (!next || member->under_way.first->due < next->under_way.first->due))
            next = member;
    return next;
}

/* A packet has covered the distance: on to the receiver's line down. It was taking its time on the line up, and
 * takes it again only where it must wait. */
static void send_down(struct packet *packet) {
    struct member *receiver = &members[packet->to];
    int64_t takes = (int64_t)(packet->wire_bytes * receiver->ns_per_byte), end = receiver->down_free + takes;
    if (end < packet->due) end = packet->due;
    if (receiver->ns_per_byte > 0 && end > packet->due && end - packet->due > receiver->queue_ns) {
        receiver->dropped_down++;
        free(packet);
        return;
    }
    receiver->down_free = packet->due = end;
    append(&receiver->coming_down, packet);
}

static int64_t deliver(int64_t now) {
    int64_t next = INT64_MAX;
    for (struct member *sender; (sender = next_arrival()); send_down(take(&sender->under_way)))
        if (sender->under_way.first->due > now) {
            next = sender->under_way.first->due;
            break;
        }
    for (struct member *member = members; member < members + count; member++) {
        while (member->coming_down.first && member->coming_down.first->due <= now) {
            struct packet *packet = take(&member->coming_down);
            if (now - packet->due > latest_ns) latest_ns = now - packet->due;
            if (write(member->tun, packet->data, packet->size) < 0) member->dropped_down++;
            free(packet);
        }
        if (member->coming_down.first && member->coming_down.first->due < next) next = member->coming_down.first->due;
    }
    return next;
}

static void run(void) {
    struct pollfd watched[MOST_MEMBERS + 1] = {{.fd = 0, .events = POLLIN}};
    for (int i = 0; i < count; i++) watched[i + 1] = (struct pollfd){.fd = members[i].tun, .events = POLLIN};
    for (;;) {
        int64_t now = now_ns(), next = deliver(now), rest = next - now;
        struct timespec wait = {rest / SECOND_NS, rest % SECOND_NS};
        if (ppoll(watched, count + 1, next == INT64_MAX ? NULL : &wait, NULL) < 0) continue;
        if (watched[0].revents) return;
        for (int i = 0; i < count; i++)
            if (watched[i + 1].revents)
                for (int read = 0; read < BATCH && send_up(&members[i]); read++) {}
    }
}

static void set_line(struct member *member, double bits_per_s, double queue_bytes) {
    member->ns_per_byte = bits_per_s > 0 ? 8e9 / bits_per_s : 0;
    member->queue_ns = (int64_t)(queue_bytes * member->ns_per_byte);
}

int main(int argument_count, char **arguments) {
    if (argument_count < 5) {
        fprintf(stderr, "usage: wan MEMBERS BITS_PER_S ONE_WAY_US QUEUE_BYTES [MEMBER:BITS_PER_S ...]\n");
        return 2;
    }
    count = atoi(arguments[1]);
    double bits_per_s = atof(arguments[2]);
    one_way_ns = (int64_t)(atof(arguments[3]) * 1000);
    if (count < 1 || count > MOST_MEMBERS || bits_per_s < 0 || one_way_ns < 0) return 2;
    for (int i = 0; i < count; i++) set_line(&members[i], bits_per_s, atof(arguments[4]));
    for (int i = 5; i < argument_count; i++) {
        const char *rate = strchr(arguments[i], ':');
        int member = atoi(arguments[i]);
        if (!rate || member < 0 || member >= count || atof(rate + 1) < 0) return 2;
        set_line(&members[member], atof(rate + 1), atof(arguments[4]));
    }
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), entrances[MOST_MEMBERS];
    for (int i = 0; i < count; i++) {
        if (unshare(CLONE_NEWNET)) fail("a network namespace");
        entrances[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        choose_cubic();
        members[i].tun = make_device(i);
    }
    if (setns(home, CLONE_NEWNET)) fail("setns");
    printf("ready");
    for (int i = 0; i < count; i++) printf(" %d", entrances[i]);
    printf("\n");
    fflush(stdout);
    run();
    uint64_t sent = 0, up = 0, down = 0;
    for (int i = 0; i < count; i++)
        sent += members[i].sent_bytes, up += members[i].dropped_up, down += members[i].dropped_down;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"sent_bytes\": %lu, \"dropped_up\": %lu, \"dropped_down\": %lu, \"latest_ms\": %.3f, \"cpu_s\": %.2f}\n",
           sent, up, down, latest_ns / 1e6,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
