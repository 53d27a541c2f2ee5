/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What others do on connect: a load balancer that puts a backend in the place of a virtual address, and a policy that
 * forbids one. Addresses are given at compile time: FROM, TO (bytes, in braces), FROM_PORT, TO_PORT.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static const __u8 from[] __attribute__((aligned(4))) = FROM;
static const __u8 to[] __attribute__((aligned(4))) = TO;

static __always_inline __u32 word(const __u8 *bytes, int i)
{
	return ((const __u32 *)bytes)[i];
}

#if FAMILY == 4
#define SECTION "cgroup/connect4"
#define ADDRESS(context, i) ((context)->user_ip4)
#define LENGTH 1
#else
#define SECTION "cgroup/connect6"
#define ADDRESS(context, i) ((context)->user_ip6[i])
#define LENGTH 4
#endif

static __always_inline int is_from(struct bpf_sock_addr *context)
{
#pragma unroll
	for (int i = 0; i < LENGTH; i++)
		if (ADDRESS(context, i) != word(from, i))
			return 0;
	return context->user_port == bpf_htons(FROM_PORT);
}

#ifdef FORBID
SEC(SECTION)
int on_connect(struct bpf_sock_addr *context)
{
	return !is_from(context);
}
#else
SEC(SECTION)
int on_connect(struct bpf_sock_addr *context)
{
	if (!is_from(context))
		return 1;
#pragma unroll
	for (int i = 0; i < LENGTH; i++)
		ADDRESS(context, i) = word(to, i);
	context->user_port = bpf_htons(TO_PORT);
	return 1;
}
#endif
