#include <errno.h>
#include <linux/mptcp.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "peer.h"

#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif

struct end *ends;

static const char *const STATES[] = { "NONE",	    "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",
				      "TIME_WAIT", "CLOSE",	   "CLOSE_WAIT", "LAST_ACK", "LISTEN",	  "CLOSING" };

void ledger_open(void)
{
	ends = mmap(NULL, MAX_FDS * sizeof(*ends), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ends == MAP_FAILED)
		die("shared ledger: %s", strerror(errno));
}

void ledger_forget(int fd)
{
	memset(&ends[fd], 0, sizeof(ends[fd]));
}

/* Addresses as they are now; the remote one stays what it was when the peer is gone. */
void ledger_addresses(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (!getsockname(fd, (struct sockaddr *)&address, &length))
		ends[fd].local = address;
	length = sizeof(address);
	memset(&address, 0, sizeof(address));
	if (!getpeername(fd, (struct sockaddr *)&address, &length))
		ends[fd].remote = address;
}

static uint64_t queue_length(int fd, unsigned long request)
{
	int bytes = 0;

	/* EINVAL: a listener has no queue of bytes */
	return ioctl(fd, request, &bytes) ? 0 : (uint64_t)bytes;
}

/* False when the peer does not speak it and the connection is plain TCP. */
static bool is_multipath(int fd)
{
	struct mptcp_info info;
	socklen_t length = sizeof(info);

	memset(&info, 0, sizeof(info));
	return !getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &length) &&
	       !(info.mptcpi_flags & MPTCP_INFO_FLAG_FALLBACK);
}

/* Counts as the agent should see them, the application's view first. `unread` lies in the receive queue and was
 * received all the same; `unsent` was never given to the network. The kernel's own counters include a received FIN,
 * and the sequence number of one's own FIN in `unsent`. */
void reply_end_of_connection(int fd)
{
	const struct end *end = &ends[fd];
	struct tcp_info info;
	socklen_t length = sizeof(info);
	char text[80];

	reply_number("fd", (uint64_t)fd);
	reply_text("local", address_text(&end->local, text, sizeof(text)));
	reply_text("remote", address_text(&end->remote, text, sizeof(text)));
	reply_number("written", end->written);
	reply_number("read", end->read);
	/* MPTCP counts its end of data (DATA_FIN) as a byte in the queue */
	reply_number("unread", end->mptcp ? 0 : queue_length(fd, SIOCINQ));
	reply_number("unacked", end->mptcp ? 0 : queue_length(fd, SIOCOUTQ));
	reply_number("unsent", end->mptcp ? 0 : queue_length(fd, SIOCOUTQNSD));
	if (end->mptcp) {
		reply_flag("multipath", is_multipath(fd));
		return;
	}
	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		return;
	reply_text("state", info.tcpi_state < sizeof(STATES) / sizeof(*STATES) ? STATES[info.tcpi_state] : "?");
	reply_number("kernelSent", info.tcpi_bytes_sent - info.tcpi_bytes_retrans);
	reply_number("kernelReceived", info.tcpi_bytes_received);
	reply_number("retransmitted", info.tcpi_bytes_retrans);
	reply_flag("fastOpen", info.tcpi_options & TCPI_OPT_SYN_DATA);
}
