/* http_talk.h - what is said on one HTTP connection: bytes in, answers out, no socket.
 *
 * A request is taken in whatever pieces it comes; each that is whole is answered at once, through
 * `send`. The answers do not depend on where the bytes were cut (tests/fuzz/fuzz_http_talk.c).
 *
 * Limits   LIMIT_HTTP_URL_BYTES, LIMIT_HTTP_HEAD_BYTES. GET and HEAD only; a body is refused.
 */
#ifndef EDGE_HTTP_TALK_H
#define EDGE_HTTP_TALK_H

#include "base/annot.h"
#include "base/buf.h"
#include "base/limits.h"

#include <llhttp.h>
#include <stdatomic.h>
#include <stdbool.h>

struct http_talk;

/* What the talks of a thread share. */
struct http_talk_use {
    /* False if the peer did not take it. */
    bool (*send)(struct http_talk *t, struct slice answer);
    _Atomic bool is_ready; /* what /readyz says */
    /* Private. */
    llhttp_settings_t settings;
    struct buf body, answer;
};

/* Private but for reading: `bytes` says whether a request has begun. */
struct http_talk {
    struct http_talk_use *use;
    bool has_metrics; /* else it tells health only */
    llhttp_t parser;
    bool is_whole;
    uint16_t status; /* of what is wrong with the request; 0 */
    uint32_t url_len;
    char url[LIMIT_HTTP_URL_BYTES];
    size_t bytes; /* of the request so far */
};

void http_talk_use_init(struct http_talk_use *u,
                        bool (*send)(struct http_talk *t, struct slice answer));
void http_talk_use_fini(struct http_talk_use *u);

void http_talk_begin(struct http_talk *t, struct http_talk_use *u, bool has_metrics);
/* False if the connection is to be closed; it takes no more then. */
MUST_CHECK bool http_talk_take(struct http_talk *t, struct slice in);
/* Tells a peer whose request did not come whole in time; then the connection is to be closed. */
void http_talk_late(struct http_talk *t);

#endif
