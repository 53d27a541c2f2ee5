/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reading a socket: who it belongs to, its ends, its counters. Plain loads where the verifier knows the pointer (a
 * tracepoint's or an iterator's: 20 to 30 ns less each), bpf_probe_read_kernel where it is a number out of a map.
 */
#ifndef TCPLEDGER_SOCKET_H
#define TCPLEDGER_SOCKET_H

#include "kernel.h"
#include "connection.h"
#include "pair.h"

/* Set by the loader: false leaves out connections of 127.0.0.0/8 and ::1. */
const volatile bool count_loopback = true;

static __always_inline void copy_v4(__u8 *to, __be32 from)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = from;
}

static __always_inline bool is_loopback(const __u8 *ip)
{
	const __u32 *word = (const __u32 *)ip;

	if (word[0] || word[1])
		return false;
	if (word[2] == bpf_htonl(0xffff))
		return ip[12] == 127;
	return word[2] == 0 && word[3] == bpf_htonl(1);
}

/* The two ends' addresses, 16 bytes each. */
static __always_inline void read_addresses(const struct sock *sk, __u8 *local_ip, __u8 *remote_ip)
{
	if (sk->__sk_common.skc_family == AF_INET6) {
		__builtin_memcpy(local_ip, &sk->__sk_common.skc_v6_rcv_saddr, 16);
		__builtin_memcpy(remote_ip, &sk->__sk_common.skc_v6_daddr, 16);
	} else {
		copy_v4(local_ip, sk->__sk_common.skc_rcv_saddr);
		copy_v4(remote_ip, sk->__sk_common.skc_daddr);
	}
}

/* `pair` must be zeroed before. Ports in host order. */
static __always_inline void read_pair(const struct sock *sk, struct pair *pair, __u8 role, __u16 local_port,
				      __u16 remote_port)
{
	read_addresses(sk, pair->local_ip, pair->remote_ip);
	pair->netns = sk->__sk_common.skc_net.net->ns.inum;
	pair->cgroup_id = sk->sk_cgrp_data.cgroup->kn->id;
	pair->role = role;
	pair->service_port = role == ROLE_SOURCE ? remote_port : local_port;
}

/* 0 while the port is not known: before the connect has chosen one, and again at CLOSE unless it was bound. */
static __always_inline __u16 local_port_of(const struct sock *sk, const struct tcp_sock *tp)
{
	__u16 port = sk->__sk_common.skc_num;

	return likely(port) ? port : bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
}

static __always_inline bool fin_received(unsigned long flags)
{
	return flags >> bpf_core_enum_value(enum sock_flags, SOCK_DONE) & 1;
}

/* In these states a FIN is queued, if not sent. */
static __always_inline bool is_closing(int socket_state)
{
	const __u32 closing = 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSING | 1 << TCP_LAST_ACK;

	return closing >> (socket_state & 31) & 1;
}

/*
 * CLOCK_BOOTTIME of the packet that the kernel is working on, by the socket's own clock, which the kernel sets for each
 * (tcp_mstamp_refresh): reading a clock takes a tenth of a socket's time. Without a packet, and where the socket's clock is
 * not ahead of `after_ns`, the clock is read.
 */
static __always_inline __u64 time_of(const struct tcp_sock *tp, bool packet, __u64 after_ns)
{
	__u64 time_ns;

	if (likely(packet)) {
		time_ns = tp->tcp_clock_cache + state.boot_offset_ns;
		if (likely(time_ns > after_ns))
			return time_ns;
	}
	return bpf_ktime_get_boot_ns();
}

/* Whether a transition to CLOSE was caused by a packet or by the socket's timer, which sets its clock too. */
static __always_inline bool is_closed_by_packet(const struct sock *sk, int old_state)
{
	/* a process owns the socket that it closes; with an error there need be no packet */
	return is_closing(old_state) && !sk->sk_lock.owned && !sk->sk_err;
}

/* What has left in order, whether acknowledged or not, SYN included if bytes_acked includes it. `old_state` is the one before the transition. */
static __always_inline __u64 sequence_sent(const struct tcp_sock *tp, int old_state)
{
	bool fin_sent = is_closing(old_state) && tp->snd_nxt == tp->write_seq;

	return tp->bytes_acked + (__u32)(tp->snd_nxt - tp->snd_una) - fin_sent;
}

/* Before anything is read of an established connection. */
static __always_inline void begin_sent(const struct tcp_sock *tp, struct connection *conn)
{
	/* a connection that was restored (TCP_REPAIR) has sent no SYN */
	conn->syn_acked = conn->role == ROLE_SOURCE && tp->bytes_acked;
	conn->sent_base = (__u32)tp->bytes_acked - conn->syn_acked - tp->snd_una;
}

/*
 * The exact counters: final at the transition to CLOSE. Sent is where the sequence stands, less SYN and FIN:
 * bytes_sent - bytes_retrans, the obvious difference, counts a segment as often as the machine's own filter or queue
 * refused it. bytes_received counts the FIN as one.
 */
static __always_inline void read_exact(const struct sock *sk, const struct tcp_sock *tp, int old_state,
				       const struct connection *conn, struct reading *r)
{
	r->value[CLAIM_SENT] = sequence_sent(tp, old_state) - conn->syn_acked;
	r->value[CLAIM_RECEIVED] = tp->bytes_received - fin_received(sk->__sk_common.skc_flags);
	r->value[CLAIM_SEGMENTS_SENT] = tp->segs_out;
	r->value[CLAIM_SEGMENTS_RECEIVED] = tp->segs_in;
	r->value[CLAIM_RETRANSMITTED] = tp->total_retrans;
	r->value[CLAIM_LOST] = tp->lost;
}

/*
 * A lower bound of a live socket's counters. snd_una is not read: it moves beside bytes_acked, and one could be newer than
 * the other; what bytes_acked was read to be tells where it was. A FIN may have been sent since the state was read later
 * than snd_nxt, so it is taken for sent; one received byte is held back, since a FIN is counted before SOCK_DONE tells of
 * it. The close makes both exact. False when the socket could not be read.
 */
static __always_inline bool read_live(const struct tcp_sock *tp, const struct connection *conn, struct reading *r,
				      unsigned char *socket_state)
{
	__u64 acked = 0, received = 0;
	__u32 next = 0, segments_sent = 0, segments_received = 0, retransmissions = 0, lost = 0;
	__s64 sent;

	if (BPF_CORE_READ_INTO(&acked, tp, bytes_acked))
		return false;
	BPF_CORE_READ_INTO(&next, tp, snd_nxt);
	barrier(); /* clang must not read these two in another order */
	BPF_CORE_READ_INTO(socket_state, tp, inet_conn.icsk_inet.sk.__sk_common.skc_state);
	BPF_CORE_READ_INTO(&received, tp, bytes_received);
	BPF_CORE_READ_INTO(&segments_sent, tp, segs_out);
	BPF_CORE_READ_INTO(&segments_received, tp, segs_in);
	BPF_CORE_READ_INTO(&retransmissions, tp, total_retrans);
	BPF_CORE_READ_INTO(&lost, tp, lost);
	acked -= conn->syn_acked;
	sent = acked + (__s32)(next + conn->sent_base - (__u32)acked) - is_closing(*socket_state);
	r->value[CLAIM_SENT] = sent > 0 ? sent : 0;
	r->value[CLAIM_RECEIVED] = received ? received - 1 : 0;
	r->value[CLAIM_SEGMENTS_SENT] = segments_sent;
	r->value[CLAIM_SEGMENTS_RECEIVED] = segments_received;
	r->value[CLAIM_RETRANSMITTED] = retransmissions;
	r->value[CLAIM_LOST] = lost;
	return true;
}

#endif
