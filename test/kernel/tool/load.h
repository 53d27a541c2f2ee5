/* What the parts of `peer load` share. */
#ifndef LOAD_H
#define LOAD_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

struct plan {
	const char *address;
	const char *port;
	const char *source; /* NULL: the kernel's choice */
	const char *tun; /* NULL: clients are sockets; else strangers through this device */
	uint64_t sources; /* connection i comes from source + i modulo this */
	uint64_t connections;
	uint64_t workers;
	uint64_t seconds; /* 0: until `connections` are made */
	uint64_t send;
	uint64_t reply;
};

/* Shared between the processes. */
struct tally {
	_Atomic uint64_t taken; /* connection numbers given out */
	_Atomic uint64_t connections;
	_Atomic uint64_t failed;
	_Atomic uint64_t sent;
	_Atomic uint64_t received;
	_Atomic uint64_t accepted;
	_Atomic uint64_t server_sent;
	_Atomic uint64_t server_received;
	_Atomic int stop;
};

extern struct plan plan;
extern struct tally *tally;

/* stranger.c: all connections of the plan, from peers without sockets. */
void visit(const struct sockaddr_storage *server);

#endif
