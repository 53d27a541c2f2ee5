/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The access-log record and its ring. Twin in TypeScript: src/receiver/record.ts, offsets from this object's BTF.
 */
#ifndef TCPLEDGER_RECORD_H
#define TCPLEDGER_RECORD_H

#include "kernel.h"
#include "pair.h"

/* Twin: EVENTS in src/receiver/record.ts. */
enum event {
	EVENT_OPEN,
	EVENT_CLOSE,
	EVENT_FAIL,
};

/* Twin: CLOSE_REASONS in src/receiver/record.ts. */
enum close_reason {
	CLOSE_NORMAL,
	CLOSE_PEER_RESET,
	CLOSE_LOCAL_RESET,
	CLOSE_TIMEOUT,
};

/* Whose the connection is stands in its slot; both addresses are here, since a coarse slot lacks the remote one. */
struct record {
	__u64 id;
	__u64 time_ns; /* CLOCK_BOOTTIME, all of them */
	__u64 opened_ns;
	__u64 established_ns; /* 0: never */
	__u64 sent;
	__u64 received;
	__u8 local_ip[16];
	__u8 remote_ip[16];
	__u32 slot;
	__u32 generation;
	__u16 local_port;
	__u16 remote_port;
	__u8 event;
	__u8 role;
	__u8 close_reason;  /* of EVENT_CLOSE */
	__u8 connect_error; /* of EVENT_FAIL */
	__u8 sk_err; /* those that a socket reports are below 256 */
	__u8 adopted;
	__u16 dialled_port; /* 0: remote_port is what was dialled */
	__u32 srtt_us;
	__u32 min_rtt_us; /* 0: never measured */
	__u32 retransmitted;
	__u32 lost;
	__u32 segments_sent;
	__u32 segments_received;
	__u32 pid; /* 0: not known */
	char comm[COMM_SIZE];
};
_Static_assert(sizeof(struct record) == 144, "record has no hidden padding");

/* Nothing else would put the type into the object's BTF, where the reader looks its offsets up: a ring has no value type. */
const struct record *const record_type __attribute__((used)) = NULL;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024); /* access_log_buffer */
} records SEC(".maps");

static __always_inline bool are_wanted(__u32 events)
{
	return state.record_events & events;
}

/* NULL, counted, when the ring is full. Every field must be written: reserve returns old bytes. */
static __always_inline struct record *reserve_record(void)
{
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record)
		__sync_fetch_and_add(&state.records_dropped, 1);
	return record;
}

/* The reader drains on a timer: waking it for each record would cost four times the record. */
static __always_inline void submit_record(struct record *record)
{
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

#endif
