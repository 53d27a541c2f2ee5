/* The oracle: a program that holds one end of TCP connections, does to them whatever an application may do, and says
 * what it knows of each. It knows from its own reads and writes, not from the counters that are under test; TCP_INFO
 * is reported beside them so that the two can be held against each other. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define MAX_FDS 65536

/* What one socket end exchanged, by descriptor. The table is in shared memory: forked children write into it too. */
struct end {
	uint64_t written; /* accepted from the application by the kernel */
	uint64_t read; /* handed to the application */
	struct sockaddr_storage local;
	struct sockaddr_storage remote;
	bool mptcp;
};

extern struct end *ends;

/* ledger.c */
void ledger_open(void);
void ledger_forget(int fd);
void ledger_addresses(int fd);
void reply_end_of_connection(int fd);

/* reply.c: one JSON object a line on stdout */
void reply_begin(void);
void reply_number(const char *key, uint64_t value);
void reply_text(const char *key, const char *value);
void reply_flag(const char *key, bool value);
void reply_errno(const char *call);
void reply_finish(void);
void reply_ok(void);

/* address.c */
socklen_t address_parse(const char *host, const char *port, struct sockaddr_storage *into);
const char *address_text(const struct sockaddr_storage *address, char *into, size_t size);

/* A command of the interpreter: argv[0] is its name. Replies with exactly one line. */
struct command {
	const char *name;
	int arguments; /* at least */
	void (*run)(int argc, char **argv);
};

extern const struct command lifecycle_commands[];
extern const struct command transfer_commands[];
extern const struct command process_commands[];
extern const struct command wait_commands[];

/* answer.c */
int answer_calls(const char *device, const char *reply);

/* play.c */
int play(void);
void dispatch(char *line);
int descriptor(const char *text);
uint64_t count_of(const char *text);

/* load.c */
int load(int argc, char **argv);

/* Ends the program: for mistakes of the caller and of the set-up, never for what a connection met. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
