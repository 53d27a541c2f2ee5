/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The beginning of a connection: the connect, and the establishment from which on it is counted. */
#ifndef TCPLEDGER_OPEN_H
#define TCPLEDGER_OPEN_H

#include "kernel.h"
#include "connection.h"
#include "conns.h"
#include "end.h"
#include "owner.h"
#include "pair.h"
#include "record.h"
#include "socket.h"
#include "state.h"

/* In a place that was just taken, or in none. It is found as soon as it has an id. */
static __always_inline void begin_connection(struct connection *conn, __u8 role, __u64 now)
{
	__u32 place = conn->place;

	__builtin_memset(conn, 0, sizeof(*conn));
	conn->place = place;
	conn->opened_ns = now;
	conn->role = role;
}

/* A connection that the socket had before, or that adoption has made of it meanwhile. */
static __noinline int end_former(struct connection *former, const struct sock *sk)
{
	struct position position = position_of(sk);
	__u64 id = end_connection(former);

	/* else a settle drops it */
	if (!id)
		return 0;
	if (former->established_ns)
		on_missed_close(former);
	else if (former->dial == DIAL_BEGUN)
		on_silent_failure(former, id);
	leave_place(&position, former);
	return 0;
}

static __always_inline void drop_former(const struct sock *sk, const struct position *position, __u32 except)
{
	struct connection *former = other_connection_at(position, except);

	if (unlikely(former))
		end_former(former, sk);
}

/* Connect: tcp_v4_connect, tcp_v6_connect, in process context. The local port is not chosen yet. */
static __always_inline void on_syn_sent(const struct sock *sk)
{
	struct position position = position_of(sk);
	struct connection *conn = connection_at(&position);

	/* the same process in the same system call */
	if (conn && conn->dial == DIAL_BEGUN) {
		conn->dial = DIAL_FOLLOWED;
		return;
	}
	if (unlikely(conn))
		end_former(conn, sk);
	/* full: tried again when the connection is established; its opening is then the handshake's end */
	conn = take_place(&position);
	if (!conn)
		return;
	begin_connection(conn, ROLE_SOURCE, bpf_ktime_get_boot_ns());
	conn->pid = current_process(conn->comm);
	conn->id = new_id();
}

/*
 * tcp_finish_connect (client), tcp_rcv_state_process (child of a listener, or both sides of a simultaneous open); always
 * before any close of the same socket. From here on the connection is counted.
 */
static __always_inline void on_established(const struct sock *sk, const struct tcp_sock *tp, int old_state, int new_state,
					   enum state_program program)
{
	struct position position = position_of(sk);
	/* a child that nobody has accepted cannot be known */
	struct connection *known = old_state == TCP_SYN_RECV && !sk->sk_socket ? NULL : connection_at(&position);
	__u8 role = known ? known->role : old_state == TCP_SYN_SENT ? ROLE_SOURCE : ROLE_DESTINATION;
	struct connection *conn = known, *placed = known;
	struct pair pair = {};
	struct slot *slot;
	/* a connection that is restored (TCP_REPAIR) is established without a packet, its clock behind its connect */
	__u64 now = time_of(tp, new_state == TCP_ESTABLISHED && (known || role == ROLE_DESTINATION),
			    known ? known->opened_ns : 0);
	__u16 local_port = local_port_of(sk, tp), remote_port = bpf_ntohs(sk->__sk_common.skc_dport);

	read_pair(sk, &pair, role, local_port, remote_port);
	if (!count_loopback && is_loopback(pair.remote_ip)) {
		if (known && end_connection(known))
			leave_place(&position, known);
		return;
	}
	if (!known) {
		if (old_state == TCP_SYN_RECV)
			drop_former(sk, &position, NOWHERE);
		placed = take_place(&position);
		conn = likely(placed) ? placed : stand_in_of(program);
		if (!conn)
			return;
		begin_connection(conn, role, now);
		conn->id = new_id();
		if (role == ROLE_DESTINATION)
			inherit_owner(conn, &pair);
	}
	set_dialled(&pair, conn);
	conn->local_port = local_port;
	conn->remote_port = remote_port;
	begin_sent(tp, conn);
	set_executable(&pair, conn->comm);
	if (likely(placed)) {
		conn->slot = slot_of(&pair);
	} else {
		__sync_fetch_and_add(&state.untracked, 1);
		__sync_fetch_and_add(&state.overflow_unattributed, 1);
		conn->slot = unattributed_slot(role);
	}
	/* last, by an exchange: a settle takes a connection with an establishment for one with a slot */
	__sync_lock_test_and_set(&conn->established_ns, now);
	if (unlikely(!known && role == ROLE_SOURCE))
		drop_former(sk, &position, placed ? placed->place : NOWHERE);
	slot = get_slot(conn->slot);
	if (!slot)
		return;
	add(&slot->opened, 1);
	if (known)
		observe(slot, HISTOGRAM_CONNECT, now - known->opened_ns);
	slot_changed(slot);
	if (unlikely(are_wanted(RECORD_OPEN))) {
		struct happening happening = { .id = conn->id, .time_ns = now, .event = EVENT_OPEN };

		write_record(sk, tp, conn, slot, &happening);
	}
}

#endif
