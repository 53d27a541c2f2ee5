/* Waits for what the kernel does on its own, by looking: a step after it then has one possible outcome. */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "peer.h"

static void pause_shortly(void)
{
	usleep(200);
}

static int queued(int fd, unsigned long request)
{
	int bytes;

	if (ioctl(fd, request, &bytes))
		die("queue of %d: %s", fd, strerror(errno));
	return bytes;
}

/* Until the peer's kernel has acknowledged all that was written. acked FD */
static void run_acked(int argc, char **argv)
{
	int fd = descriptor(argv[1]);

	(void)argc;
	while (queued(fd, SIOCOUTQ))
		pause_shortly();
	reply_ok();
}

/* Until so many bytes lie unread. arrived FD BYTES */
static void run_arrived(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	uint64_t count = count_of(argv[2]);

	(void)argc;
	while ((uint64_t)queued(fd, SIOCINQ) < count)
		pause_shortly();
	reply_ok();
}

/* Until the socket is in that state (the kernel's number, TCP_ESTABLISHED = 1). state FD NUMBER */
static void run_state(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	uint64_t state = count_of(argv[2]);
	struct tcp_info info;

	(void)argc;
	do {
		socklen_t length = sizeof(info);

		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
			die("TCP_INFO of %d: %s", fd, strerror(errno));
		if (info.tcpi_state != state)
			pause_shortly();
	} while (info.tcpi_state != state);
	reply_ok();
}

/* Connections that wait to be accepted: a listener's tcpi_unacked. */
static uint64_t pending(int listener)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);

	if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length))
		die("TCP_INFO of %d: %s", listener, strerror(errno));
	return info.tcpi_unacked;
}

/* pending FD → count */
static void run_pending(int argc, char **argv)
{
	(void)argc;
	reply_begin();
	reply_number("count", pending(descriptor(argv[1])));
	reply_finish();
}

/* Until so many connections wait to be accepted. backlog FD COUNT */
static void run_backlog(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	uint64_t count = count_of(argv[2]);

	(void)argc;
	while (pending(fd) < count)
		pause_shortly();
	reply_ok();
}

const struct command wait_commands[] = {
	{ "acked", 1, run_acked },
	{ "arrived", 2, run_arrived },
	{ "state", 2, run_state },
	{ "backlog", 2, run_backlog },
	{ "pending", 1, run_pending },
	{ NULL, 0, NULL },
};
