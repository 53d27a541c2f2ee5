/* Peers that have no socket on this machine: they speak TCP by hand through a TUN device. A server then meets as many
 * remote addresses as one likes, and the kernel has only its end of each connection.
 *
 * No state is kept: an answer follows from the segment that it answers. A stranger's own sequence numbers are always
 * the same, and what the server acknowledges says how far the conversation is. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "load.h"
#include "peer.h"
#include "stranger.h"

#define AT_ONCE 256
#define FIRST_PORT 20000u

static void greet(int tun, const struct sockaddr_in *first, const struct sockaddr_in *server, uint64_t n)
{
	in_addr_t from = htonl(ntohl(first->sin_addr.s_addr) + (uint32_t)(n % plan.sources));
	uint16_t port = htons((uint16_t)(FIRST_PORT + n / plan.sources));

	emit(tun, from, port, server, ISN, 0, (struct flags){ .syn = true }, 0);
}

/* True if this segment ends a conversation. */
static bool answer(int tun, const struct segment *in, const struct sockaddr_in *server)
{
	uint32_t payload = payload_of(in), theirs = ntohl(in->tcp.seq), ours = ntohl(in->tcp.ack_seq);
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

void visit(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *server = (const struct sockaddr_in *)address;
	struct sockaddr_storage first;
	uint64_t greeted = 0, ended = 0;
	int tun = attached(plan.tun);

	if (address->ss_family != AF_INET || !plan.source || plan.send > MAX_PAYLOAD ||
	    FIRST_PORT + plan.connections / plan.sources > 65535)
		die("strangers: IPv4, --source, at most %u bytes, and fewer rounds of addresses are needed", MAX_PAYLOAD);
	address_parse(plan.source, "0", &first);
	while (ended < plan.connections) {
		struct segment in;

		for (; greeted < plan.connections && greeted - ended < AT_ONCE; greeted++)
			greet(tun, (struct sockaddr_in *)&first, server, greeted);
		if (heard(tun, &in) && in.tcp.source == server->sin_port && answer(tun, &in, server))
			ended++;
	}
	atomic_store(&tally->connections, ended);
	atomic_store(&tally->sent, ended * plan.send);
	atomic_store(&tally->received, ended * plan.reply);
}
