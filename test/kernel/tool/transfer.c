/* Bytes, by every call that moves them. All of them enter the ledger. */
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "peer.h"

#define CHUNK (1u << 20)

static char chunk[CHUNK];

static size_t at_most(uint64_t left)
{
	return left < CHUNK ? (size_t)left : CHUNK;
}

/* Reply to a write: how much the kernel took, and the error that stopped it. */
static void reply_moved(const char *key, uint64_t moved, const char *failed)
{
	int error = errno;

	reply_begin();
	reply_number(key, moved);
	errno = error;
	if (failed)
		reply_errno(failed);
	reply_finish();
}

static void send_all(int fd, uint64_t count, int flags)
{
	uint64_t done = 0;

	while (done < count) {
		ssize_t n = send(fd, chunk, at_most(count - done), flags);

		if (n < 0)
			break;
		done += (uint64_t)n;
		ends[fd].written += (uint64_t)n;
	}
	reply_moved("sent", done, done < count ? "send" : NULL);
}

/* send FD BYTES */
static void run_send(int argc, char **argv)
{
	(void)argc;
	send_all(descriptor(argv[1]), count_of(argv[2]), 0);
}

/* As much as goes without waiting, at most BYTES. stuff FD BYTES */
static void run_stuff(int argc, char **argv)
{
	(void)argc;
	send_all(descriptor(argv[1]), count_of(argv[2]), MSG_DONTWAIT);
}

/* The last byte is urgent. It has a place in the sequence as any other: it is payload. oob FD BYTES */
static void run_oob(int argc, char **argv)
{
	(void)argc;
	send_all(descriptor(argv[1]), count_of(argv[2]), MSG_OOB);
}

/* Connects by a SYN that carries data, if a cookie allows it. fastopen FD ADDRESS PORT BYTES */
static void run_fastopen(int argc, char **argv)
{
	struct sockaddr_storage address;
	socklen_t length = address_parse(argv[2], argv[3], &address);
	int fd = descriptor(argv[1]);
	ssize_t n = sendto(fd, chunk, at_most(count_of(argv[4])), MSG_FASTOPEN, (struct sockaddr *)&address, length);

	(void)argc;
	ends[fd].remote = address;
	if (n > 0)
		ends[fd].written += (uint64_t)n;
	reply_moved("sent", n < 0 ? 0 : (uint64_t)n, n < 0 ? "sendto" : NULL);
	ledger_addresses(fd);
}

/* From the page cache. sendfile FD BYTES */
static void run_sendfile(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	uint64_t count = count_of(argv[2]), done = 0;
	int file = memfd_create("payload", MFD_CLOEXEC);

	(void)argc;
	if (file < 0 || ftruncate(file, (off_t)count))
		die("memory file of %s bytes: %s", argv[2], strerror(errno));
	while (done < count) {
		ssize_t n = sendfile(fd, file, NULL, count - done);

		if (n <= 0)
			break;
		done += (uint64_t)n;
		ends[fd].written += (uint64_t)n;
	}
	reply_moved("sent", done, done < count ? "sendfile" : NULL);
	close(file);
}

/* Through a pipe, without a copy. splice FD BYTES */
static void run_splice(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	uint64_t count = count_of(argv[2]), done = 0;
	int through[2];

	(void)argc;
	if (pipe2(through, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	while (done < count) {
		ssize_t in = write(through[1], chunk, count - done < 65536 ? (size_t)(count - done) : 65536);
		ssize_t n = in < 0 ? -1 : splice(through[0], NULL, fd, NULL, (size_t)in, 0);

		if (n <= 0)
			break;
		if (n != in)
			die("splice took %zd of %zd bytes", n, in);
		done += (uint64_t)n;
		ends[fd].written += (uint64_t)n;
	}
	reply_moved("sent", done, done < count ? "splice" : NULL);
	close(through[0]);
	close(through[1]);
}

/* Pages are the application's until the kernel gives them back on the error queue. zerocopy FD BYTES */
static void run_zerocopy(int argc, char **argv)
{
	int fd = descriptor(argv[1]), on = 1;
	uint64_t count = count_of(argv[2]), done = 0, calls = 0, returned = 0;

	(void)argc;
	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)))
		die("SO_ZEROCOPY: %s", strerror(errno));
	while (done < count) {
		ssize_t n = send(fd, chunk, at_most(count - done), MSG_ZEROCOPY);

		if (n < 0)
			break;
		calls++;
		done += (uint64_t)n;
		ends[fd].written += (uint64_t)n;
	}
	while (returned < calls) {
		char control[128];
		struct msghdr message = { .msg_control = control, .msg_controllen = sizeof(control) };
		struct pollfd wait = { .fd = fd };
		struct sock_extended_err notice;
		struct cmsghdr *header;

		if (poll(&wait, 1, -1) < 0 || recvmsg(fd, &message, MSG_ERRQUEUE) < 0)
			die("error queue: %s", strerror(errno));
		header = CMSG_FIRSTHDR(&message);
		if (!header)
			die("error queue: a message without a notice");
		memcpy(&notice, CMSG_DATA(header), sizeof(notice));
		returned += notice.ee_data - notice.ee_info + 1;
	}
	reply_moved("sent", done, done < count ? "send" : NULL);
}

/* Reads until `count` bytes, the end or an error. */
static void receive(int fd, uint64_t count, int flags)
{
	uint64_t done = 0;
	bool eof = false;
	const char *failed = NULL;

	while (done < count && !eof && !failed) {
		ssize_t n = recv(fd, chunk, at_most(count - done), flags);

		if (n < 0)
			failed = "recv";
		else if (n == 0)
			eof = true;
		else
			done += (uint64_t)n;
	}
	ends[fd].read += done;
	if (failed) {
		reply_moved("received", done, failed);
		return;
	}
	reply_begin();
	reply_number("received", done);
	reply_flag("eof", eof);
	reply_finish();
}

/* recv FD BYTES */
static void run_recv(int argc, char **argv)
{
	(void)argc;
	receive(descriptor(argv[1]), count_of(argv[2]), 0);
}

/* The rest, up to the end. eof FD */
static void run_eof(int argc, char **argv)
{
	(void)argc;
	receive(descriptor(argv[1]), UINT64_MAX, 0);
}

/* Bytes thrown away in the kernel. discard FD BYTES */
static void run_discard(int argc, char **argv)
{
	(void)argc;
	receive(descriptor(argv[1]), count_of(argv[2]), MSG_TRUNC);
}

/* Looks at bytes without taking them: they stay unread. peek FD BYTES */
static void run_peek(int argc, char **argv)
{
	ssize_t n = recv(descriptor(argv[1]), chunk, at_most(count_of(argv[2])), MSG_PEEK);

	(void)argc;
	reply_moved("peeked", n < 0 ? 0 : (uint64_t)n, n < 0 ? "recv" : NULL);
}

/* The urgent byte, which an ordinary read leaves out. urgent FD */
static void run_urgent(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	ssize_t n = recv(fd, chunk, 1, MSG_OOB);

	(void)argc;
	if (n > 0)
		ends[fd].read += (uint64_t)n;
	reply_moved("received", n < 0 ? 0 : (uint64_t)n, n < 0 ? "recv" : NULL);
}

/* Both ways at once until both counts are reached. exchange FD SEND RECEIVE */
static void run_exchange(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	uint64_t to_send = count_of(argv[2]), to_receive = count_of(argv[3]);
	const char *failed = NULL;

	(void)argc;
	while ((to_send || to_receive) && !failed) {
		struct pollfd wait = { .fd = fd,
				       .events = (short)((to_send ? POLLOUT : 0) | (to_receive ? POLLIN : 0)) };
		ssize_t n;

		if (poll(&wait, 1, -1) < 0)
			die("poll of %d: %s", fd, strerror(errno));
		if (to_send && wait.revents & (POLLOUT | POLLERR)) {
			n = send(fd, chunk, at_most(to_send), MSG_DONTWAIT);
			if (n < 0 && errno != EAGAIN)
				failed = "send";
			else if (n > 0)
				to_send -= (uint64_t)n, ends[fd].written += (uint64_t)n;
		}
		if (to_receive && !failed && wait.revents & (POLLIN | POLLHUP | POLLERR)) {
			n = recv(fd, chunk, to_receive < (1u << 30) ? to_receive : (1u << 30), MSG_DONTWAIT | MSG_TRUNC);
			if (n == 0 || (n < 0 && errno != EAGAIN))
				failed = n ? "recv" : "recv at the end";
			else if (n > 0)
				to_receive -= (uint64_t)n, ends[fd].read += (uint64_t)n;
		}
	}
	reply_moved("left", to_send + to_receive, failed);
}

const struct command transfer_commands[] = {
	{ "send", 2, run_send },	 { "stuff", 2, run_stuff },   { "oob", 2, run_oob },
	{ "fastopen", 4, run_fastopen }, { "sendfile", 2, run_sendfile }, { "splice", 2, run_splice },
	{ "zerocopy", 2, run_zerocopy }, { "recv", 2, run_recv },     { "eof", 1, run_eof },
	{ "discard", 2, run_discard },	 { "peek", 2, run_peek },     { "urgent", 1, run_urgent },
	{ "exchange", 3, run_exchange }, { NULL, 0, NULL },
};
