/* peer load: connect, send, read the answer up to its end, close; as fast as it goes, by many workers. Servers and
 * clients are processes that share one listener. The server closes first, so that TIME_WAIT is at its end and client
 * ports are free again at once. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "peer.h"

#define PAYLOAD (1u << 20)

static char payload[PAYLOAD];

struct plan plan = { .port = "0", .sources = 1, .workers = 2, .connections = UINT64_MAX };
struct tally *tally;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t push(int fd, uint64_t count)
{
	uint64_t done = 0;

	while (done < count) {
		ssize_t n = send(fd, payload, count - done < PAYLOAD ? count - done : PAYLOAD, 0);

		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	return done;
}

static uint64_t pull(int fd, uint64_t count)
{
	uint64_t done = 0;

	while (done < count) {
		ssize_t n = recv(fd, payload, count - done < PAYLOAD ? count - done : PAYLOAD, 0);

		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	return done;
}

static _Noreturn void serve(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char byte;

		if (fd < 0)
			die("accept: %s", strerror(errno));
		atomic_fetch_add(&tally->accepted, 1);
		atomic_fetch_add(&tally->server_received, pull(fd, plan.send));
		atomic_fetch_add(&tally->server_sent, push(fd, plan.reply));
		shutdown(fd, SHUT_WR);
		if (recv(fd, &byte, 1, 0) > 0)
			die("more than was announced");
		close(fd);
	}
}

/* The address after `first` by so many, in the last four bytes. */
static struct sockaddr_storage nth_source(const struct sockaddr_storage *first, uint64_t n)
{
	struct sockaddr_storage address = *first;
	uint8_t *last = address.ss_family == AF_INET ? (uint8_t *)&((struct sockaddr_in *)&address)->sin_addr :
						       &((struct sockaddr_in6 *)&address)->sin6_addr.s6_addr[12];
	uint32_t number;

	memcpy(&number, last, sizeof(number));
	number = htonl(ntohl(number) + (uint32_t)n);
	memcpy(last, &number, sizeof(number));
	return address;
}

static int connected(const struct sockaddr_storage *server, socklen_t length, uint64_t n)
{
	int fd = socket(server->ss_family, SOCK_STREAM, 0), on = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (plan.source) {
		struct sockaddr_storage first, source;
		socklen_t size = address_parse(plan.source, "0", &first);

		source = nth_source(&first, n % plan.sources);
		/* the port is then chosen at connect, where all four of the tuple are known: ports do not run out */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&source, size))
			die("bind to %s + %" PRIu64 ": %s", plan.source, n, strerror(errno));
	}
	if (!connect(fd, (const struct sockaddr *)server, length))
		return fd;
	close(fd);
	return -1;
}

static void dial(const struct sockaddr_storage *server, socklen_t length)
{
	while (!atomic_load(&tally->stop)) {
		uint64_t n = atomic_fetch_add(&tally->taken, 1);
		char byte;
		int fd;

		if (n >= plan.connections)
			break;
		fd = connected(server, length, n);
		if (fd < 0) {
			atomic_fetch_add(&tally->failed, 1);
			continue;
		}
		atomic_fetch_add(&tally->sent, push(fd, plan.send));
		atomic_fetch_add(&tally->received, pull(fd, plan.reply));
		if (recv(fd, &byte, 1, 0) > 0)
			die("more than was asked for");
		close(fd);
		atomic_fetch_add(&tally->connections, 1);
	}
}

static void read_plan(int argc, char **argv)
{
	static const struct option OPTIONS[] = {
		{ "address", required_argument, NULL, 'a' }, { "port", required_argument, NULL, 'p' },
		{ "source", required_argument, NULL, 's' },  { "sources", required_argument, NULL, 'n' },
		{ "connections", required_argument, NULL, 'c' }, { "workers", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 't' }, { "send", required_argument, NULL, 'o' },
		{ "reply", required_argument, NULL, 'i' },   { "tun", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};

	for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		switch (option) {
		case 'a': plan.address = optarg; break;
		case 'p': plan.port = optarg; break;
		case 's': plan.source = optarg; break;
		case 'n': plan.sources = count_of(optarg); break;
		case 'c': plan.connections = count_of(optarg); break;
		case 'w': plan.workers = count_of(optarg); break;
		case 't': plan.seconds = count_of(optarg); break;
		case 'o': plan.send = count_of(optarg); break;
		case 'i': plan.reply = count_of(optarg); break;
		case 'd': plan.tun = optarg; break;
		default: die("load: unknown option");
		}
	}
	if (!plan.address || !plan.sources || !plan.workers || (plan.connections == UINT64_MAX && !plan.seconds))
		die("load: --address and --connections or --seconds are needed");
}

static int listening(struct sockaddr_storage *address, socklen_t *length)
{
	int fd, on = 1;

	*length = address_parse(plan.address, plan.port, address);
	fd = socket(address->ss_family, SOCK_STREAM, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)address, *length) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)address, length))
		die("listener on %s port %s: %s", plan.address, plan.port, strerror(errno));
	return fd;
}

static pid_t spawned(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	/* a caller that kills the parent wants no workers left */
	if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("prctl: %s", strerror(errno));
	return pid;
}

/* Prints what both sides counted. One line first with the port, so that a caller may know it while the load runs. */
int load(int argc, char **argv)
{
	struct sockaddr_storage server;
	socklen_t length;
	pid_t *servers, *clients;
	uint64_t begin, took, dialling;
	int listener;

	read_plan(argc, argv);
	/* one process speaks for all strangers */
	dialling = plan.tun ? 1 : plan.workers;
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	servers = calloc(plan.workers, sizeof(*servers));
	clients = calloc(plan.workers, sizeof(*clients));
	if (tally == MAP_FAILED || !servers || !clients)
		die("no memory for %" PRIu64 " workers", plan.workers);
	listener = listening(&server, &length);
	reply_begin();
	reply_number("port", ntohs(((struct sockaddr_in *)&server)->sin_port));
	reply_finish();
	for (uint64_t i = 0; i < plan.workers; i++)
		if (!(servers[i] = spawned()))
			serve(listener);
	begin = now_ns();
	for (uint64_t i = 0; i < dialling; i++) {
		if ((clients[i] = spawned()))
			continue;
		if (plan.tun)
			visit(&server);
		else
			dial(&server, length);
		_exit(0);
	}
	if (plan.seconds) {
		struct timespec left = { .tv_sec = (time_t)plan.seconds };

		nanosleep(&left, NULL);
		atomic_store(&tally->stop, 1);
	}
	for (uint64_t i = 0; i < dialling; i++) {
		int status;

		if (waitpid(clients[i], &status, 0) < 0 || status)
			die("a client ended by %#x", status);
	}
	took = now_ns() - begin;
	/* A server that has accepted is through when it has read the client's end: none is in the middle of one. */
	while (atomic_load(&tally->accepted) < atomic_load(&tally->connections))
		usleep(1000);
	for (uint64_t i = 0; i < plan.workers; i++)
		if (kill(servers[i], SIGKILL) || waitpid(servers[i], NULL, 0) < 0)
			die("a server: %s", strerror(errno));
	reply_begin();
	reply_number("connections", atomic_load(&tally->connections));
	reply_number("failed", atomic_load(&tally->failed));
	reply_number("sent", atomic_load(&tally->sent));
	reply_number("received", atomic_load(&tally->received));
	reply_number("serverSent", atomic_load(&tally->server_sent));
	reply_number("serverReceived", atomic_load(&tally->server_received));
	reply_number("nanoseconds", took);
	reply_finish();
	return 0;
}
