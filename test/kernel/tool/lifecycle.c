/* Sockets from their making to their end: socket, option, bind, listen, connect, accept, shutdown, close. */
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static const struct option {
	const char *name;
	int level;
	int option;
} OPTIONS[] = {
	{ "reuseaddr", SOL_SOCKET, SO_REUSEADDR },
	{ "reuseport", SOL_SOCKET, SO_REUSEPORT },
	{ "keepalive", SOL_SOCKET, SO_KEEPALIVE },
	{ "oobinline", SOL_SOCKET, SO_OOBINLINE },
	{ "sndbuf", SOL_SOCKET, SO_SNDBUF },
	{ "rcvbuf", SOL_SOCKET, SO_RCVBUF },
	{ "zerocopy", SOL_SOCKET, SO_ZEROCOPY },
	{ "freebind", IPPROTO_IP, IP_FREEBIND },
	{ "noport", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	{ "v6only", IPPROTO_IPV6, IPV6_V6ONLY },
	{ "addrform", IPPROTO_IPV6, IPV6_ADDRFORM },
	{ "nodelay", IPPROTO_TCP, TCP_NODELAY },
	{ "cork", IPPROTO_TCP, TCP_CORK },
	{ "keepidle", IPPROTO_TCP, TCP_KEEPIDLE },
	{ "keepintvl", IPPROTO_TCP, TCP_KEEPINTVL },
	{ "keepcnt", IPPROTO_TCP, TCP_KEEPCNT },
	{ "syncnt", IPPROTO_TCP, TCP_SYNCNT },
	{ "linger2", IPPROTO_TCP, TCP_LINGER2 },
	{ "defer_accept", IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ "user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ "fastopen", IPPROTO_TCP, TCP_FASTOPEN },
	{ "fastopen_connect", IPPROTO_TCP, TCP_FASTOPEN_CONNECT },
	{ "repair", IPPROTO_TCP, TCP_REPAIR },
	{ "repair_queue", IPPROTO_TCP, TCP_REPAIR_QUEUE },
	{ "queue_seq", IPPROTO_TCP, TCP_QUEUE_SEQ },
};

static void finish(int result, const char *call)
{
	reply_begin();
	if (result < 0)
		reply_errno(call);
	reply_finish();
}

/* socket 4|6 [mptcp] → fd */
static void run_socket(int argc, char **argv)
{
	bool mptcp = argc > 2 && !strcmp(argv[2], "mptcp");
	int family = !strcmp(argv[1], "6") ? AF_INET6 : AF_INET;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);

	reply_begin();
	if (fd < 0) {
		reply_errno("socket");
	} else {
		ledger_forget(fd);
		ends[fd].mptcp = mptcp;
		reply_number("fd", (uint64_t)fd);
	}
	reply_finish();
}

static const struct option *option_named(const char *name)
{
	for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(*OPTIONS); i++)
		if (!strcmp(OPTIONS[i].name, name))
			return &OPTIONS[i];
	die("no option %s", name);
}

/* option FD NAME VALUE */
static void run_option(int argc, char **argv)
{
	const struct option *option = option_named(argv[2]);
	int value = argv[3][0] == '-' ? -(int)count_of(argv[3] + 1) : (int)count_of(argv[3]);

	(void)argc;
	finish(setsockopt(descriptor(argv[1]), option->level, option->option, &value, sizeof(value)), "setsockopt");
}

/* get FD NAME → value */
static void run_get(int argc, char **argv)
{
	const struct option *option = option_named(argv[2]);
	int value = 0;
	socklen_t length = sizeof(value);
	int result = getsockopt(descriptor(argv[1]), option->level, option->option, &value, &length);

	(void)argc;
	reply_begin();
	if (result)
		reply_errno("getsockopt");
	else
		reply_number("value", (uint32_t)value);
	reply_finish();
}

/* linger FD SECONDS */
static void run_linger(int argc, char **argv)
{
	struct linger linger = { .l_onoff = 1, .l_linger = (int)count_of(argv[2]) };

	(void)argc;
	finish(setsockopt(descriptor(argv[1]), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), "setsockopt");
}

/* bind FD ADDRESS PORT → local */
static void run_bind(int argc, char **argv)
{
	struct sockaddr_storage address;
	socklen_t length = address_parse(argv[2], argv[3], &address);
	int fd = descriptor(argv[1]);
	int result = bind(fd, (struct sockaddr *)&address, length);
	char text[80];

	(void)argc;
	reply_begin();
	if (result) {
		reply_errno("bind");
	} else {
		ledger_addresses(fd);
		reply_text("local", address_text(&ends[fd].local, text, sizeof(text)));
	}
	reply_finish();
}

/* listen FD BACKLOG → port */
static void run_listen(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	int result = listen(fd, (int)count_of(argv[2]));

	(void)argc;
	reply_begin();
	if (result) {
		reply_errno("listen");
	} else {
		ledger_addresses(fd);
		/* the same place in both families */
		reply_number("port", ntohs(((struct sockaddr_in *)&ends[fd].local)->sin_port));
	}
	reply_finish();
}

static void reply_connected(int fd, int result)
{
	char text[80];

	reply_begin();
	if (result)
		reply_errno("connect");
	ledger_addresses(fd);
	reply_text("local", address_text(&ends[fd].local, text, sizeof(text)));
	reply_text("remote", address_text(&ends[fd].remote, text, sizeof(text)));
	reply_finish();
}

/* Blocking, as most applications do it. connect FD ADDRESS PORT → local, remote */
static void run_connect(int argc, char **argv)
{
	struct sockaddr_storage address;
	socklen_t length = address_parse(argv[2], argv[3], &address);
	int fd = descriptor(argv[1]);

	(void)argc;
	ends[fd].remote = address;
	reply_connected(fd, connect(fd, (struct sockaddr *)&address, length));
}

static void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK))
		die("fcntl of %d: %s", fd, strerror(errno));
}

/* Starts to connect and does not wait. start FD ADDRESS PORT → local, remote; EINPROGRESS is what is hoped for */
static void run_start(int argc, char **argv)
{
	struct sockaddr_storage address;
	socklen_t length = address_parse(argv[2], argv[3], &address);
	int fd = descriptor(argv[1]);
	int result;

	(void)argc;
	ends[fd].remote = address;
	set_blocking(fd, false);
	result = connect(fd, (struct sockaddr *)&address, length);
	reply_connected(fd, result);
	set_blocking(fd, true);
}

/* Waits for the end of a connect that was started. outcome FD */
static void run_outcome(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t length = sizeof(errno);
	int error = 0;

	(void)argc;
	if (poll(&wait, 1, -1) < 0)
		die("poll of %d: %s", fd, strerror(errno));
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length))
		die("SO_ERROR of %d: %s", fd, strerror(errno));
	errno = error;
	finish(error ? -1 : 0, "connect");
}

/* Takes the socket back to where it began; it may be connected anew. unspec FD */
static void run_unspec(int argc, char **argv)
{
	struct sockaddr address = { .sa_family = AF_UNSPEC };
	int fd = descriptor(argv[1]);
	int result = connect(fd, &address, sizeof(address));

	(void)argc;
	/* what comes next is another connection */
	if (!result)
		ends[fd].written = ends[fd].read = 0;
	finish(result, "connect");
}

/* accept FD → fd, local, remote */
static void run_accept(int argc, char **argv)
{
	int listener = descriptor(argv[1]);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	(void)argc;
	reply_begin();
	if (fd < 0) {
		reply_errno("accept");
	} else {
		ledger_forget(fd);
		ends[fd].mptcp = ends[listener].mptcp;
		ledger_addresses(fd);
		reply_end_of_connection(fd);
	}
	reply_finish();
}

/* shutdown FD rd|wr|rdwr */
static void run_shutdown(int argc, char **argv)
{
	int how = !strcmp(argv[2], "rd") ? SHUT_RD : !strcmp(argv[2], "wr") ? SHUT_WR : SHUT_RDWR;

	(void)argc;
	finish(shutdown(descriptor(argv[1]), how), "shutdown");
}

/* What is known of the end, without touching it. info FD */
static void run_info(int argc, char **argv)
{
	(void)argc;
	reply_begin();
	reply_end_of_connection(descriptor(argv[1]));
	reply_finish();
}

/* What is known of the end, then closes it. close FD */
static void run_close(int argc, char **argv)
{
	int fd = descriptor(argv[1]);

	(void)argc;
	reply_begin();
	reply_end_of_connection(fd);
	if (close(fd))
		reply_errno("close");
	reply_finish();
}

const struct command lifecycle_commands[] = {
	{ "socket", 1, run_socket },   { "option", 3, run_option }, { "get", 2, run_get },
	{ "linger", 2, run_linger },   { "bind", 3, run_bind },	    { "listen", 2, run_listen },
	{ "connect", 3, run_connect }, { "start", 3, run_start },   { "outcome", 1, run_outcome },
	{ "unspec", 1, run_unspec },   { "accept", 1, run_accept }, { "shutdown", 2, run_shutdown },
	{ "info", 1, run_info },       { "close", 1, run_close },   { NULL, 0, NULL },
};
