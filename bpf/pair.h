/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Pairs and their slots: who talks to whom, and what they counted. The words are defined in README.md.
 *
 * Twins in TypeScript: src/receiver/pairs.ts and slot-columns.ts (offsets from this object's BTF),
 * src/semconv/pair-fields.ts (names).
 */
#ifndef TCPLEDGER_PAIR_H
#define TCPLEDGER_PAIR_H

#include "kernel.h"
#include "state.h"

#define COMM_SIZE 16
#define BUCKETS 16

enum role {
	ROLE_SOURCE = 1,      /* the local socket opened the connection */
	ROLE_DESTINATION = 2, /* it accepted it */
};

enum slot_kind {
	KIND_PAIR = 0,
	KIND_COARSE = 1,       /* the remote address is left out: the slots had run out */
	KIND_UNATTRIBUTED = 2, /* neither end is known: the coarse slots had run out too, or conns was full */
};

/* The key of index. No padding that is not named: a hash compares bytes. */
struct pair {
	__u8 local_ip[16]; /* IPv4 is v4-mapped */
	__u8 remote_ip[16];
	__u64 cgroup_id; /* inode of the local socket's cgroup v2 directory */
	__u32 netns;     /* inode of its network namespace */
	__u16 service_port;
	__u8 role;
	__u8 kind;
	char comm[COMM_SIZE]; /* zero unless state.by_executable */
	__u8 dialled_ip[16];  /* what the application connected to; zero unless a load balancer on the socket changed it */
	__u16 dialled_port;
	__u16 reserved[3];
};
_Static_assert(sizeof(struct pair) == 88, "pair is a hash key without padding");

/* Reasons of connects that failed. Twin: CONNECT_ERRORS in src/semconv/pair-fields.ts. */
enum connect_error {
	CONNECT_REFUSED,
	CONNECT_TIMED_OUT,
	CONNECT_HOST_UNREACHABLE,
	CONNECT_NETWORK_UNREACHABLE,
	CONNECT_RESET,
	CONNECT_NO_LOCAL_PORT,
	CONNECT_ABORTED,
	CONNECT_OTHER,
	CONNECT_ERRORS,
};

/* Twin: PAIR_HISTOGRAMS in src/semconv/pair-fields.ts. Those that a close adds to come first. */
enum histogram {
	HISTOGRAM_DURATION,
	HISTOGRAM_SMOOTHED_RTT,
	HISTOGRAM_MIN_RTT,
	CLOSE_HISTOGRAMS,
	HISTOGRAM_CONNECT = CLOSE_HISTOGRAMS,
	HISTOGRAMS,
};

/*
 * Cumulative while its generation lasts. Counters come before `changes` in every update, so a reader that sees the
 * same `changes` twice has missed nothing that was finished. The number of open connections is not kept: it is opened +
 * adopted - failed - closed.
 *
 * Laid out by cache line, since two CPUs that count in one slot hand its lines to and fro: what nearly every connection
 * changes is in lines 2 and 3, and a line of each histogram.
 */
struct slot {
	struct pair pair;
	__u32 generation;
	__u32 reserved;
	__u64 created_ns; /* CLOCK_BOOTTIME; 0: never used */
	__u64 retransmitted;
	__u64 lost;
	__u64 reserved2;
	/* line 2 */
	__u64 changes; /* raised by every update */
	__u64 opened;  /* established, or failed to */
	__u64 closed;
	__u64 sent;
	__u64 received;
	__u64 segments_sent;
	__u64 segments_received;
	__u64 adopted;
	/* line 3 */
	__u64 sums[HISTOGRAMS]; /* ns */
	__u64 failed;
	__u64 resets_sent;
	__u64 resets_received;
	__u64 reserved3;
	/* a line each */
	__u32 buckets[HISTOGRAMS][BUCKETS];
	__u32 errors[CONNECT_ERRORS];
	__u32 reserved4[8];
};
_Static_assert(sizeof(struct slot) == 576, "a slot is whole cache lines");
_Static_assert(__builtin_offsetof(struct slot, changes) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct slot, sums) == 192, "line 3");
_Static_assert(__builtin_offsetof(struct slot, buckets) == 256, "line 4");

/* Set by the loader. Slots [0, 2) are unattributed (one a role), [2, coarse_base) pairs, [coarse_base, slot_count) coarse. */
const volatile __u32 slot_count = 0;
const volatile __u32 coarse_base = 0;
/* Upper bounds in ns, 15 a histogram; the sixteenth entry is never read. */
const volatile __u64 histogram_bounds[HISTOGRAMS][BUCKETS] = {};

#define FIRST_PAIR_SLOT 2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768); /* max_pairs */
	__type(key, struct pair);
	__type(value, __u32);
} index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32768); /* max_pairs */
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 32768); /* max_pairs */
	__uint(value_size, sizeof(__u32));
} spare SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 32768); /* max_pairs */
	__uint(value_size, sizeof(__u32));
} spare_coarse SEC(".maps");

static __always_inline struct slot *get_slot(__u32 number)
{
	struct slot *slot = bpf_map_lookup_elem(&slots, &number);

	if (!slot)
		count_error(OP_SLOT_LOOKUP);
	return slot;
}

static __always_inline void add(__u64 *counter, __u64 value)
{
	if (value)
		__sync_fetch_and_add(counter, value);
}

/* Ends every update of a slot. */
static __always_inline void slot_changed(struct slot *slot)
{
	__sync_fetch_and_add(&slot->changes, 1);
}

/* Four comparisons find one of 16 buckets; bucket i holds values up to and with bound i. */
static __always_inline void observe(struct slot *slot, enum histogram which, __u64 ns)
{
	const volatile __u64 *bounds = histogram_bounds[which];
	__u32 bucket = 0;

	if (ns > bounds[7])
		bucket = 8;
	if (ns > bounds[bucket + 3])
		bucket += 4;
	if (ns > bounds[bucket + 1])
		bucket += 2;
	if (ns > bounds[bucket])
		bucket += 1;
	__sync_fetch_and_add(&slot->buckets[which][bucket & (BUCKETS - 1)], 1);
	__sync_fetch_and_add(&slot->sums[which], ns);
}

/* The slot of all connections of a role that have no pair of their own. */
static __always_inline __u32 unattributed_slot(__u8 role)
{
	return role == ROLE_DESTINATION;
}

/* A recycled slot, else a never-used one below `end`. False when there is none. */
static __always_inline bool take_slot(void *recycled, __u32 *next, __u32 end, __u32 *number)
{
	if (bpf_map_pop_elem(recycled, number) == 0)
		return true;
	/* look before the add: at the end the mark must not run on and wrap */
	if (*(volatile __u32 *)next >= end)
		return false;
	*number = __sync_fetch_and_add(next, 1);
	return *number < end;
}

/*
 * Puts the pair into a slot of its own and publishes it. When another CPU was first with the same pair, its slot is
 * taken and ours goes back.
 */
static __always_inline bool publish(const struct pair *pair, void *recycled, __u32 *number)
{
	struct slot *slot = get_slot(*number);
	__u32 *winner;

	if (!slot)
		return false;
	__builtin_memcpy(&slot->pair, pair, sizeof(*pair));
	slot->created_ns = bpf_ktime_get_boot_ns();
	if (bpf_map_update_elem(&index, pair, number, BPF_NOEXIST) == 0)
		return true;
	if (bpf_map_push_elem(recycled, number, BPF_ANY))
		count_error(OP_SPARE_PUSH);
	winner = bpf_map_lookup_elem(&index, pair);
	if (!winner) {
		count_error(OP_INDEX_UPDATE);
		return false;
	}
	*number = *winner;
	return true;
}

/* A pair seen for the first time. Changes `pair` into its coarse form when its own slots have run out. */
static __noinline __u32 new_slot(struct pair *pair)
{
	__u32 number = 0;
	__u32 *found;

	if (!pair)
		return 0;
	if (take_slot(&spare, &state.next_slot, coarse_base, &number) && publish(pair, &spare, &number))
		return number;

	__builtin_memset(pair->remote_ip, 0, sizeof(pair->remote_ip));
	pair->kind = KIND_COARSE;
	found = bpf_map_lookup_elem(&index, pair);
	if (found) {
		__sync_fetch_and_add(&state.overflow_coarse, 1);
		return *found;
	}
	if (take_slot(&spare_coarse, &state.next_coarse, slot_count, &number) && publish(pair, &spare_coarse, &number)) {
		__sync_fetch_and_add(&state.overflow_coarse, 1);
		return number;
	}
	__sync_fetch_and_add(&state.overflow_unattributed, 1);
	return unattributed_slot(pair->role);
}

static __always_inline __u32 slot_of(struct pair *pair)
{
	__u32 *found = bpf_map_lookup_elem(&index, pair);

	return found ? *found : new_slot(pair);
}

#endif
