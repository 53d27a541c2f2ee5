/* peer answer: servers that have no socket on this machine. Whoever dials an address behind the TUN device, at whatever
 * port, is accepted, gets an answer to each segment with data, and sees the end when it has ended.
 *
 * No state is kept: an answer follows from the segment that it answers. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "stranger.h"

static void respond(int tun, const struct segment *in, size_t reply)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = in->tcp.source, .sin_addr = { in->ip.saddr } };
	uint32_t payload = payload_of(in), theirs = ntohl(in->tcp.seq), ours = ntohl(in->tcp.ack_seq);
	in_addr_t from = in->ip.daddr;
	in_port_t port = in->tcp.dest;

	if (in->tcp.syn)
		emit(tun, from, port, &to, ISN, theirs + 1, (struct flags){ .syn = true, .ack = true }, 0);
	else if (in->tcp.fin)
		emit(tun, from, port, &to, ours, theirs + payload + 1, (struct flags){ .ack = true, .fin = true }, 0);
	else if (payload)
		emit(tun, from, port, &to, ours, theirs + payload, (struct flags){ .ack = true }, reply);
}

/* Says `{}` when it answers; ends with its standard input. */
int answer_calls(const char *device, const char *reply)
{
	struct pollfd wait[] = { { .fd = attached(device), .events = POLLIN },
				 { .fd = STDIN_FILENO, .events = POLLIN } };
	size_t bytes = count_of(reply);
	struct segment in;

	if (bytes > MAX_PAYLOAD)
		die("answer: at most %u bytes", MAX_PAYLOAD);
	puts("{}");
	fflush(stdout);
	while (poll(wait, 2, -1) > 0 && !wait[1].revents)
		if (wait[0].revents && heard(wait[0].fd, &in))
			respond(wait[0].fd, &in, bytes);
	return 0;
}
