/*
 * Preloaded into a JVM: a socket that is bound to every address is bound to 127.0.0.1 instead. The
 * RocketMQ proxy has no setting for the address of its gRPC port.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

typedef int (*bind_function)(int, const struct sockaddr *, socklen_t);

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	bind_function next = (bind_function)dlsym(RTLD_NEXT, "bind");

	if (address != NULL && address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in v4 = *(const struct sockaddr_in *)address;
		if (v4.sin_addr.s_addr == htonl(INADDR_ANY))
			v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return next(fd, (struct sockaddr *)&v4, sizeof v4);
	}
	if (address != NULL && address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 v6 = *(const struct sockaddr_in6 *)address;
		if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) { /* to ::ffff:127.0.0.1, so that IPv4 clients reach it */
			v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
			v6.sin6_addr.s6_addr[12] = 127;
			v6.sin6_addr.s6_addr[15] = 1;
		}
		return next(fd, (struct sockaddr *)&v6, sizeof v6);
	}
	return next(fd, address, length);
}
