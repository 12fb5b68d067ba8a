/* door_http.h - health and metrics over HTTP/1.1, on a thread of its own.
 *
 *    /healthz   200 while the process lives         /readyz   200 while it serves, else 503
 *    /metrics   Prometheus' text (admin port only)
 *
 * The thread takes no lock of a worker or a partition, so it answers when nothing else does. The
 * public port has no more than health for now.
 *
 * Limits   LIMIT_HTTP_*: connections, bytes of a request, time for it. GET and HEAD only; a body is
 *          not read but refused.
 */
#ifndef EDGE_DOOR_HTTP_H
#define EDGE_DOOR_HTTP_H

#include "base/annot.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct door_http;

enum door_http_kind { DOOR_HTTP_ADMIN, DOOR_HTTP_PUBLIC, DOOR_HTTP_KINDS };

/* Binds admin-port and http-port on the addresses. Logged on failure. Main. */
MUST_CHECK int door_http_open(struct door_http **out, struct slice addresses);
MUST_CHECK int door_http_start(struct door_http *d);
/* Ends the thread if there is one, and frees all. NULL is fine. */
void door_http_close(struct door_http *d);

void door_http_ready(struct door_http *d, bool is_ready) ON_ANY;
/* 0: its setting closes it. */
uint16_t door_http_port(const struct door_http *d, enum door_http_kind kind);

#endif
