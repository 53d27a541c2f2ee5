/* TCP segments through a TUN device. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "peer.h"
#include "stranger.h"

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

void emit(int tun, in_addr_t from, in_port_t port, const struct sockaddr_in *to, uint32_t sequence,
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
				 .daddr = to->sin_addr.s_addr };
	out.ip.check = folded(sum_of(&out.ip, sizeof(out.ip), 0));
	out.tcp = (struct tcphdr){ .source = port,
				   .dest = to->sin_port,
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

bool heard(int tun, struct segment *in)
{
	ssize_t n = read(tun, in, sizeof(*in));

	if (n < 0)
		die("tun device: %s", strerror(errno));
	return n >= (ssize_t)(sizeof(in->ip) + sizeof(in->tcp)) && in->ip.version == 4 && in->ip.protocol == IPPROTO_TCP;
}

uint32_t payload_of(const struct segment *in)
{
	return ntohs(in->ip.tot_len) - (in->ip.ihl + in->tcp.doff) * 4u;
}

int attached(const char *device)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request))
		die("tun device %s: %s", device, strerror(errno));
	return tun;
}
