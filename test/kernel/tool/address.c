#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "peer.h"

/* Numeric hosts only, an IPv6 scope as in fe80::1%eth0. */
socklen_t address_parse(const char *host, const char *port, struct sockaddr_storage *into)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int error = getaddrinfo(host, port, &hints, &found);
	socklen_t length;

	if (error)
		die("address %s port %s: %s", host, port, gai_strerror(error));
	length = found->ai_addrlen;
	memset(into, 0, sizeof(*into));
	memcpy(into, found->ai_addr, length);
	freeaddrinfo(found);
	return length;
}

/* As access logs write it: IPv6 in brackets without scope, v4-mapped as IPv4. */
const char *address_text(const struct sockaddr_storage *address, char *into, size_t size)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	char host[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(into, size, "%s:%u", host, ntohs(v4->sin_port));
	} else if (address->ss_family != AF_INET6) {
		snprintf(into, size, "none");
	} else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host));
		snprintf(into, size, "%s:%u", host, ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(into, size, "[%s]:%u", host, ntohs(v6->sin6_port));
	}
	return into;
}
