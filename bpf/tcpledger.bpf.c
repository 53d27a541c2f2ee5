// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The kernel half of tcpledger: counts every TCP connection of the node into the slot of its pair, to the byte, and
 * writes a record of each close and failure for the access log. Nothing here runs per packet.
 *
 * Start with README.md: the four words, the map of hooks.
 */
#include "kernel.h"

#include "connection.h"
#include "listener.h"
#include "pair.h"
#include "record.h"
#include "socket.h"
#include "state.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* errno values of sk_err, include/uapi/asm-generic */
#define E2BIG 7
#define EEXIST 17
#define EPIPE 32
#define ENETUNREACH 101
#define ECONNABORTED 103
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTUNREACH 113
#define EADDRNOTAVAIL 99

static __always_inline enum connect_error connect_error_of(int sk_err, const struct tcp_sock *tp)
{
	switch (sk_err) {
	case ECONNREFUSED:
		return CONNECT_REFUSED;
	case ETIMEDOUT:
		return CONNECT_TIMED_OUT;
	case EHOSTUNREACH:
		return CONNECT_HOST_UNREACHABLE;
	case ENETUNREACH:
		return CONNECT_NETWORK_UNREACHABLE;
	case ECONNRESET:
		return CONNECT_RESET;
	case EADDRNOTAVAIL:
		return CONNECT_NO_LOCAL_PORT;
	case ECONNABORTED:
		return CONNECT_ABORTED;
	case 0:
		/* no SYN ever left: there was no port, or the four-tuple was taken */
		return tp->segs_out ? CONNECT_ABORTED : CONNECT_NO_LOCAL_PORT;
	default:
		return CONNECT_OTHER;
	}
}

/*
 * Why a connect failed. An ICMP answer that found the socket busy is a soft error: the socket goes on connecting, but
 * over IPv4 poll tells it at once through the error queue, the application reads it (SO_ERROR, which clears it) and
 * closes. The message still lies in the queue then.
 */
static __always_inline int connect_errno_of(const struct sock *sk)
{
	const struct sk_buff *message;
	const struct sock_exterr_skb *error;

	if (sk->sk_err)
		return sk->sk_err;
	if (sk->sk_err_soft)
		return sk->sk_err_soft;
	message = sk->sk_error_queue.next;
	/* an empty queue points to itself */
	if (!message || (const void *)message == (const void *)&sk->sk_error_queue)
		return 0;
	error = (const void *)message->cb;
	return BPF_CORE_READ(error, ee.ee_errno);
}

static __always_inline enum close_reason close_reason_of(int old_state, int sk_err)
{
	switch (sk_err) {
	case ECONNRESET:
	case EPIPE:
		return CLOSE_PEER_RESET;
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		/* retransmissions or keepalives gave up; an ICMP error seen meanwhile is the reason they give */
		return CLOSE_TIMEOUT;
	case 0:
		/* close with unread data or linger 0, in the states in which no FIN was sent; an orphan that got data */
		return old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT || old_state == TCP_FIN_WAIT1 ||
				       old_state == TCP_SYN_RECV ?
			       CLOSE_LOCAL_RESET :
			       CLOSE_NORMAL;
	default:
		return CLOSE_LOCAL_RESET;
	}
}

/* The process of a connect or listen. A kernel thread (NFS, an MPTCP worker's subflow) is nobody's executable. */
static __always_inline __u32 current_process(char comm[COMM_SIZE])
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (task->flags & PF_KTHREAD)
		return 0;
	/* padded with zeroes by the kernel */
	__builtin_memcpy(comm, task->comm, COMM_SIZE);
	return task->tgid;
}

/* The process that listens where this connection was accepted. */
static __always_inline void inherit_owner(struct connection *conn, const struct pair *pair)
{
	struct owner_key key;
	struct owner *owner;

	owner_key_of(&key, pair);
	owner = bpf_map_lookup_elem(&owners, &key);
	if (!owner)
		return;
	conn->pid = owner->pid;
	__builtin_memcpy(conn->comm, owner->comm, COMM_SIZE);
}

static __always_inline void set_executable(struct pair *pair, const char comm[COMM_SIZE])
{
	struct state *st = get_state();

	if (st && st->by_executable)
		__builtin_memcpy(pair->comm, comm, COMM_SIZE);
}

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

static __always_inline void owner_key_of_listener(struct owner_key *key, const struct listener *listener)
{
	key->cgroup_id = listener->cgroup_id;
	key->netns = listener->netns;
	key->port = listener->port;
	key->reserved = 0;
}

/* Makes the listener's process the owner of its port, or one of several. */
static __always_inline void share_owner(const struct listener *listener)
{
	struct owner_key key;
	struct owner fresh = {}, *owner;

	if (!listener->port)
		return;
	owner_key_of_listener(&key, listener);
	owner = bpf_map_lookup_elem(&owners, &key);
	if (owner) {
		__sync_fetch_and_add(&owner->listeners, 1);
		return;
	}
	fresh.pid = listener->pid;
	fresh.listeners = 1;
	__builtin_memcpy(fresh.comm, listener->comm, COMM_SIZE);
	if (bpf_map_update_elem(&owners, &key, &fresh, BPF_ANY))
		count_error(OP_OWNERS_UPDATE);
}

static __always_inline void forget_listener(__u64 key)
{
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);
	struct owner_key owner_key;
	struct owner *owner;

	if (!listener)
		return;
	owner_key_of_listener(&owner_key, listener);
	/* a settle may be at it too: who deletes it gives its share of the owner back */
	if (bpf_map_delete_elem(&listeners, &key))
		return;
	owner = bpf_map_lookup_elem(&owners, &owner_key);
	if (owner && __sync_fetch_and_add(&owner->listeners, -1) == 1)
		bpf_map_delete_elem(&owners, &owner_key);
}

/* `listener` comes with its process and zeroes. False when one is known at this address. */
static __always_inline bool remember_listener(const struct sock *sk, struct listener listener)
{
	__u64 key = (__u64)sk;
	struct pair pair = {};
	long failed;

	listener.port = sk->__sk_common.skc_num;
	read_pair(sk, &pair, ROLE_DESTINATION, listener.port, 0);
	listener.cgroup_id = pair.cgroup_id;
	listener.netns = pair.netns;
	__builtin_memcpy(listener.local_ip, pair.local_ip, 16);
	failed = bpf_map_update_elem(&listeners, &key, &listener, BPF_NOEXIST);
	if (failed == -EEXIST)
		return false;
	if (failed)
		count_error(OP_LISTENERS_UPDATE);
	else
		share_owner(&listener);
	return true;
}

/* inet_csk_listen_start, in process context. */
static __always_inline void on_listen(const struct sock *sk)
{
	struct listener listener = {};

	listener.pid = current_process(listener.comm);
	if (remember_listener(sk, listener))
		return;
	/* adoption was late with a listener that closed meanwhile */
	forget_listener((__u64)sk);
	remember_listener(sk, listener);
}

static __always_inline void on_end(const struct sock *sk, const struct tcp_sock *tp, int old_state)
{
	__u64 socket = (__u64)sk;
	struct connection *conn = connection_of(socket);
	__u64 id = conn ? end_connection(conn) : 0;

	if (!conn || !id) {
		struct connection stand_in = {};

		if (old_state == TCP_SYN_SENT) {
			stand_in.id = new_id();
			stand_in.role = ROLE_SOURCE;
			stand_in.opened_ns = bpf_ktime_get_boot_ns();
			stand_in.pid = current_process(stand_in.comm);
			on_failure(sk, tp, &stand_in, stand_in.id);
		} else if (old_state != TCP_SYN_RECV) {
			on_untracked_close(sk, tp, old_state);
		}
		return;
	}
	if (conn->established_ns)
		on_close(sk, tp, conn, id, old_state);
	else
		on_failure(sk, tp, conn, id);
	leave_place(socket, conn);
}

/*
 * A fast-open child is used before its handshake has ended. One that ends there, and has exchanged data or was accepted,
 * was a connection; any other child that ends in SYN_RECV never was.
 */
static __always_inline bool is_used_child(const struct sock *sk, const struct tcp_sock *tp, int old_state)
{
	if (old_state != TCP_SYN_RECV || (!tp->bytes_received && !tp->bytes_sent && !sk->sk_socket))
		return false;
	/* known: not a child but a simultaneous open, and it has failed */
	return !connection_of((__u64)sk);
}

/*
 * Called by inet_sk_state_store (tcp_set_state, inet_sk_set_state), before the new state is stored: every socket of
 * every namespace, whoever opened it, failed connects included. Half of a connection's ten transitions have nothing to
 * do: they leave at the first test.
 *
 * Two programs hang there, and what the first could not run for the second does. The kernel does not run a program
 * inside itself but skips it (__bpf_trace_run, since 6.1), and a process that connects or closes can be interrupted, here
 * as anywhere, by softirq with the packets of other connections. Where packets come by interrupt one program alone
 * misses one transition in a hundred. A process owns the lock of its socket, softirq leaves an owned socket alone and is
 * not interrupted by softirq: so what a process does is never skipped, and what softirq does is skipped for the program
 * that was interrupted, which is not both. The first leaves word of what it has handled; nothing can come between it and
 * the second but what neither of them is inside of.
 */
static __always_inline bool is_handled(const struct sock *sk, int old_state, int new_state)
{
	const __u32 handled = 1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_CLOSE | 1 << TCP_LISTEN |
			      1 << TCP_FIN_WAIT1;

	/* MPTCP repeats transitions */
	return handled >> (new_state & 31) & 1 && old_state != new_state && sk->sk_protocol == IPPROTO_TCP;
}

static __always_inline int on_transition(const struct sock *sk, int old_state, int new_state)
{
	struct state *st = get_state();
	struct tcp_sock *tp;

	if (!st || !*(volatile __u32 *)&st->counting)
		return 0;
	switch (new_state) {
	case TCP_SYN_SENT:
		on_syn_sent(sk);
		return 0;
	case TCP_LISTEN:
		on_listen(sk);
		return 0;
	case TCP_FIN_WAIT1:
		/* a fast-open child that its application closes before the handshake has ended was a connection too */
		if (old_state != TCP_SYN_RECV)
			return 0;
		break;
	case TCP_CLOSE:
		if (old_state == TCP_LISTEN) {
			forget_listener((__u64)sk);
			return 0;
		}
		break;
	}
	tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!tp) {
		count_error(OP_SOCK_CAST);
		return 0;
	}
	if (new_state != TCP_CLOSE || is_used_child(sk, tp, old_state))
		on_established(sk, tp, old_state);
	if (new_state == TCP_CLOSE)
		on_end(sk, tp, old_state);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcpledger_state, const struct sock *sk, int old_state, int new_state)
{
	struct cpu *cpu;

	if (!is_handled(sk, old_state, new_state))
		return 0;
	if (!sk->sk_lock.owned) {
		cpu = get_cpu();
		if (!cpu)
			return 0;
		cpu->handled_socket = (__u64)sk;
		cpu->handled_state = new_state;
		cpu->handled_hash = sk->__sk_common.skc_hash;
	}
	return on_transition(sk, old_state, new_state);
}

/* Must be attached behind tcpledger_state: probes of a tracepoint are called in the order in which they came. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcpledger_again, const struct sock *sk, int old_state, int new_state)
{
	struct cpu *cpu;

	if (!is_handled(sk, old_state, new_state) || sk->sk_lock.owned)
		return 0;
	cpu = get_cpu();
	if (!cpu)
		return 0;
	/*
	 * Softirq may interrupt this program too, which then never hears of what the other handled meanwhile. The hash of its
	 * four-tuple keeps such a leftover from speaking for the next socket at the address.
	 */
	if (cpu->handled_socket == (__u64)sk && cpu->handled_state == new_state &&
	    cpu->handled_hash == sk->__sk_common.skc_hash) {
		cpu->handled_socket = 0;
		return 0;
	}
	return on_transition(sk, old_state, new_state);
}

/* A connect's first transition follows the hook in the same system call: one that has none by now has failed. */
#define DIAL_TIMEOUT_NS 3000000000ULL

static __always_inline void settle_connect(struct connection *conn, __u64 id, __u64 socket)
{
	if (*(volatile __u8 *)&conn->dial != DIAL_BEGUN || bpf_ktime_get_boot_ns() - conn->opened_ns < DIAL_TIMEOUT_NS ||
	    __sync_val_compare_and_swap(&conn->id, id, 0) != id)
		return;
	on_silent_failure(conn, id);
	leave_place(socket, conn);
}

/*
 * The connection in one place, while other CPUs open and close. Not static, so that the verifier reads it once and not
 * once for each of a bucket's places.
 */
__noinline int settle_connection(__u32 place)
{
	__u32 number = place / BUCKET_SOCKETS;
	struct socket_bucket *bucket = bpf_map_lookup_elem(&sockets, &number);
	struct connection *conn = get_connection(place);
	__u64 gained[CLAIMS], any = 0, id, established_ns, socket, *owner;
	unsigned char socket_state = 0;
	struct reading live;
	struct slot *slot;

	if (!conn || !bucket)
		return 0;
	owner = &bucket->sockets[place % BUCKET_SOCKETS];
	id = *(volatile __u64 *)&conn->id;
	established_ns = *(volatile __u64 *)&conn->established_ns;
	if (!id)
		return 0;
	/* the owner after the id: a place that is let again in between has another id, and is found out below */
	full_barrier();
	socket = *(volatile __u64 *)owner;
	if (!established_ns) {
		settle_connect(conn, id, socket);
		return 0;
	}
	slot = get_slot(*(volatile __u32 *)&conn->slot);
	if (!slot)
		return 0;
	if (!read_live((const struct tcp_sock *)socket, conn, &live, &socket_state)) {
		count_error(OP_SOCK_READ);
		return 0;
	}
	/* the close zeroes the id before the socket is anybody else's: unchanged, the reading was this connection's */
	full_barrier();
	if (*(volatile __u64 *)owner != socket || *(volatile __u64 *)&conn->id != id)
		return 0;
#pragma unroll
	for (int i = 0; i < CLAIMS; i++) {
		gained[i] = claim(&conn->claims[i], id, live.value[i], i);
		any |= gained[i];
	}
	if (any) {
		count_claimed(slot, gained);
		slot_changed(slot);
	}
	/* a close that is seen zeroes the id before the socket has this state */
	if (socket_state == TCP_CLOSE && __sync_val_compare_and_swap(&conn->id, id, 0) == id) {
		on_missed_close(conn);
		leave_place(socket, conn);
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
		settle_connection(*number * BUCKET_SOCKETS + i);
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

/*
 * Advances the counters of live connections. Run by bpf_prog_test_run: complete (sockets not yet accepted, orphaned,
 * held by nobody), every namespace, no iterator needed.
 */
SEC("syscall")
int tcpledger_settle(void *context)
{
	struct state *st = get_state();
	__u64 seen = 0;

	if (!st)
		return 0;
	bpf_for_each_map_elem(&sockets, settle_bucket, &seen, 0);
	st->conns_seen = seen;
	seen = 0;
	bpf_for_each_map_elem(&listeners, settle_listener, &seen, 0);
	st->listeners_seen = seen;
	return 0;
}

/*
 * What an application dials, before a load balancer on the socket puts a backend in its place; and the only trace of
 * connects that fail before their first transition. In process context, the socket locked.
 */
static __always_inline int on_connect(struct bpf_sock_addr *context, const __u8 dialled_ip[16])
{
	struct state *st = get_state();
	struct connection *conn;
	struct tcp_sock *tp;
	struct sock *sk;
	__u64 socket;

	if (!st || !*(volatile __u32 *)&st->counting || context->protocol != IPPROTO_TCP || !context->sk)
		return 1;
	tp = bpf_skc_to_tcp_sock(context->sk);
	if (!tp) {
		count_error(OP_SOCK_CAST);
		return 1;
	}
	sk = &tp->inet_conn.icsk_inet.sk;
	socket = (__u64)sk;
	/* connecting or connected already: the call will be refused */
	if (sk->__sk_common.skc_state != TCP_CLOSE)
		return 1;
	drop_former(socket, NOWHERE);
	conn = take_place(socket);
	if (!conn)
		return 1;
	begin_connection(conn, ROLE_SOURCE, bpf_ktime_get_boot_ns());
	conn->dial = DIAL_BEGUN;
	conn->cgroup_id = sk->sk_cgrp_data.cgroup->kn->id;
	conn->netns = sk->__sk_common.skc_net.net->ns.inum;
	__builtin_memcpy(conn->dialled_ip, dialled_ip, 16);
	conn->remote_port = bpf_ntohs(context->user_port);
	conn->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(conn->comm, COMM_SIZE);
	conn->id = new_id();
	return 1;
}

SEC("cgroup/connect4")
int tcpledger_connect4(struct bpf_sock_addr *context)
{
	__u8 dialled_ip[16];

	copy_v4(dialled_ip, context->user_ip4);
	return on_connect(context, dialled_ip);
}

SEC("cgroup/connect6")
int tcpledger_connect6(struct bpf_sock_addr *context)
{
	__u32 dialled_ip[4];

	dialled_ip[0] = context->user_ip6[0];
	dialled_ip[1] = context->user_ip6[1];
	dialled_ip[2] = context->user_ip6[2];
	dialled_ip[3] = context->user_ip6[3];
	return on_connect(context, (const __u8 *)dialled_ip);
}

/* The TCP socket behind a task's file, or NULL. */
static __always_inline const struct sock *socket_of(struct bpf_iter__task_file *context)
{
	struct file *file = context->file; /* read once: each read of it may be NULL to the verifier */
	struct socket *socket;
	struct sock *sk;

	if (!file)
		return NULL;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return NULL;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP)
		return NULL;
	if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6)
		return NULL;
	return sk;
}

/*
 * Once at the start, over every open file of every process: the sockets that are older than the agent. Listeners go
 * first, since they tell which end of a connection is which. iter/tcp would see the caller's namespace only.
 */
SEC("iter/task_file")
int tcpledger_adopt_listeners(struct bpf_iter__task_file *context)
{
	const struct sock *sk = socket_of(context);
	struct task_struct *task = context->task;
	struct listener listener = {};

	if (!task || !sk || sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	listener.pid = task->tgid;
	__builtin_memcpy(listener.comm, task->comm, COMM_SIZE);
	remember_listener(sk, listener);
	return 0;
}

/* A place for a connection that is older than the agent. NULL, counted: none is free. */
static __always_inline struct connection *adopted_place(__u64 socket, __u8 role, const struct task_struct *task)
{
	struct connection *conn = take_place(socket);

	if (!conn) {
		count_error(OP_CONNS_UPDATE);
		return NULL;
	}
	begin_connection(conn, role, bpf_ktime_get_boot_ns());
	conn->pid = task->tgid;
	__builtin_memcpy(conn->comm, task->comm, COMM_SIZE);
	return conn;
}

/*
 * Lets it be found, whole as it must be. False when the socket's own transition has placed it meanwhile, which holds more than adoption knows. Both look for the
 * other after having placed theirs, so at least one of the two sees it.
 */
static __always_inline bool keep_adopted(__u64 socket, struct connection *conn, __u64 id)
{
	__sync_lock_test_and_set(&conn->id, id);
	if (!other_connection_of(socket, conn->place) || !end_connection(conn))
		return true;
	leave_place(socket, conn);
	return false;
}

/* Their later bytes and their close are counted, never their open. */
SEC("iter/task_file")
int tcpledger_adopt_connections(struct bpf_iter__task_file *context)
{
	const __u32 open_states = 1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 |
				  1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING;
	const struct sock *sk = socket_of(context);
	struct task_struct *task = context->task;
	struct connection *conn;
	struct pair pair = {};
	struct reading before;
	struct tcp_sock *tp;
	struct slot *slot;
	__u64 socket = (__u64)sk;
	__u64 id = new_id();
	__u16 local_port, remote_port;
	__u8 role, socket_state;
	__u32 number;

	if (!task || !sk)
		return 0;
	socket_state = sk->__sk_common.skc_state;
	if (!(open_states >> (socket_state & 31) & 1) && socket_state != TCP_SYN_SENT)
		return 0;
	/* several descriptors and processes may hold one socket */
	if (connection_of(socket))
		return 0;
	tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!tp)
		return 0;
	if (socket_state == TCP_SYN_SENT) {
		/* not counted yet, so nothing of it is older: it will be opened, or fail, before our eyes */
		conn = adopted_place(socket, ROLE_SOURCE, task);
		if (conn)
			keep_adopted(socket, conn, new_id());
		return 0;
	}
	role = guess_role(sk, tp);
	local_port = local_port_of(tp);
	remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	read_pair(sk, &pair, role, local_port, remote_port);
	if (!count_loopback && is_loopback(pair.remote_ip))
		return 0;
	set_executable(&pair, task->comm);
	number = slot_of(&pair);
	slot = get_slot(number);
	if (!slot)
		return 0;
	conn = adopted_place(socket, role, task);
	if (!conn)
		return 0;
	conn->adopted = 1;
	conn->slot = number;
	conn->local_port = local_port;
	conn->remote_port = remote_port;
	begin_sent(tp, conn);
	read_exact(tp, socket_state, conn, &before);
	conn->sent_before = before.value[CLAIM_SENT];
	conn->received_before = before.value[CLAIM_RECEIVED];
#pragma unroll
	for (int i = 0; i < CLAIMS; i++)
		conn->claims[i] = claim_word(id, before.value[i]);
	conn->established_ns = conn->opened_ns;
	/* before the connection can be found, so that its close never makes the number of open ones negative */
	add(&slot->adopted, 1);
	if (!keep_adopted(socket, conn, id))
		__sync_fetch_and_add(&slot->adopted, -1);
	slot_changed(slot);
	return 0;
}
