/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The floor: a program on the same hook that does nothing. Its time is what the hook and the statistics cost. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/inet_sock_set_state")
int empty(void *context)
{
	return 0;
}
