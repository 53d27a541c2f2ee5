/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where the connection of a socket is found. */
#ifndef TCPLEDGER_CONNS_H
#define TCPLEDGER_CONNS_H

#include "kernel.h"
#include "connection.h"
#include "state.h"

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

#endif
