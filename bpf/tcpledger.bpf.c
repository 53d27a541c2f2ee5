// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The kernel half of tcpledger: counts every TCP connection of the node into the slot of its pair, to the byte, and
 * writes a record of each close and failure for the access log. Nothing here runs per packet. What seldom happens is
 * kept out of line (__noinline): what each connection runs through is to be short, in the caches of a busy machine.
 *
 * Start with README.md: the four words, the map of hooks.
 */
#include "kernel.h"

#include "adopt.h"
#include "connection.h"
#include "conns.h"
#include "end.h"
#include "listener.h"
#include "open.h"
#include "owner.h"
#include "pair.h"
#include "settle.h"
#include "socket.h"
#include "state.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* inet_csk_listen_start, in process context. */
static __noinline int on_listen(const struct sock *sk)
{
	struct listener listener = {};

	listener.pid = current_process(listener.comm);
	if (remember_listener(sk, listener))
		return 0;
	/* adoption was late with a listener that closed meanwhile */
	forget_listener((__u64)sk);
	remember_listener(sk, listener);
	return 0;
}

/* A connect failed that conns does not hold. */
static __noinline int on_unknown_failure(const struct sock *sk, const struct tcp_sock *tp, enum state_program program)
{
	struct connection *stand_in = stand_in_of(program);

	if (!stand_in)
		return 0;
	stand_in->id = new_id();
	stand_in->role = ROLE_SOURCE;
	stand_in->opened_ns = bpf_ktime_get_boot_ns();
	stand_in->pid = current_process(stand_in->comm);
	on_failure(sk, tp, stand_in, stand_in->id);
	return 0;
}

static __always_inline void on_end(const struct sock *sk, const struct tcp_sock *tp, int old_state,
				   enum state_program program)
{
	struct position position = position_of(sk);
	struct connection *conn = connection_at(&position);
	__u64 id = conn ? end_connection(conn) : 0;

	if (unlikely(!conn || !id)) {
		if (old_state == TCP_SYN_SENT)
			on_unknown_failure(sk, tp, program);
		else if (old_state != TCP_SYN_RECV)
			on_untracked_close(sk, tp, old_state, program);
		return;
	}
	if (likely(conn->established_ns))
		on_close(sk, tp, conn, id, old_state);
	else
		on_failure(sk, tp, conn, id);
	leave_place(&position, conn);
}

/*
 * A fast-open child is used before its handshake has ended. One that ends there, and has exchanged data or was accepted,
 * was a connection; any other child that ends in SYN_RECV never was.
 */
static __always_inline bool is_used_child(const struct sock *sk, const struct tcp_sock *tp, int old_state)
{
	struct position position;

	if (old_state != TCP_SYN_RECV || (!tp->bytes_received && !tp->bytes_sent && !sk->sk_socket))
		return false;
	position = position_of(sk);
	/* known: not a child but a simultaneous open, and it has failed */
	return !connection_at(&position);
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

static __always_inline int on_transition(const struct sock *sk, int old_state, int new_state, enum state_program program)
{
	struct tcp_sock *tp;

	if (!*(volatile __u32 *)&state.counting)
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
		on_established(sk, tp, old_state, new_state, program);
	if (new_state == TCP_CLOSE)
		on_end(sk, tp, old_state, program);
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
	return on_transition(sk, old_state, new_state, STATE_FIRST);
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
	return on_transition(sk, old_state, new_state, STATE_AGAIN);
}

/*
 * Advances the counters of live connections. Run by bpf_prog_test_run: complete (sockets not yet accepted, orphaned,
 * held by nobody), every namespace, no iterator needed.
 */
SEC("syscall")
int tcpledger_settle(void *context)
{
	__u64 seen = 0;

	settle_clock();
	state.silent = 0;
	bpf_for_each_map_elem(&sockets, settle_bucket, &seen, 0);
	state.conns_seen = seen;
	seen = 0;
	bpf_for_each_map_elem(&listeners, settle_listener, &seen, 0);
	state.listeners_seen = seen;
	return 0;
}

/* Run by bpf_prog_test_run after a settle, as often as there may be more than one settle can list. Attached to nothing. */
SEC("raw_tp")
int tcpledger_fail(void *context)
{
	bpf_for_each_map_elem(&silent, fail_listed, NULL, 0);
	return 0;
}

/*
 * What an application dials, before a load balancer on the socket puts a backend in its place; and the only trace of
 * connects that fail before their first transition. In process context, the socket locked.
 */
static __always_inline int on_connect(struct bpf_sock_addr *context, const __u8 dialled_ip[16])
{
	struct connection *conn;
	struct tcp_sock *tp;
	struct position position;
	struct sock *sk;

	if (!*(volatile __u32 *)&state.counting || context->protocol != IPPROTO_TCP || !context->sk)
		return 1;
	tp = bpf_skc_to_tcp_sock(context->sk);
	if (!tp) {
		count_error(OP_SOCK_CAST);
		return 1;
	}
	sk = &tp->inet_conn.icsk_inet.sk;
	/* connecting or connected already: the call will be refused */
	if (sk->__sk_common.skc_state != TCP_CLOSE)
		return 1;
	position = position_of(sk);
	drop_former(sk, &position, NOWHERE);
	conn = take_place(&position);
	/*
	 * full: if a transition follows, the connection is counted by what its socket shows; if none does, by nobody. Which
	 * it will be cannot be told yet, and there is no place to remember the question.
	 */
	if (unlikely(!conn)) {
		count_error(OP_DIAL_MISSED);
		return 1;
	}
	begin_connection(conn, ROLE_SOURCE, bpf_ktime_get_boot_ns());
	conn->dial = DIAL_BEGUN;
	conn->cgroup_id = sk->sk_cgrp_data.cgroup->kn->id;
	conn->netns = sk->__sk_common.skc_net.net->ns.inum;
	__builtin_memcpy(conn->dialled_ip, dialled_ip, 16);
	conn->remote_port = bpf_ntohs(context->user_port);
	conn->pid = current_process(conn->comm);
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
	struct position position;
	struct tcp_sock *tp;
	struct slot *slot;
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
	position = position_of(sk);
	if (connection_at(&position))
		return 0;
	tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!tp)
		return 0;
	if (socket_state == TCP_SYN_SENT) {
		/* not counted yet, so nothing of it is older: it will be opened, or fail, before our eyes */
		conn = adopted_place(&position, ROLE_SOURCE, task);
		if (conn)
			keep_adopted(&position, conn, new_id());
		return 0;
	}
	role = guess_role(sk, tp);
	local_port = local_port_of(sk, tp);
	remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	read_pair(sk, &pair, role, local_port, remote_port);
	if (!count_loopback && is_loopback(pair.remote_ip))
		return 0;
	set_executable(&pair, task->comm);
	number = slot_of(&pair);
	slot = get_slot(number);
	if (!slot)
		return 0;
	conn = adopted_place(&position, role, task);
	if (!conn)
		return 0;
	conn->adopted = 1;
	conn->slot = number;
	conn->local_port = local_port;
	conn->remote_port = remote_port;
	begin_sent(tp, conn);
	read_exact(sk, tp, socket_state, conn, &before);
	conn->sent_before = before.value[CLAIM_SENT];
	conn->received_before = before.value[CLAIM_RECEIVED];
#pragma unroll
	for (int i = 0; i < CLAIMS; i++)
		conn->claims[i] = claim_word(id, before.value[i]);
	conn->claimed = 1;
	conn->established_ns = conn->opened_ns;
	/* before the connection can be found, so that its close never makes the number of open ones negative */
	add(&slot->adopted, 1);
	if (!keep_adopted(&position, conn, id))
		__sync_fetch_and_add(&slot->adopted, -1);
	slot_changed(slot);
	return 0;
}
