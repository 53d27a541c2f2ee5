/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Why a connect failed, why a connection ended: from the state before the transition and the socket's error. */
#ifndef TCPLEDGER_REASON_H
#define TCPLEDGER_REASON_H

#include "kernel.h"
#include "pair.h"
#include "record.h"

/* errno values of sk_err, include/uapi/asm-generic */
#define EPIPE 32
#define ENETUNREACH 101
#define ECONNABORTED 103
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTUNREACH 113
#define EADDRNOTAVAIL 99

static __always_inline enum connect_error connect_error_of(int sk_err, const struct tcp_sock *tp)
{
	switch (sk_err) {
	case ECONNREFUSED:
		return CONNECT_REFUSED;
	case ETIMEDOUT:
		return CONNECT_TIMED_OUT;
	case EHOSTUNREACH:
		return CONNECT_HOST_UNREACHABLE;
	case ENETUNREACH:
		return CONNECT_NETWORK_UNREACHABLE;
	case ECONNRESET:
		return CONNECT_RESET;
	case EADDRNOTAVAIL:
		return CONNECT_NO_LOCAL_PORT;
	case ECONNABORTED:
		return CONNECT_ABORTED;
	case 0:
		/* no SYN ever left: there was no port, or the four-tuple was taken */
		return tp->segs_out ? CONNECT_ABORTED : CONNECT_NO_LOCAL_PORT;
	default:
		return CONNECT_OTHER;
	}
}

/*
 * Why a connect failed. An ICMP answer that found the socket busy is a soft error: the socket goes on connecting, but
 * over IPv4 poll tells it at once through the error queue, the application reads it (SO_ERROR, which clears it) and
 * closes. The message still lies in the queue then.
 */
static __always_inline int connect_errno_of(const struct sock *sk)
{
	const struct sk_buff *message;
	const struct sock_exterr_skb *error;

	if (sk->sk_err)
		return sk->sk_err;
	if (sk->sk_err_soft)
		return sk->sk_err_soft;
	message = sk->sk_error_queue.next;
	/* an empty queue points to itself */
	if (!message || (const void *)message == (const void *)&sk->sk_error_queue)
		return 0;
	error = (const void *)message->cb;
	return BPF_CORE_READ(error, ee.ee_errno);
}

static __always_inline enum close_reason close_reason_of(int old_state, int sk_err)
{
	switch (sk_err) {
	case ECONNRESET:
	case EPIPE:
		return CLOSE_PEER_RESET;
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		/* retransmissions or keepalives gave up; an ICMP error seen meanwhile is the reason they give */
		return CLOSE_TIMEOUT;
	case 0:
		/* close with unread data or linger 0, in the states in which no FIN was sent; an orphan that got data */
		return old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT || old_state == TCP_FIN_WAIT1 ||
				       old_state == TCP_SYN_RECV ?
			       CLOSE_LOCAL_RESET :
			       CLOSE_NORMAL;
	default:
		return CLOSE_LOCAL_RESET;
	}
}

#endif
