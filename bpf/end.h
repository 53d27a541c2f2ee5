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

/* What a record tells beyond its connection and its socket. */
struct happening {
	__u64 id; /* that of an ending connection is zeroed already */
	__u64 time_ns;
	__u64 sent;
	__u64 received;
	__u8 event;
	__u8 close_reason;
	__u8 connect_error;
	__u8 sk_err;
};

static __noinline int write_record(const struct sock *sk, const struct tcp_sock *tp, const struct connection *conn,
				   const struct slot *slot, const struct happening *happening)
{
	struct record *record = reserve_record();

	if (!record)
		return 0;
	record->id = happening->id;
	record->time_ns = happening->time_ns;
	record->opened_ns = conn->opened_ns;
	record->established_ns = conn->established_ns;
	record->sent = happening->sent;
	record->received = happening->received;
	read_addresses(sk, record->local_ip, record->remote_ip);
	record->slot = conn->slot;
	record->generation = slot->generation;
	record->pid = conn->pid;
	record->local_port = conn->local_port;
	record->remote_port = conn->remote_port;
	record->event = happening->event;
	record->role = conn->role;
	record->close_reason = happening->close_reason;
	record->connect_error = happening->connect_error;
	record->sk_err = happening->sk_err;
	record->adopted = conn->adopted;
	record->dialled_port = slot->pair.dialled_port;
	record->srtt_us = tp->srtt_us >> 3;
	record->min_rtt_us = tp->rtt_min.s[0].v == ~0U ? 0 : tp->rtt_min.s[0].v;
	record->retransmitted = tp->total_retrans;
	record->lost = tp->lost;
	record->segments_sent = tp->segs_out;
	record->segments_received = tp->segs_in;
	__builtin_memcpy(record->comm, conn->comm, COMM_SIZE);
	submit_record(record);
	return 0;
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

static __always_inline void count_failure(struct slot *slot, enum connect_error error)
{
	add(&slot->opened, 1);
	add(&slot->failed, 1);
	__sync_fetch_and_add(&slot->errors[error & (CONNECT_ERRORS - 1)], 1);
	slot_changed(slot);
}
_Static_assert((CONNECT_ERRORS & (CONNECT_ERRORS - 1)) == 0, "errors are indexed with a mask");

/*
 * A connect that no transition followed: there was no route, or the machine's own policy forbade it. How it failed only
 * its application was told.
 */
static __noinline int on_silent_failure(struct connection *conn, __u64 id)
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
		return 0;
	set_executable(&pair, conn->comm);
	conn->slot = slot_of(&pair);
	slot = get_slot(conn->slot);
	if (!slot)
		return 0;
	count_failure(slot, CONNECT_OTHER);

	record = are_wanted(RECORD_FAIL) ? reserve_record() : NULL;
	if (!record)
		return 0;
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
	return 0;
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
static __noinline int on_failure(const struct sock *sk, const struct tcp_sock *tp, struct connection *conn, __u64 id)
{
	struct happening happening = { .id = id, .event = EVENT_FAIL };
	struct pair pair = {};
	struct slot *slot;

	happening.sk_err = connect_errno_of(sk);
	happening.connect_error = connect_error_of(happening.sk_err, tp);
	conn->local_port = local_port_of(sk, tp);
	conn->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	read_pair(sk, &pair, conn->role, conn->local_port, conn->remote_port);
	if (!count_loopback && is_loopback(pair.remote_ip))
		return 0;
	set_dialled(&pair, conn);
	set_executable(&pair, conn->comm);
	conn->slot = slot_of(&pair);
	slot = get_slot(conn->slot);
	if (!slot)
		return 0;
	count_failure(slot, happening.connect_error);
	if (are_wanted(RECORD_FAIL)) {
		happening.time_ns = bpf_ktime_get_boot_ns();
		write_record(sk, tp, conn, slot, &happening);
	}
	return 0;
}

/* Counts the end of an established connection, and takes what its counters hold beyond what settles have claimed. */
static __always_inline void on_close(const struct sock *sk, const struct tcp_sock *tp, struct connection *conn,
				     __u64 id, int old_state)
{
	struct happening happening = { .id = id, .event = EVENT_CLOSE };
	__u64 observed[CLOSE_HISTOGRAMS];
	struct slot *slot = get_slot(conn->slot);
	struct reading reading;
	__u32 rtt;

	if (!slot)
		return;
	happening.time_ns = time_of(tp, is_closed_by_packet(sk, old_state), conn->established_ns);
	happening.close_reason = close_reason_of(old_state, sk->sk_err);
	read_exact(sk, tp, old_state, conn, &reading);
	happening.sent = reading.value[CLAIM_SENT];
	happening.received = reading.value[CLAIM_RECEIVED];
	if (unlikely(*(volatile __u8 *)&conn->claimed))
		claim_rest(conn, id, &reading);
	count_claimed(slot, &reading);
	add(&slot->closed, 1);
	if (unlikely(happening.close_reason == CLOSE_PEER_RESET))
		add(&slot->resets_received, 1);
	else if (unlikely(happening.close_reason == CLOSE_LOCAL_RESET))
		add(&slot->resets_sent, 1);
	observed[HISTOGRAM_DURATION] = unlikely(conn->adopted) ? 0 : happening.time_ns - conn->opened_ns;
	observed[HISTOGRAM_SMOOTHED_RTT] = (tp->srtt_us >> 3) * 1000ULL;
	rtt = tp->rtt_min.s[0].v;
	observed[HISTOGRAM_MIN_RTT] = rtt == ~0U ? 0 : rtt * 1000ULL;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CLOSE_HISTOGRAMS; i++)
		if (observed[i])
			observe(slot, i, observed[i]);
	slot_changed(slot);
	if (are_wanted(RECORD_CLOSE)) {
		if (unlikely(conn->adopted)) {
			happening.sent -= conn->sent_before;
			happening.received -= conn->received_before;
		}
		write_record(sk, tp, conn, slot, &happening);
	}
}

/* Who opened a connection that was not seen to open. A port that connect chose marks its bucket with -1; else it is the listener's if there is one. */
static __always_inline __u8 guess_role(const struct sock *sk, const struct tcp_sock *tp)
{
	struct inet_bind_bucket *bucket = tp->inet_conn.icsk_bind_hash;
	struct owner_key key;
	struct pair pair = {};
	__u16 port = local_port_of(sk, tp);

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
static __noinline int on_untracked_close(const struct sock *sk, const struct tcp_sock *tp, int old_state,
					 enum state_program program)
{
	struct connection *conn;
	__u64 payload;

	/* below 0 by those of the older ones that closed meanwhile */
	if (*(volatile __s64 *)&state.untracked <= 0)
		return 0;
	conn = stand_in_of(program);
	if (!conn)
		return 0;
	conn->id = new_id();
	conn->role = guess_role(sk, tp);
	conn->local_port = local_port_of(sk, tp);
	conn->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	if (!count_loopback) {
		struct pair pair = {};

		read_pair(sk, &pair, conn->role, conn->local_port, conn->remote_port);
		if (is_loopback(pair.remote_ip))
			return 0;
	}
	/* the other count of what was sent knows nothing of SYNs; where it counts too much the guess has to do */
	payload = tp->bytes_sent - tp->bytes_retrans;
	conn->syn_acked = sequence_sent(tp, old_state) > payload ||
			 (sequence_sent(tp, old_state) < payload && conn->role == ROLE_SOURCE);
	conn->opened_ns = bpf_ktime_get_boot_ns();
	conn->established_ns = conn->opened_ns;
	conn->slot = unattributed_slot(conn->role);
	__sync_fetch_and_add(&state.untracked, -1);
	on_close(sk, tp, conn, conn->id, old_state);
	return 0;
}

#endif
