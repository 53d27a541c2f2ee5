/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where the connection of a socket is found. */
#ifndef TCPLEDGER_CONNS_H
#define TCPLEDGER_CONNS_H

#include "kernel.h"
#include "connection.h"
#include "state.h"

/*
 * A hash table of our own, since inserting into the kernel's and deleting again is a third of a socket's whole time: a
 * copy of the element, a free list and a lock each. Here a socket's address leads to a bucket and to the place in it that
 * it prefers; a place is taken by compare-and-swap and filled where it lies. A socket whose place is taken has another one
 * of the bucket and is counted as displaced: only where there are such ones is a bucket searched. Only a socket's own
 * transitions look it up, one at a time, so the only races are with settles, with adoption and for free places. There are
 * twice to four times as many places as connections are tracked; one whose bucket is full is not tracked, as if all were.
 */
#define BUCKET_SOCKETS 15

struct socket_bucket {
	__u64 sockets[BUCKET_SOCKETS]; /* addresses of struct sock; 0: free */
	__u64 displaced; /* at least as many as are; raised before the place is taken, lowered after it was left */
};

/* Mapped arrays begin on a page: a connection never shares a cache line. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 8192); /* by max_connections */
	__type(key, __u32);
	__type(value, struct socket_bucket);
} sockets SEC(".maps");

/* Place 16 b + i belongs to socket i of bucket b; there is no place 16 b + 15. */
#define BUCKET_PLACES 16

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072); /* by max_connections */
	__type(key, __u32);
	__type(value, struct connection);
} conns SEC(".maps");

/* Set by the loader: how many buckets there are, a power of two, less one. */
const volatile __u32 bucket_mask = 0;

/* Where a socket belongs. */
struct position {
	struct socket_bucket *bucket; /* never NULL, but to the verifier */
	__u64 socket;
	__u32 first_place; /* of the bucket */
	__u32 preferred;   /* in the bucket */
};

static __always_inline struct position position_of(const struct sock *sk)
{
	struct position position = { .socket = (__u64)sk };
	__u64 hash;
	__u32 number;

	/* half an address is no pointer to the verifier, and may be reckoned with; clang would halve it by shifts */
	asm("r0 = %1; w0 = w0; %0 = r0" : "=r"(hash) : "r"(position.socket) : "r0");
	/* Fibonacci hashing: the upper half of the product depends on every bit */
	hash *= 0x9e3779b97f4a7c15ULL;
	number = (__u32)(hash >> 32) & bucket_mask;
	position.bucket = bpf_map_lookup_elem(&sockets, &number);
	position.first_place = number * BUCKET_PLACES;
	position.preferred = (hash >> 56) * BUCKET_SOCKETS >> 8;
	return position;
}

static __always_inline struct connection *get_connection(__u32 place)
{
	return bpf_map_lookup_elem(&conns, &place);
}

#define NOWHERE (~0U)

/* The connection in a place. NULL: it is at `except`, or has ended and is about to leave. */
static __always_inline struct connection *live_connection(__u32 place, __u32 except)
{
	struct connection *conn = get_connection(place);

	return conn && *(volatile __u64 *)&conn->id && place != except ? conn : NULL;
}

static __noinline struct connection *search_bucket(struct socket_bucket *bucket, __u64 socket, __u32 first_place,
						   __u32 except)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < BUCKET_SOCKETS; i++) {
		struct connection *conn;

		if (bucket->sockets[i] != socket)
			continue;
		conn = live_connection(first_place + i, except);
		if (conn)
			return conn;
	}
	return NULL;
}

/* The connection of a socket that is not at `except`, or NULL. */
static __always_inline struct connection *other_connection_at(const struct position *position, __u32 except)
{
	struct connection *conn;

	if (!position->bucket)
		return NULL;
	if (*(volatile __u64 *)&position->bucket->sockets[position->preferred] == position->socket) {
		conn = live_connection(position->first_place + position->preferred, except);
		if (likely(conn))
			return conn;
	}
	if (likely(!*(volatile __u64 *)&position->bucket->displaced))
		return NULL;
	return search_bucket(position->bucket, position->socket, position->first_place, except);
}

static __always_inline struct connection *connection_at(const struct position *position)
{
	return other_connection_at(position, NOWHERE);
}

static __always_inline bool take_socket(__u64 *place, __u64 socket)
{
	return !*(volatile __u64 *)place && !__sync_val_compare_and_swap(place, 0, socket);
}

/* A free place in the bucket, taken for a socket whose own is not free; BUCKET_SOCKETS: none. */
static __noinline __u32 take_displaced(struct socket_bucket *bucket, __u64 socket)
{
	__sync_fetch_and_add(&bucket->displaced, 1);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < BUCKET_SOCKETS; i++)
		if (take_socket(&bucket->sockets[i], socket))
			return i;
	__sync_fetch_and_add(&bucket->displaced, -1);
	return BUCKET_SOCKETS;
}

/* A free place for the socket, which is the caller's to fill, the id last but for the establishment. NULL: none is free. */
static __always_inline struct connection *take_place(const struct position *position)
{
	__u32 i = position->preferred;
	struct connection *conn;

	if (!position->bucket)
		return NULL;
	if (unlikely(!take_socket(&position->bucket->sockets[i], position->socket))) {
		i = take_displaced(position->bucket, position->socket);
		if (i >= BUCKET_SOCKETS)
			return NULL;
	}
	conn = get_connection(position->first_place + i);
	if (conn)
		conn->place = position->first_place + i;
	return conn;
}

/* Of a connection that has ended. */
static __always_inline void leave_place(const struct position *position, struct connection *conn)
{
	__u32 i = conn->place % BUCKET_PLACES;

	*(volatile __u64 *)&conn->established_ns = 0;
	if (!position->bucket || i >= BUCKET_SOCKETS ||
	    __sync_val_compare_and_swap(&position->bucket->sockets[i], position->socket, 0) != position->socket) {
		count_error(OP_CONNS_DELETE);
		return;
	}
	if (unlikely(i != position->preferred))
		__sync_fetch_and_add(&position->bucket->displaced, -1);
}

#endif
