/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel's types, as far as they are read: field names and nesting only. CO-RE finds the offsets on the running
 * kernel, so nothing here depends on the layout of one version. Every type is in vmlinux's own BTF; a type of a module
 * would make libbpf search all modules and ask for CAP_SYS_ADMIN.
 */
#ifndef TCPLEDGER_KERNEL_H
#define TCPLEDGER_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

/* enum in include/net/tcp_states.h; the names of bpf's own copy of it */
#define TCP_ESTABLISHED BPF_TCP_ESTABLISHED
#define TCP_SYN_SENT BPF_TCP_SYN_SENT
#define TCP_SYN_RECV BPF_TCP_SYN_RECV
#define TCP_FIN_WAIT1 BPF_TCP_FIN_WAIT1
#define TCP_FIN_WAIT2 BPF_TCP_FIN_WAIT2
#define TCP_CLOSE BPF_TCP_CLOSE
#define TCP_CLOSE_WAIT BPF_TCP_CLOSE_WAIT
#define TCP_LAST_ACK BPF_TCP_LAST_ACK
#define TCP_LISTEN BPF_TCP_LISTEN
#define TCP_CLOSING BPF_TCP_CLOSING

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	unsigned int skc_hash;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	unsigned long skc_flags;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	int owned;
} socket_lock_t;

struct socket;

struct sk_buff {
	struct sk_buff *next;
	char cb[48];
};

struct sk_buff_head {
	struct sk_buff *next;
};

struct sock_extended_err {
	__u32 ee_errno;
};

/* what cb of a message in the error queue holds */
struct sock_exterr_skb {
	struct sock_extended_err ee;
};

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	__u16 sk_protocol;
	int sk_err;
	int sk_err_soft;
	struct sk_buff_head sk_error_queue;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	atomic_t sk_drops;
	struct socket *sk_socket;
	struct sock_cgroup_data sk_cgrp_data;
};

struct socket {
	struct sock *sk;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct inet_bind_bucket {
	signed char fastreuse;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct inet_bind_bucket *icsk_bind_hash;
};

struct minmax_sample {
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 segs_out;
	__u32 segs_in;
	__u32 total_retrans;
	__u32 lost;
	__u32 srtt_us;
	struct minmax rtt_min;
	__u64 tcp_clock_cache; /* CLOCK_MONOTONIC, ns */
};

struct task_struct {
	unsigned int flags;
	int tgid;
	char comm[16];
};

struct file;
struct bpf_map;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

/* What seldom happens is laid out behind what each connection runs through, so that this is in few cache lines. */
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/*
 * A full barrier: an atomic exchange is one on every machine. A settle reads what other CPUs write, and loads may pass
 * each other where memory is weakly ordered.
 */
static __always_inline void full_barrier(void)
{
	__u64 word = 0;

	__sync_lock_test_and_set(&word, 1);
	barrier();
}

enum sock_flags {
	SOCK_DONE = 1, /* FIN received; include/net/sock.h, relocated by CO-RE */
};

#endif
