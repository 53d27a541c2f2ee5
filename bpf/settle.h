/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Bringing the slots up to date with what is open, while other CPUs open and close. */
#ifndef TCPLEDGER_SETTLE_H
#define TCPLEDGER_SETTLE_H

#include "kernel.h"
#include "connection.h"
#include "conns.h"
#include "end.h"
#include "listener.h"
#include "owner.h"
#include "pair.h"
#include "socket.h"
#include "state.h"

/* Two readings are less than this apart, and what a machine sleeps is longer. */
#define CLOCK_READING_NS 1000000

/* CLOCK_BOOTTIME is read first: whatever comes between the readings makes the offset smaller, which it never becomes. */
static __always_inline void settle_clock(void)
{
	__u64 boot_ns = bpf_ktime_get_boot_ns();
	__s64 offset_ns = boot_ns - bpf_ktime_get_ns();

	if (offset_ns > (__s64)state.boot_offset_ns + CLOCK_READING_NS)
		state.boot_offset_ns = offset_ns;
}

/* A connect's first transition follows the hook in the same system call: one that has none by now has failed. */
#define DIAL_TIMEOUT_NS 3000000000ULL
/* At the last settle, when nothing counts any more: a transition that is still to come will not be seen. */
#define LAST_DIAL_TIMEOUT_NS 100000000ULL

static __always_inline bool is_silent(const struct connection *conn)
{
	__u64 timeout_ns = *(volatile __u32 *)&state.counting ? DIAL_TIMEOUT_NS : LAST_DIAL_TIMEOUT_NS;

	return *(volatile __u8 *)&conn->dial == DIAL_BEGUN && bpf_ktime_get_boot_ns() - conn->opened_ns >= timeout_ns;
}

/*
 * Places of connects that no transition followed, as the last settle found them: state.silent of them. To count one takes
 * a slot, and those that are to be had again are in a queue, which older kernels forbid to programs that may sleep, as a
 * settle may. So tcpledger_fail counts them.
 */
#define SILENT_CONNECTS 1024

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SILENT_CONNECTS);
	__type(key, __u32);
	__type(value, __u32);
} silent SEC(".maps");

static __always_inline void settle_connect(const struct connection *conn, __u32 place)
{
	__u32 number = state.silent, *listed;

	if (!is_silent(conn))
		return;
	listed = bpf_map_lookup_elem(&silent, &number);
	if (!listed)
		return; /* the next settle finds it again */
	*listed = place;
	state.silent++;
}

static __always_inline void fail_connect(__u32 place)
{
	__u32 number = place / BUCKET_PLACES, i = place % BUCKET_PLACES;
	struct socket_bucket *bucket = bpf_map_lookup_elem(&sockets, &number);
	struct connection *conn = get_connection(place);
	struct position position;
	__u64 id;

	if (!conn || !bucket || i >= BUCKET_SOCKETS)
		return;
	id = *(volatile __u64 *)&conn->id;
	/* the owner after the id, as in settle_connection */
	full_barrier();
	position = position_of((const struct sock *)*(volatile __u64 *)&bucket->sockets[i]);
	if (!id || *(volatile __u64 *)&conn->established_ns || !is_silent(conn) ||
	    __sync_val_compare_and_swap(&conn->id, id, 0) != id)
		return;
	on_silent_failure(conn, id);
	leave_place(&position, conn);
}

static long fail_listed(struct bpf_map *map, __u32 *number, __u32 *place, void *context)
{
	if (*number >= state.silent)
		return 1;
	fail_connect(*place);
	return 0;
}

/*
 * The connection in one place, while other CPUs open and close. Not static, so that the verifier reads it once and not
 * once for each of a bucket's places.
 */
__noinline int settle_connection(__u32 place)
{
	__u32 number = place / BUCKET_PLACES, i = place % BUCKET_PLACES;
	struct socket_bucket *bucket = bpf_map_lookup_elem(&sockets, &number);
	struct connection *conn = get_connection(place);
	__u64 any = 0, id, established_ns, socket, *owner;
	unsigned char socket_state = 0;
	struct position position;
	struct reading live;
	struct slot *slot;

	if (!conn || !bucket || i >= BUCKET_SOCKETS)
		return 0;
	owner = &bucket->sockets[i];
	id = *(volatile __u64 *)&conn->id;
	established_ns = *(volatile __u64 *)&conn->established_ns;
	if (!id)
		return 0;
	/* the owner after the id: a place that is let again in between has another id, and is found out below */
	full_barrier();
	socket = *(volatile __u64 *)owner;
	if (!established_ns) {
		settle_connect(conn, place);
		return 0;
	}
	slot = get_slot(*(volatile __u32 *)&conn->slot);
	if (!slot)
		return 0;
	if (!read_live((const struct tcp_sock *)socket, conn, &live, &socket_state)) {
		count_error(OP_SOCK_READ);
		return 0;
	}
	/*
	 * The close zeroes the id before the socket is anybody else's: unchanged, the reading was this connection's. And the
	 * close looks for `claimed` after that: it leaves the words alone only if what follows here is not reached.
	 */
	*(volatile __u8 *)&conn->claimed = 1;
	full_barrier();
	if (*(volatile __u64 *)owner != socket || *(volatile __u64 *)&conn->id != id)
		return 0;
#pragma unroll
	for (int which = 0; which < CLAIMS; which++) {
		live.value[which] = claim(&conn->claims[which], id, live.value[which], which);
		any |= live.value[which];
	}
	if (any) {
		count_claimed(slot, &live);
		slot_changed(slot);
	}
	/* a close that is seen zeroes the id before the socket has this state */
	if (socket_state == TCP_CLOSE && __sync_val_compare_and_swap(&conn->id, id, 0) == id) {
		position = position_of((const struct sock *)socket);
		on_missed_close(conn);
		leave_place(&position, conn);
	}
	return 0;
}

static long settle_bucket(struct bpf_map *map, __u32 *number, struct socket_bucket *bucket, void *context)
{
	__u64 *seen = context;

	for (int i = 0; i < BUCKET_SOCKETS; i++) {
		if (!*(volatile __u64 *)&bucket->sockets[i])
			continue;
		(*seen)++;
		settle_connection(*number * BUCKET_PLACES + i);
	}
	return 0;
}

static long settle_listener(struct bpf_map *map, __u64 *key, struct listener *listener, void *context)
{
	const struct sock *sk = (const struct sock *)*key;

	(*(__u64 *)context)++;
	/* once: it is about to listen, since it was remembered before it had the state */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN) {
		if (listener->absent++)
			forget_listener(*key);
		return 0;
	}
	listener->absent = 0;
	if (!listener->port) {
		listener->port = BPF_CORE_READ(sk, __sk_common.skc_num);
		share_owner(listener);
	}
	listener->queue = BPF_CORE_READ(sk, sk_ack_backlog);
	listener->queue_limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
	if (bpf_core_field_exists(sk->sk_drops))
		listener->drops = BPF_CORE_READ(sk, sk_drops.counter);
	return 0;
}

#endif
