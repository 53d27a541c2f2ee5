/* Peers that have no socket on this machine: they speak TCP by hand through a TUN device. A server then meets as many
 * remote addresses as one likes, and the kernel has only its end of each connection.
 *
 * No state is kept: an answer follows from the segment that it answers. A stranger's own sequence numbers are always
 * the same, and what the server acknowledges says how far the conversation is. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "load.h"
#include "peer.h"

#define AT_ONCE 256
#define ISN 1000u
#define FIRST_PORT 20000u
#define MAX_PAYLOAD 1400u

struct segment {
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t payload[MAX_PAYLOAD];
};

static uint32_t sum_of(const void *data, size_t length, uint32_t sum)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)byte[i] << 8 | byte[i + 1];
	return length & 1 ? sum + ((uint32_t)byte[length - 1] << 8) : sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

struct flags {
	bool syn, ack, fin;
};

static void emit(int tun, in_addr_t from, uint16_t port, const struct sockaddr_in *server, uint32_t sequence,
		 uint32_t acknowledged, struct flags flags, size_t payload)
{
	struct segment out;
	size_t length = sizeof(out.ip) + sizeof(out.tcp) + payload;
	uint32_t sum;

	memset(&out, 0, length);
	out.ip = (struct iphdr){ .version = 4,
				 .ihl = 5,
				 .tot_len = htons((uint16_t)length),
				 .ttl = 64,
				 .protocol = IPPROTO_TCP,
				 .saddr = from,
				 .daddr = server->sin_addr.s_addr };
	out.ip.check = folded(sum_of(&out.ip, sizeof(out.ip), 0));
	out.tcp = (struct tcphdr){ .source = port,
				   .dest = server->sin_port,
				   .seq = htonl(sequence),
				   .ack_seq = htonl(acknowledged),
				   .doff = sizeof(out.tcp) / 4,
				   .syn = flags.syn,
				   .ack = flags.ack,
				   .fin = flags.fin,
				   .window = htons(65535) };
	/* pseudo header: both addresses, protocol, length */
	sum = sum_of(&out.ip.saddr, 8, IPPROTO_TCP + (uint32_t)(sizeof(out.tcp) + payload));
	out.tcp.check = folded(sum_of(&out.tcp, sizeof(out.tcp) + payload, sum));
	if (write(tun, &out, length) != (ssize_t)length)
		die("tun device: %s", strerror(errno));
}

static void greet(int tun, const struct sockaddr_in *first, const struct sockaddr_in *server, uint64_t n)
{
	in_addr_t from = htonl(ntohl(first->sin_addr.s_addr) + (uint32_t)(n % plan.sources));
	uint16_t port = htons((uint16_t)(FIRST_PORT + n / plan.sources));

	emit(tun, from, port, server, ISN, 0, (struct flags){ .syn = true }, 0);
}

/* True if this segment ends a conversation. */
static bool answer(int tun, const struct segment *in, const struct sockaddr_in *server)
{
	size_t headers = in->ip.ihl * 4u + in->tcp.doff * 4u;
	uint32_t payload = ntohs(in->ip.tot_len) - (uint32_t)headers;
	uint32_t theirs = ntohl(in->tcp.seq), ours = ntohl(in->tcp.ack_seq);
	struct flags ack = { .ack = true };

	if (in->tcp.rst)
		die("a stranger was reset");
	if (in->tcp.syn)
		emit(tun, in->ip.daddr, in->tcp.dest, server, ours, theirs + 1, ack, plan.send);
	else if (in->tcp.fin)
		emit(tun, in->ip.daddr, in->tcp.dest, server, ours, theirs + payload + 1,
		     (struct flags){ .ack = true, .fin = true }, 0);
	else if (payload)
		emit(tun, in->ip.daddr, in->tcp.dest, server, ours, theirs + payload, ack, 0);
	else /* SYN, payload and FIN of the stranger are acknowledged */
		return ours == ISN + 1 + (uint32_t)plan.send + 1;
	return false;
}

static int attached(void)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", plan.tun);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request))
		die("tun device %s: %s", plan.tun, strerror(errno));
	return tun;
}

void visit(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *server = (const struct sockaddr_in *)address;
	struct sockaddr_storage first;
	uint64_t greeted = 0, ended = 0;
	int tun = attached();

	if (address->ss_family != AF_INET || !plan.source || plan.send > MAX_PAYLOAD ||
	    FIRST_PORT + plan.connections / plan.sources > 65535)
		die("strangers: IPv4, --source, at most %u bytes, and fewer rounds of addresses are needed", MAX_PAYLOAD);
	address_parse(plan.source, "0", &first);
	while (ended < plan.connections) {
		struct segment in;
		ssize_t n;

		for (; greeted < plan.connections && greeted - ended < AT_ONCE; greeted++)
			greet(tun, (struct sockaddr_in *)&first, server, greeted);
		n = read(tun, &in, sizeof(in));
		if (n < 0)
			die("tun device: %s", strerror(errno));
		/* the device has other traffic, too: IPv6's own, for one */
		if (n >= (ssize_t)(sizeof(in.ip) + sizeof(in.tcp)) && in.ip.version == 4 &&
		    in.ip.protocol == IPPROTO_TCP && in.tcp.source == server->sin_port && answer(tun, &in, server))
			ended++;
	}
	atomic_store(&tally->connections, ended);
	atomic_store(&tally->sent, ended * plan.send);
	atomic_store(&tally->received, ended * plan.reply);
}
