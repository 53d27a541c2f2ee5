/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The end of a connection or of a connect: what is counted, and its record. */
#ifndef TCPLEDGER_END_H
#define TCPLEDGER_END_H

#include "kernel.h"
#include "connection.h"
#include "conns.h"
#include "owner.h"
#include "pair.h"
#include "reason.h"
#include "record.h"
#include "socket.h"
#include "state.h"

/* `id` is apart: that of an ending connection is zeroed already. */
static __always_inline void fill_record(struct record *record, __u64 id, const struct sock *sk,
					const struct tcp_sock *tp, const struct connection *conn,
					const struct slot *slot, enum event event)
{
	record->id = id;
	record->opened_ns = conn->opened_ns;
	record->established_ns = conn->established_ns;
	record->sent = 0;
	record->received = 0;
	read_addresses(sk, record->local_ip, record->remote_ip);
	record->slot = conn->slot;
	record->generation = slot->generation;
	record->pid = conn->pid;
	record->local_port = conn->local_port;
	record->remote_port = conn->remote_port;
	record->event = event;
	record->role = conn->role;
	record->close_reason = 0;
	record->connect_error = 0;
	record->sk_err = sk->sk_err;
	record->adopted = conn->adopted;
	record->dialled_port = slot->pair.dialled_port;
	record->srtt_us = tp->srtt_us >> 3;
	record->min_rtt_us = tp->rtt_min.s[0].v == ~0U ? 0 : tp->rtt_min.s[0].v;
	record->retransmitted = tp->total_retrans;
	record->lost = tp->lost;
	record->segments_sent = tp->segs_out;
	record->segments_received = tp->segs_in;
	__builtin_memcpy(record->comm, conn->comm, COMM_SIZE);
}

/* Zeroes the id and returns it. 0: somebody else has ended the connection. */
static __always_inline __u64 end_connection(struct connection *conn)
{
	/* an exchange: a settle must see it before anything that happens to the socket from now on */
	return __sync_lock_test_and_set(&conn->id, 0);
}

/* The second half of ::ffff:0.0.0.0. */
#define V4_UNSPECIFIED ((__u64)bpf_htonl(0xffff))

/*
 * What the application dialled, into the pair of what it was connected to, where a load balancer on the socket (a connect
 * program, as Cilium's or Kmesh's) has put another address in its place.
 */
static __always_inline void set_dialled(struct pair *pair, const struct connection *conn)
{
	const __u64 *dialled = (const __u64 *)conn->dialled_ip, *remote = (const __u64 *)pair->remote_ip;

	if (conn->dial != DIAL_FOLLOWED ||
	    (dialled[0] == remote[0] && dialled[1] == remote[1] && conn->remote_port == pair->service_port))
		return;
	/* the unspecified address is this machine to the kernel */
	if (!dialled[0] && (!dialled[1] || dialled[1] == V4_UNSPECIFIED))
		return;
	__builtin_memcpy(pair->dialled_ip, conn->dialled_ip, 16);
	pair->dialled_port = conn->remote_port;
}

/*
 * A connect that no transition followed: there was no route, or the machine's own policy forbade it. How it failed only
 * its application was told.
 */
static __always_inline void on_silent_failure(struct connection *conn, __u64 id)
{
	struct pair pair = {};
	struct record *record;
	struct slot *slot;

	/* no address had been chosen for this end */
	if (((const __u32 *)conn->dialled_ip)[2] == bpf_htonl(0xffff))
		copy_v4(pair.local_ip, 0);
	__builtin_memcpy(pair.remote_ip, conn->dialled_ip, 16);
	pair.cgroup_id = conn->cgroup_id;
	pair.netns = conn->netns;
	pair.service_port = conn->remote_port;
	pair.role = ROLE_SOURCE;
	if (!count_loopback && is_loopback(pair.remote_ip))
		return;
	set_executable(&pair, conn->comm);
	conn->slot = slot_of(&pair);
	slot = get_slot(conn->slot);
	if (!slot)
		return;
	add(&slot->opened, 1);
	add(&slot->failed, 1);
	__sync_fetch_and_add(&slot->errors[CONNECT_OTHER], 1);
	slot_changed(slot);

	record = reserve_record(RECORD_FAIL);
	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->id = id;
	record->opened_ns = conn->opened_ns;
	record->time_ns = conn->opened_ns;
	__builtin_memcpy(record->local_ip, pair.local_ip, 16);
	__builtin_memcpy(record->remote_ip, pair.remote_ip, 16);
	record->slot = conn->slot;
	record->generation = slot->generation;
	record->pid = conn->pid;
	record->remote_port = conn->remote_port;
	record->event = EVENT_FAIL;
	record->role = ROLE_SOURCE;
	record->connect_error = CONNECT_OTHER;
	__builtin_memcpy(record->comm, conn->comm, COMM_SIZE);
	submit_record(record);
}

/*
 * The end of a connection whose transition to CLOSE was not seen: adoption reads a socket's state, and may be late with
 * the connection that it makes of it. What it had gained since the last settle is not known any more.
 */
static __always_inline void on_missed_close(struct connection *conn)
{
	struct slot *slot = get_slot(conn->slot);

	count_error(OP_CLOSE_MISSED);
	if (!slot)
		return;
	add(&slot->closed, 1);
	slot_changed(slot);
}

/* The connect failed: `conn` may be a stand-in when conns had no room. */
static __always_inline void on_failure(const struct sock *sk, const struct tcp_sock *tp, struct connection *conn,
				       __u64 id)
{
	int failed_with = connect_errno_of(sk);
	enum connect_error error = connect_error_of(failed_with, tp);
	struct pair pair = {};
	struct record *record;
	struct slot *slot;

	read_pair(sk, &pair, conn->role, local_port_of(tp), bpf_ntohs(sk->__sk_common.skc_dport));
	if (!count_loopback && is_loopback(pair.remote_ip))
		return;
	set_dialled(&pair, conn);
	conn->local_port = local_port_of(tp);
	conn->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	set_executable(&pair, conn->comm);
	conn->slot = slot_of(&pair);
	slot = get_slot(conn->slot);
	if (!slot)
		return;
	add(&slot->opened, 1);
	add(&slot->failed, 1);
	__sync_fetch_and_add(&slot->errors[error & (CONNECT_ERRORS - 1)], 1);
	slot_changed(slot);

	record = reserve_record(RECORD_FAIL);
	if (record) {
		fill_record(record, id, sk, tp, conn, slot, EVENT_FAIL);
		record->time_ns = bpf_ktime_get_boot_ns();
		record->connect_error = error;
		record->sk_err = failed_with;
		submit_record(record);
	}
}
_Static_assert((CONNECT_ERRORS & (CONNECT_ERRORS - 1)) == 0, "errors are indexed with a mask");

/* Counts the end of an established connection, and takes what its counters hold beyond what settles have claimed. */
static __always_inline void on_close(const struct sock *sk, const struct tcp_sock *tp, struct connection *conn,
				     __u64 id, int old_state)
{
	enum close_reason reason = close_reason_of(old_state, sk->sk_err);
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 gained[CLAIMS];
	struct reading final;
	struct record *record;
	struct slot *slot = get_slot(conn->slot);
	__u32 rtt;

	if (!slot)
		return;
	/* a settle that read the id before it was zeroed claims before the rest is taken, or not at all */
	read_exact(tp, old_state, conn, &final);
#pragma unroll
	for (int i = 0; i < CLAIMS; i++)
		gained[i] = claim_rest(&conn->claims[i], final.value[i], i);
	count_claimed(slot, gained);
	add(&slot->closed, 1);
	if (reason == CLOSE_PEER_RESET)
		add(&slot->resets_received, 1);
	else if (reason == CLOSE_LOCAL_RESET)
		add(&slot->resets_sent, 1);
	if (!conn->adopted)
		observe(slot, HISTOGRAM_DURATION, now - conn->opened_ns);
	rtt = tp->srtt_us >> 3;
	if (rtt)
		observe(slot, HISTOGRAM_SMOOTHED_RTT, rtt * 1000ULL);
	rtt = tp->rtt_min.s[0].v;
	if (rtt && rtt != ~0U)
		observe(slot, HISTOGRAM_MIN_RTT, rtt * 1000ULL);
	slot_changed(slot);

	record = reserve_record(RECORD_CLOSE);
	if (record) {
		fill_record(record, id, sk, tp, conn, slot, EVENT_CLOSE);
		record->time_ns = now;
		record->sent = final.value[CLAIM_SENT] - conn->sent_before;
		record->received = final.value[CLAIM_RECEIVED] - conn->received_before;
		record->close_reason = reason;
		submit_record(record);
	}
}

/* Who opened a connection that was not seen to open. A port that connect chose marks its bucket with -1; else it is the listener's if there is one. */
static __always_inline __u8 guess_role(const struct sock *sk, const struct tcp_sock *tp)
{
	struct inet_bind_bucket *bucket = tp->inet_conn.icsk_bind_hash;
	struct owner_key key;
	struct pair pair = {};
	__u16 port = local_port_of(tp);

	if (bucket && bucket->fastreuse == -1)
		return ROLE_SOURCE;
	read_pair(sk, &pair, ROLE_DESTINATION, port, 0);
	owner_key_of(&key, &pair);
	if (bpf_map_lookup_elem(&owners, &key))
		return ROLE_DESTINATION;
	/* bound, and no listener any more: the lower port serves */
	return port < bpf_ntohs(sk->__sk_common.skc_dport) ? ROLE_DESTINATION : ROLE_SOURCE;
}

/*
 * A close of a socket that conns does not hold. Either it was counted as opened when conns was full, or it is older than
 * the agent and was not adopted (nobody held a descriptor of it), which is none of ours.
 */
static __always_inline void on_untracked_close(const struct sock *sk, const struct tcp_sock *tp, int old_state)
{
	struct state *st = get_state();
	struct connection conn = {};
	__u64 payload;

	/* below 0 by those of the older ones that closed meanwhile */
	if (!st || *(volatile __s64 *)&st->untracked <= 0)
		return;
	conn.id = new_id();
	conn.role = guess_role(sk, tp);
	conn.local_port = local_port_of(tp);
	conn.remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	if (!count_loopback) {
		struct pair pair = {};

		read_pair(sk, &pair, conn.role, conn.local_port, conn.remote_port);
		if (is_loopback(pair.remote_ip))
			return;
	}
	/* the other count of what was sent knows nothing of SYNs; where it counts too much the guess has to do */
	payload = tp->bytes_sent - tp->bytes_retrans;
	conn.syn_acked = sequence_sent(tp, old_state) > payload ||
			 (sequence_sent(tp, old_state) < payload && conn.role == ROLE_SOURCE);
	conn.opened_ns = bpf_ktime_get_boot_ns();
	conn.established_ns = conn.opened_ns;
	conn.slot = unattributed_slot(conn.role);
	__sync_fetch_and_add(&st->untracked, -1);
	on_close(sk, tp, &conn, conn.id, old_state);
}

#endif
