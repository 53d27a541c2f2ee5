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

/* A connection that the socket had before, or that adoption has made of it meanwhile, goes. */
static __always_inline void drop_former(__u64 socket, __u32 except)
{
	struct connection *former = other_connection_of(socket, except);
	__u64 id = former ? end_connection(former) : 0;

	/* else a settle drops it */
	if (!former || !id)
		return;
	if (former->established_ns)
		on_missed_close(former);
	else if (former->dial == DIAL_BEGUN)
		on_silent_failure(former, id);
	leave_place(socket, former);
}

/* Connect: tcp_v4_connect, tcp_v6_connect, in process context. The local port is not chosen yet. */
static __always_inline void on_syn_sent(const struct sock *sk)
{
	__u64 socket = (__u64)sk;
	struct connection *conn = connection_of(socket);

	if (conn && conn->dial == DIAL_BEGUN) {
		conn->pid = current_process(conn->comm);
		conn->dial = DIAL_FOLLOWED;
		return;
	}
	if (conn)
		drop_former(socket, NOWHERE);
	/* full: tried again when the connection is established; its opening is then the handshake's end */
	conn = take_place(socket);
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
static __always_inline void on_established(const struct sock *sk, const struct tcp_sock *tp, int old_state)
{
	__u64 socket = (__u64)sk, now = bpf_ktime_get_boot_ns();
	/* a child that nobody has accepted cannot be known */
	struct connection *known = old_state == TCP_SYN_RECV && !sk->sk_socket ? NULL : connection_of(socket);
	__u8 role = known ? known->role : old_state == TCP_SYN_SENT ? ROLE_SOURCE : ROLE_DESTINATION;
	__u16 local_port = local_port_of(tp), remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	struct connection *conn = known, *placed = known;
	struct connection stand_in;
	struct pair pair = {};
	struct record *record;
	struct slot *slot;
	struct state *st;

	read_pair(sk, &pair, role, local_port, remote_port);
	if (!count_loopback && is_loopback(pair.remote_ip)) {
		if (known && end_connection(known))
			leave_place(socket, known);
		return;
	}
	if (!known) {
		if (old_state == TCP_SYN_RECV)
			drop_former(socket, NOWHERE);
		placed = take_place(socket);
		conn = placed ?: &stand_in;
		begin_connection(conn, role, now);
		conn->id = new_id();
		if (role == ROLE_DESTINATION)
			inherit_owner(conn, &pair);
	}
	set_dialled(&pair, conn);
	conn->sent_before = 0;
	conn->received_before = 0;
	conn->local_port = local_port;
	conn->remote_port = remote_port;
#pragma unroll
	for (int i = 0; i < CLAIMS; i++)
		conn->claims[i] = claim_word(conn->id, 0);
	begin_sent(tp, conn);
	set_executable(&pair, conn->comm);
	if (placed) {
		conn->slot = slot_of(&pair);
	} else {
		st = get_state();
		if (!st)
			return;
		__sync_fetch_and_add(&st->untracked, 1);
		__sync_fetch_and_add(&st->overflow_unattributed, 1);
		conn->slot = unattributed_slot(role);
	}
	/* last, by an exchange: a settle takes a connection with an establishment for one with a slot */
	__sync_lock_test_and_set(&conn->established_ns, now);
	if (!known && role == ROLE_SOURCE)
		drop_former(socket, placed ? placed->place : NOWHERE);
	slot = get_slot(conn->slot);
	if (!slot)
		return;
	add(&slot->opened, 1);
	if (known)
		observe(slot, HISTOGRAM_CONNECT, now - known->opened_ns);
	slot_changed(slot);

	record = reserve_record(RECORD_OPEN);
	if (record) {
		fill_record(record, conn->id, sk, tp, conn, slot, EVENT_OPEN);
		record->time_ns = now;
		submit_record(record);
	}
}

#endif
