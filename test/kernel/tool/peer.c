/* peer play: commands on stdin, one a line, one JSON line back. peer answer: a server without sockets. peer load: many
 * connections, summed up. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "peer.h"

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("peer: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		die("getrlimit: %s", strerror(errno));
	files.rlim_cur = files.rlim_max < MAX_FDS ? files.rlim_max : MAX_FDS;
	if (setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);

	if (argc == 2 && !strcmp(argv[1], "play"))
		return play();
	if (argc > 1 && !strcmp(argv[1], "load"))
		return load(argc - 1, argv + 1);
	if (argc == 4 && !strcmp(argv[1], "answer"))
		return answer_calls(argv[2], argv[3]);
	die("usage: peer play | peer answer DEVICE REPLY-BYTES | peer load --address A --connections N [--port P] [--workers W] [--seconds S] "
	    "[--send BYTES] [--reply BYTES] [--source FIRST --sources N [--tun DEVICE]]");
}
