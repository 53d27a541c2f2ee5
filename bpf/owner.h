/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whose a socket is: the process that connects, or that listens where a connection was accepted. Softirq makes a
 * listener's children, so their process is found through its cgroup, namespace and port.
 */
#ifndef TCPLEDGER_OWNER_H
#define TCPLEDGER_OWNER_H

#include "kernel.h"
#include "connection.h"
#include "listener.h"
#include "pair.h"
#include "socket.h"
#include "state.h"

#define EEXIST 17

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

static __always_inline void set_executable(struct pair *pair, const char comm[COMM_SIZE])
{
	if (state.by_executable)
		__builtin_memcpy(pair->comm, comm, COMM_SIZE);
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

static __noinline int forget_listener(__u64 key)
{
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);
	struct owner_key owner_key;
	struct owner *owner;

	if (!listener)
		return 0;
	owner_key_of_listener(&owner_key, listener);
	/* a settle may be at it too: who deletes it gives its share of the owner back */
	if (bpf_map_delete_elem(&listeners, &key))
		return 0;
	owner = bpf_map_lookup_elem(&owners, &owner_key);
	if (owner && __sync_fetch_and_add(&owner->listeners, -1) == 1)
		bpf_map_delete_elem(&owners, &owner_key);
	return 0;
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

#endif
