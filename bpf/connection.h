/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections: what is remembered of a socket from its SYN_SENT or ESTABLISHED to its CLOSE, and how its counters
 * are claimed without counting a byte twice. Where it is found: conns.h.
 */
#ifndef TCPLEDGER_CONNECTION_H
#define TCPLEDGER_CONNECTION_H

#include "kernel.h"
#include "pair.h"
#include "state.h"

/*
 * A claim word: a tag of the connection's id above 48 bits of the value already counted. With another connection's tag
 * nothing has been counted: a place is let again at once, and the words are left as they are.
 */
#define CLAIM_BITS 48
#define CLAIM_MASK ((1ULL << CLAIM_BITS) - 1)

enum claimed {
	CLAIM_SENT,
	CLAIM_RECEIVED,
	CLAIM_SEGMENTS_SENT, /* from here on: u32 in the kernel */
	CLAIM_SEGMENTS_RECEIVED,
	CLAIM_RETRANSMITTED,
	CLAIM_LOST,
	CLAIMS,
};

/* How far a connect has come. */
enum dial {
	DIAL_UNSEEN,  /* the connect hook is not attached, or was passed by */
	DIAL_BEGUN,   /* the connect hook has seen it, and no transition has followed yet */
	DIAL_FOLLOWED, /* SYN_SENT came; the address that was dialled is kept until the connection is counted */
};

struct connection {
	__u64 id;        /* 0 as soon as the close begins, and in a free place */
	__u64 opened_ns; /* CLOCK_BOOTTIME: SYN sent (source), established (destination), adopted */
	__u64 established_ns; /* 0 before, and in a free place */
	union {
		__u64 claims[CLAIMS];
		struct { /* before the establishment: where the connect came from */
			__u64 cgroup_id;
			__u32 netns;
		};
	};
	union {
		struct { /* of an adopted connection: what had been exchanged before */
			__u64 sent_before;
			__u64 received_before;
		};
		__u8 dialled_ip[16]; /* before the establishment, unless dial is DIAL_UNSEEN */
	};
	__u32 slot;
	__u32 pid;
	__u16 local_port;
	__u16 remote_port; /* before the establishment: the port that was dialled */
	__u8 role;
	__u8 adopted : 1;
	__u8 syn_acked : 1; /* bytes_acked counts the SYN: it was sent by this end */
	__u8 dial;
	__u8 claimed; /* a settle has claimed something, or is about to */
	__u32 sent_base; /* bytes_acked without the SYN, less snd_una, modulo 2^32: the same as long as the connection lasts */
	__u32 place; /* its own index in conns */
	char comm[COMM_SIZE];
};
_Static_assert(sizeof(struct connection) == 128, "a connection is two whole cache lines");

/* Those that hang on the state hook: neither runs inside itself, but either may interrupt the other. */
enum state_program {
	STATE_FIRST,
	STATE_AGAIN,
	STATE_PROGRAMS,
};

/*
 * In the place of a connection that conns has no room for or does not know; not on the stack, of which a program and all
 * that it calls have 512 bytes together.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STATE_PROGRAMS);
	__type(key, __u32);
	__type(value, struct connection);
} stand_ins SEC(".maps");

/* Zeroed; until the program ends. Never NULL; the verifier wants to see the check all the same. */
static __always_inline struct connection *stand_in_of(enum state_program program)
{
	__u32 key = program;
	struct connection *conn = bpf_map_lookup_elem(&stand_ins, &key);

	if (conn)
		__builtin_memset(conn, 0, sizeof(*conn));
	return conn;
}

/*
 * Connection ids: eight times the nanoseconds from the boot to the loading of the program, plus a sequence. Unique within a
 * boot: no agent makes ids as fast as the next one's first id moves on, however soon it is started again. Always odd, so
 * that none has the tag of an unused claim word.
 */
const volatile __u64 id_base = 0;
const volatile __u32 cpus = 1;

/* Per-CPU, since a shared counter bounces between CPUs. */
static __always_inline __u64 new_id(void)
{
	struct cpu *cpu = get_cpu();

	if (!cpu)
		return 1;
	/* preemption on the same CPU (a tracepoint in process context, then one in softirq) must not see one value twice */
	return (id_base + __sync_fetch_and_add(&cpu->sequence, 1) * cpus + bpf_get_smp_processor_id()) << 1 | 1;
}

/* What a socket's counters say: payload bytes and segments, from the start of the connection. */
struct reading {
	__u64 value[CLAIMS];
};

static __always_inline __u64 claim_word(__u64 id, __u64 value)
{
	return id << CLAIM_BITS | (value & CLAIM_MASK);
}

/* How far `now` is ahead of what this connection's claims are by the word; 0 when it is behind. u32 counters wrap in the kernel and are followed modulo 2^32. */
static __always_inline __u64 ahead(__u64 word, __u64 id, __u64 now, enum claimed which)
{
	__u64 counted = word >> CLAIM_BITS == (id & 0xffff) ? word : 0;
	__u64 difference;

	if (which >= CLAIM_SEGMENTS_SENT) {
		difference = (__u32)(now - counted);
		return difference >> 31 ? 0 : difference;
	}
	difference = (now - counted) & CLAIM_MASK;
	return difference >> (CLAIM_BITS - 1) ? 0 : difference;
}

/*
 * Takes what a live counter has gained since it was last claimed: a settle races with the close. Returns what is
 * ours to add. Four tries are enough: each connection has at most one close against the one settle.
 */
static __always_inline __u64 claim(__u64 *word, __u64 id, __u64 now, enum claimed which)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u64 seen = *(volatile __u64 *)word;
		__u64 gained = ahead(seen, id, now, which);

		if (gained == 0)
			return 0;
		if (__sync_val_compare_and_swap(word, seen, claim_word(id, now)) == seen)
			return gained;
	}
	return 0;
}

/*
 * The close of a connection that settles have claimed of: leaves what they have not. The final values stay in the words,
 * and no later claim finds anything ahead of them.
 */
static __noinline int claim_rest(struct connection *conn, __u64 id, struct reading *reading)
{
#pragma unroll
	for (int i = 0; i < CLAIMS; i++) {
		__u64 now = reading->value[i];

		reading->value[i] = ahead(__sync_lock_test_and_set(&conn->claims[i], claim_word(id, now)), id, now, i);
	}
	return 0;
}

/* Adds what was claimed of each counter to the slot's. */
static __always_inline void count_claimed(struct slot *slot, const struct reading *gained)
{
	add(&slot->sent, gained->value[CLAIM_SENT]);
	add(&slot->received, gained->value[CLAIM_RECEIVED]);
	add(&slot->segments_sent, gained->value[CLAIM_SEGMENTS_SENT]);
	add(&slot->segments_received, gained->value[CLAIM_SEGMENTS_RECEIVED]);
	add(&slot->retransmitted, gained->value[CLAIM_RETRANSMITTED]);
	add(&slot->lost, gained->value[CLAIM_LOST]);
}

#endif
