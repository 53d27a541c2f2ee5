/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections: what is remembered of a socket from its SYN_SENT or ESTABLISHED to its CLOSE, where it is found, and how
 * its counters are claimed without counting a byte twice.
 */
#ifndef TCPLEDGER_CONNECTION_H
#define TCPLEDGER_CONNECTION_H

#include "kernel.h"
#include "pair.h"
#include "state.h"

/*
 * A claim word: the low 16 bits of the connection's id above 48 bits of the value already counted. A place is let again
 * at once, so a settle may hold the place of a connection that has just ended: the tag makes its compare-and-swap fail on
 * the next tenant's word.
 */
#define CLAIM_BITS 48
#define CLAIM_MASK ((1ULL << CLAIM_BITS) - 1)

enum claimed {
	CLAIM_SENT,
	CLAIM_RECEIVED,
	CLAIM_SEGMENTS_SENT, /* from here on: u32 in the kernel */
	CLAIM_SEGMENTS_RECEIVED,
	CLAIM_RETRANSMITTED,
	CLAIM_LOST,
	CLAIMS,
};

/* How far a connect has come. */
enum dial {
	DIAL_UNSEEN,  /* the connect hook is not attached, or was passed by */
	DIAL_BEGUN,   /* the connect hook has seen it, and no transition has followed yet */
	DIAL_FOLLOWED, /* SYN_SENT came; the address that was dialled is kept until the connection is counted */
};

struct connection {
	__u64 id;        /* 0 as soon as the close begins, and in a free place */
	__u64 opened_ns; /* CLOCK_BOOTTIME: SYN sent (source), established (destination), adopted */
	__u64 established_ns; /* 0 before, and in a free place */
	union {
		__u64 claims[CLAIMS];
		struct { /* before the establishment: where the connect came from */
			__u64 cgroup_id;
			__u32 netns;
		};
	};
	union {
		struct { /* of an adopted connection: what had been exchanged before */
			__u64 sent_before;
			__u64 received_before;
		};
		__u8 dialled_ip[16]; /* before the establishment, unless dial is DIAL_UNSEEN */
	};
	__u32 slot;
	__u32 pid;
	__u16 local_port;
	__u16 remote_port; /* before the establishment: the port that was dialled */
	__u8 role;
	__u8 adopted;
	__u8 syn_acked; /* bytes_acked counts the SYN: it was sent by this end */
	__u8 dial;
	__u32 sent_base; /* bytes_acked without the SYN, less snd_una, modulo 2^32: the same as long as the connection lasts */
	__u32 place; /* its own index in conns */
	char comm[COMM_SIZE];
};
_Static_assert(sizeof(struct connection) == 128, "a connection is two whole cache lines");

/*
 * A hash table of our own, since inserting into the kernel's and deleting again is a third of a socket's whole time: a
 * copy of the element, a free list and a lock each. Here a socket's address leads to a bucket of 16 places; a place is
 * taken by compare-and-swap and filled where it lies. Only a socket's own transitions look it up, one at a time, so the
 * only races are with settles, with adoption and for free places. There are twice to four times as many places as
 * connections are tracked; one whose bucket is full is not tracked, as if all were.
 */
#define BUCKET_SOCKETS 16

struct socket_bucket {
	__u64 sockets[BUCKET_SOCKETS]; /* addresses of struct sock; 0: free */
};

/* Mapped arrays begin on a page: a connection never shares a cache line. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 8192); /* by max_connections */
	__type(key, __u32);
	__type(value, struct socket_bucket);
} sockets SEC(".maps");

/* Place 16 b + i belongs to socket i of bucket b. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072); /* by max_connections */
	__type(key, __u32);
	__type(value, struct connection);
} conns SEC(".maps");

/* Set by the loader: how many buckets there are, a power of two, less one. */
const volatile __u32 bucket_mask = 0;

/*
 * Connection ids: four times the nanoseconds from the boot to the loading of the program, plus a sequence. Unique within a
 * boot: no agent makes ids as fast as the next one's first id moves on, however soon it is started again.
 */
const volatile __u64 id_base = 0;
const volatile __u32 cpus = 1;

/* Per-CPU, since a shared counter bounces between CPUs. The low 16 bits, the claims' tag, are never 0. */
static __always_inline __u64 new_id(void)
{
	struct cpu *cpu = get_cpu();
	__u64 *next, id;

	if (!cpu)
		return 1;
	next = &cpu->sequence;
	/* preemption on the same CPU (a tracepoint in process context, then one in softirq) must not see one value twice */
	id = id_base + __sync_fetch_and_add(next, 1) * cpus + bpf_get_smp_processor_id();
	if (id & 0xffff)
		return id;
	return id_base + __sync_fetch_and_add(next, 1) * cpus + bpf_get_smp_processor_id();
}

static __always_inline struct socket_bucket *bucket_of(__u64 socket, __u32 *number)
{
	__u64 low;

	/* half an address is no pointer to the verifier, and may be reckoned with; clang would halve it by shifts */
	asm("r0 = %1; w0 = w0; %0 = r0" : "=r"(low) : "r"(socket) : "r0");
	/* Fibonacci hashing: the upper half of the product depends on every bit */
	*number = (__u32)(low * 0x9e3779b97f4a7c15ULL >> 32) & bucket_mask;
	return bpf_map_lookup_elem(&sockets, number);
}

static __always_inline struct connection *get_connection(__u32 place)
{
	return bpf_map_lookup_elem(&conns, &place);
}

/* The connection of a socket that is not at `except`, or NULL. */
static __always_inline struct connection *other_connection_of(__u64 socket, __u32 except)
{
	struct connection *conn;
	__u32 number;
	struct socket_bucket *bucket = bucket_of(socket, &number);

	if (!bucket)
		return NULL;
	for (int i = 0; i < BUCKET_SOCKETS; i++) {
		if (bucket->sockets[i] != socket)
			continue;
		conn = get_connection(number * BUCKET_SOCKETS + i);
		/* an ended one is about to leave */
		if (conn && *(volatile __u64 *)&conn->id && conn->place != except)
			return conn;
	}
	return NULL;
}

#define NOWHERE (~0U)

static __always_inline struct connection *connection_of(__u64 socket)
{
	return other_connection_of(socket, NOWHERE);
}

/* A free place for the socket, which is the caller's to fill, the id last but for the establishment. NULL: none is free. */
static __always_inline struct connection *take_place(__u64 socket)
{
	struct connection *conn;
	__u32 number;
	struct socket_bucket *bucket = bucket_of(socket, &number);

	if (!bucket)
		return NULL;
	for (int i = 0; i < BUCKET_SOCKETS; i++) {
		if (*(volatile __u64 *)&bucket->sockets[i] ||
		    __sync_val_compare_and_swap(&bucket->sockets[i], 0, socket))
			continue;
		conn = get_connection(number * BUCKET_SOCKETS + i);
		if (conn)
			conn->place = number * BUCKET_SOCKETS + i;
		return conn;
	}
	return NULL;
}

/* Of a connection that has ended. */
static __always_inline void leave_place(__u64 socket, struct connection *conn)
{
	__u32 place = conn->place, number = place / BUCKET_SOCKETS;
	struct socket_bucket *bucket = bpf_map_lookup_elem(&sockets, &number);

	*(volatile __u64 *)&conn->established_ns = 0;
	if (!bucket || __sync_val_compare_and_swap(&bucket->sockets[place % BUCKET_SOCKETS], socket, 0) != socket)
		count_error(OP_CONNS_DELETE);
}

/* What a socket's counters say: payload bytes and segments, from the start of the connection. */
struct reading {
	__u64 value[CLAIMS];
};

static __always_inline __u64 claim_word(__u64 id, __u64 value)
{
	return id << CLAIM_BITS | (value & CLAIM_MASK);
}

/* How far `now` is ahead of what the word holds; 0 when it is behind. u32 counters wrap in the kernel and are followed modulo 2^32. */
static __always_inline __u64 ahead(__u64 word, __u64 now, enum claimed which)
{
	__u64 difference;

	if (which >= CLAIM_SEGMENTS_SENT) {
		difference = (__u32)(now - word);
		return difference >> 31 ? 0 : difference;
	}
	difference = (now - word) & CLAIM_MASK;
	return difference >> (CLAIM_BITS - 1) ? 0 : difference;
}

/*
 * Takes what a live counter has gained since it was last claimed: a settle races with the close. Returns what is
 * ours to add. Four tries are enough: each connection has at most one close against the one settle.
 */
static __always_inline __u64 claim(__u64 *word, __u64 id, __u64 now, enum claimed which)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u64 seen = *(volatile __u64 *)word;
		__u64 gained = ahead(seen, now, which);

		if (gained == 0 || seen >> CLAIM_BITS != (id & 0xffff))
			return 0;
		if (__sync_val_compare_and_swap(word, seen, claim_word(id, now)) == seen)
			return gained;
	}
	return 0;
}

/* Takes the rest of a counter at the close, for good: the word is left with no connection's tag, and no later claim succeeds. */
static __always_inline __u64 claim_rest(__u64 *word, __u64 now, enum claimed which)
{
	return ahead(__sync_lock_test_and_set(word, 0), now, which);
}

/* Adds what was claimed of each counter to the slot's. */
static __always_inline void count_claimed(struct slot *slot, const __u64 gained[CLAIMS])
{
	add(&slot->sent, gained[CLAIM_SENT]);
	add(&slot->received, gained[CLAIM_RECEIVED]);
	add(&slot->segments_sent, gained[CLAIM_SEGMENTS_SENT]);
	add(&slot->segments_received, gained[CLAIM_SEGMENTS_RECEIVED]);
	add(&slot->retransmitted, gained[CLAIM_RETRANSMITTED]);
	add(&slot->lost, gained[CLAIM_LOST]);
}

#endif
