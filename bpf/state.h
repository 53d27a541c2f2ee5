/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One record of switches and counters, mapped by the agent. Apart from other global variables, so that it outlives the
 * agent with the pinned maps. Twin in TypeScript: src/receiver/kernel-state.ts, offsets from BTF.
 */
#ifndef TCPLEDGER_STATE_H
#define TCPLEDGER_STATE_H

#include "kernel.h"

/* Where a helper failed, or what was missed. Counted, never logged. Names in TypeScript: KERNEL_OPERATIONS, in this order. */
enum operation {
	OP_CONNS_UPDATE,
	OP_INDEX_UPDATE,
	OP_SLOT_LOOKUP,
	OP_SPARE_PUSH,
	OP_OWNERS_UPDATE,
	OP_LISTENERS_UPDATE,
	OP_SOCK_CAST,
	OP_SOCK_READ,
	OP_CONNS_DELETE,
	OP_CLOSE_MISSED,
	OP_DIAL_MISSED,
	OPERATIONS,
};

/* Bits of state.record_events */
enum {
	RECORD_OPEN = 1 << 0,
	RECORD_CLOSE = 1 << 1,
	RECORD_FAIL = 1 << 2,
};

struct state {
	/* switches, set by the agent */
	__u32 by_executable; /* pairs are told apart by the local end's comm */
	__u32 record_events; /* which records go into the ring; 0: no logs pipeline */
	__u32 counting;      /* both programs are attached: with one of the two, half of a connection would be seen */
	__u32 reserved;
	/* counters and high-water marks */
	__u32 next_slot;      /* first never-used slot of the pairs' part */
	__u32 next_coarse;    /* the same of the coarse part */
	__s64 untracked;      /* connections open now that conns had no room for */
	__u64 records_dropped; /* the ring was full */
	__u64 overflow_coarse;
	__u64 overflow_unattributed;
	__u64 errors[OPERATIONS];
	/* by the last settle */
	__u64 conns_seen;
	__u64 listeners_seen;
	__u32 silent; /* connects that no transition followed, until tcpledger_fail has counted them */
	__u32 reserved2;
	__u64 boot_offset_ns; /* by how much CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: by what the machine has slept */
};

/* A section of its own is a map of its own: an array of one element, which the programs address without a lookup. */
struct state state SEC(".data.state") = {};

struct cpu {
	__u64 sequence; /* of connection ids */
	/* the transition that tcpledger_state has handled, until tcpledger_again has heard of it */
	__u64 handled_socket;
	__s32 handled_state;
	__u32 handled_hash;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu);
} per_cpu SEC(".maps");

/* This CPU's. Never NULL for index 0; the verifier wants to see the check all the same. */
static __always_inline struct cpu *get_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&per_cpu, &zero);
}

static __always_inline void count_error(enum operation operation)
{
	__sync_fetch_and_add(&state.errors[operation], 1);
}

#endif
