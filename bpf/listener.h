/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Listeners: whose they are, so that the children that softirq makes of them can be named, and how they drop.
 */
#ifndef TCPLEDGER_LISTENER_H
#define TCPLEDGER_LISTENER_H

#include "kernel.h"
#include "pair.h"
#include "state.h"

/* A child has no pointer to its listener at any transition, but it has its cgroup, its namespace and its port. */
struct owner_key {
	__u64 cgroup_id;
	__u32 netns;
	__u16 port;
	__u16 reserved;
};

struct owner {
	__u32 pid;
	__u32 listeners; /* SO_REUSEPORT: several share a key */
	char comm[COMM_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct owner_key);
	__type(value, struct owner);
} owners SEC(".maps");

/* Twin in TypeScript: src/receiver/listeners.ts. Queue and drops are refreshed by every settle. */
struct listener {
	__u64 cgroup_id;
	__u8 local_ip[16];
	__u32 netns;
	__u32 pid;
	__u16 port;   /* 0: listens without having been bound, the kernel's choice is not known yet */
	__u16 absent; /* settles in a row that found it not to listen */
	__u32 queue;       /* connections waiting for accept: sk_ack_backlog */
	__u32 queue_limit; /* sk_max_ack_backlog */
	__u32 drops;       /* sk_drops, modulo 2^32 */
	char comm[COMM_SIZE];
};
_Static_assert(sizeof(struct listener) == 64, "listener has no hidden padding");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* address of the struct sock */
	__type(value, struct listener);
} listeners SEC(".maps");

static __always_inline void owner_key_of(struct owner_key *key, const struct pair *pair)
{
	key->cgroup_id = pair->cgroup_id;
	key->netns = pair->netns;
	key->port = pair->service_port;
	key->reserved = 0;
}

#endif
