/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Taking over what is older than the agent. */
#ifndef TCPLEDGER_ADOPT_H
#define TCPLEDGER_ADOPT_H

#include "kernel.h"
#include "connection.h"
#include "conns.h"
#include "end.h"
#include "open.h"

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

/* A place for a connection that is older than the agent. NULL, counted: none is free. */
static __always_inline struct connection *adopted_place(const struct position *position, __u8 role,
							const struct task_struct *task)
{
	struct connection *conn = take_place(position);

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
 * Lets it be found, whole as it must be. False when the socket's own transition has placed it meanwhile, which holds more
 * than adoption knows. Both look for the other after having placed theirs, so at least one of the two sees it.
 */
static __always_inline bool keep_adopted(const struct position *position, struct connection *conn, __u64 id)
{
	__sync_lock_test_and_set(&conn->id, id);
	if (!other_connection_at(position, conn->place) || !end_connection(conn))
		return true;
	leave_place(position, conn);
	return false;
}

#endif
