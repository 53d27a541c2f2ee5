/* Segments by hand: what strangers that call and a stranger that is called share. */
#ifndef STRANGER_H
#define STRANGER_H

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISN 1000u
#define MAX_PAYLOAD 1400u

struct segment {
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t payload[MAX_PAYLOAD];
};

struct flags {
	bool syn, ack, fin;
};

/* Descriptor of the TUN device of that name. */
int attached(const char *device);

/* True if the next packet is a TCP segment over IPv4: the device has other traffic, too, IPv6's own for one. */
bool heard(int tun, struct segment *in);

/* Bytes. */
uint32_t payload_of(const struct segment *in);

void emit(int tun, in_addr_t from, in_port_t port, const struct sockaddr_in *to, uint32_t sequence,
	  uint32_t acknowledged, struct flags flags, size_t payload);

#endif
