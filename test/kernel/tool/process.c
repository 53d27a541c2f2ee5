/* What a socket may meet through the processes that hold it: namespaces, fork, descriptors passed on. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

/* Later sockets are made there, earlier ones stay where they are. setns PATH */
static void run_setns(int argc, char **argv)
{
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);

	(void)argc;
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("namespace %s: %s", argv[1], strerror(errno));
	close(fd);
	reply_ok();
}

static char *rejoined(int argc, char **argv)
{
	static char line[512];
	size_t used = 0;

	line[0] = '\0';
	for (int i = 1; i < argc; i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s ", argv[i]);
	return line;
}

/* A child that has all descriptors does one command, then keeps them until `reap`. Its reply is thrown away: the
 * ledger is shared. fork COMMAND … → pid */
static void run_fork(int argc, char **argv)
{
	int done[2];
	char byte;
	pid_t pid;

	if (pipe2(done, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || !freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "r", stdin))
			die("set-up of child: %s", strerror(errno));
		dispatch(rejoined(argc, argv));
		close(done[1]);
		for (;;)
			pause();
	}
	close(done[1]);
	/* the end of the pipe says that the command is done */
	if (read(done[0], &byte, 1) < 0)
		die("pipe of child: %s", strerror(errno));
	close(done[0]);
	reply_begin();
	reply_number("pid", (uint64_t)pid);
	reply_finish();
}

/* Kills a child, which closes what it held. reap PID */
static void run_reap(int argc, char **argv)
{
	pid_t pid = (pid_t)count_of(argv[1]);

	(void)argc;
	if (kill(pid, SIGKILL) || waitpid(pid, NULL, 0) != pid)
		die("child %s: %s", argv[1], strerror(errno));
	reply_ok();
}

static struct sockaddr_un unix_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

/* A place to which descriptors may be sent. mailbox PATH → fd */
static void run_mailbox(int argc, char **argv)
{
	struct sockaddr_un address = unix_address(argv[1]);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)argc;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die("mailbox %s: %s", argv[1], strerror(errno));
	reply_begin();
	reply_number("fd", (uint64_t)fd);
	reply_finish();
}

/* The socket and its side of the ledger go to another process. pass FD PATH */
static void run_pass(int argc, char **argv)
{
	int fd = descriptor(argv[1]);
	struct sockaddr_un address = unix_address(argv[2]);
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec data = { &ends[fd], sizeof(ends[fd]) };
	struct msghdr message = { .msg_name = &address,
				  .msg_namelen = sizeof(address),
				  .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int through = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)argc;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (through < 0 || sendmsg(through, &message, 0) < 0)
		die("passing %d to %s: %s", fd, argv[2], strerror(errno));
	close(through);
	close(fd);
	reply_ok();
}

/* take MAILBOX → fd */
static void run_take(int argc, char **argv)
{
	struct end end;
	int fd;
	char control[CMSG_SPACE(sizeof(fd))];
	struct iovec data = { &end, sizeof(end) };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };

	(void)argc;
	if (recvmsg(descriptor(argv[1]), &message, MSG_CMSG_CLOEXEC) != sizeof(end) || !CMSG_FIRSTHDR(&message))
		die("taking from mailbox %s: %s", argv[1], strerror(errno));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	ends[fd] = end;
	reply_begin();
	reply_number("fd", (uint64_t)fd);
	reply_finish();
}

const struct command process_commands[] = {
	{ "setns", 1, run_setns }, { "fork", 1, run_fork },
	{ "reap", 1, run_reap },   { "mailbox", 1, run_mailbox }, { "pass", 2, run_pass },
	{ "take", 1, run_take },   { NULL, 0, NULL },
};
