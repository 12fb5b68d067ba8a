/* http_talk.c - llhttp, strict, and the three answers there are. */
#include "edge/http_talk.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/metric.h"

#include <string.h>

/* --- requests --------------------------------------------------------------------------------- */

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct http_talk *t = p->data;

    if (t->url_len + len >= sizeof(t->url)) {
        t->status = 414;
        return -1;
    }
    memcpy(t->url + t->url_len, at, len);
    t->url_len += (uint32_t)len;
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct http_talk *t = p->data;

    (void)at;
    if (len > 0) {
        t->status = 413;
        return -1;
    }
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct http_talk *t = p->data;

    t->is_whole = true;
    return HPE_PAUSED;
}

static void next_request(struct http_talk *t)
{
    llhttp_init(&t->parser, HTTP_REQUEST, &t->use->settings);
    t->parser.data = t;
    t->is_whole = false;
    t->status = 0;
    t->url_len = 0;
    t->bytes = 0;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Bad Request";
    }
}

/* False if the connection is to be closed. */
static bool answer(struct http_talk *t, int status, const char *type, struct slice body)
{
    struct buf *out = &t->use->answer;
    bool keep = t->status == 0 && llhttp_should_keep_alive(&t->parser) != 0;
    bool is_head = t->parser.method == HTTP_HEAD;

    buf_clear(out);
    if (buf_printf(out,
                   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "Cache-Control: no-store\r\n%sConnection: %s\r\n\r\n",
                   status, reason_of(status), type, body.len,
                   status == 405 ? "Allow: GET, HEAD\r\n" : "",
                   keep ? "keep-alive" : "close") != OK ||
        (!is_head && buf_append_slice(out, body) != OK)) {
        return false;
    }
    return t->use->send(t, buf_slice(out)) && keep;
}

static bool answer_text(struct http_talk *t, int status, const char *text)
{
    return answer(t, status, "text/plain; charset=utf-8", slice_of(text));
}

static bool answer_metrics(struct http_talk *t)
{
    struct buf *body = &t->use->body;

    buf_clear(body);
    if (metric_write(body) != OK) {
        return answer_text(t, 503, "no memory\n");
    }
    return answer(t, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(body));
}

static bool answer_request(struct http_talk *t)
{
    struct slice path = {t->url, t->url_len};
    const char *query = memchr(t->url, '?', t->url_len);

    if (query != NULL) {
        path.len = (size_t)(query - t->url);
    }
    bool is_health = slice_is(path, SLICE("/healthz"));
    bool is_ready = slice_is(path, SLICE("/readyz"));
    bool is_metrics = slice_is(path, SLICE("/metrics")) && t->has_metrics;

    if (!is_health && !is_ready && !is_metrics) {
        return answer_text(t, 404, "not found\n");
    }
    if (t->parser.method != HTTP_GET && t->parser.method != HTTP_HEAD) {
        return answer_text(t, 405, "GET or HEAD\n");
    }
    if (is_metrics) {
        return answer_metrics(t);
    }
    /* Relaxed: whoever sets it tells nothing else by it. */
    if (is_ready && !atomic_load_explicit(&t->use->is_ready, memory_order_relaxed)) {
        return answer_text(t, 503, "not ready\n");
    }
    return answer_text(t, 200, "ok\n");
}

/* --- reading ---------------------------------------------------------------------------------- */

/* What is wrong with the request, by what the parser says; 0 if nothing is. */
static int judge(const struct http_talk *t, llhttp_errno_t err)
{
    if (t->status != 0) {
        return t->status;
    }
    if (err != HPE_OK && err != HPE_PAUSED) {
        return 400;
    }
    return t->bytes > LIMIT_HTTP_HEAD_BYTES ? 431 : 0;
}

bool http_talk_take(struct http_talk *t, struct slice in)
{
    const char *p = in.ptr;
    size_t len = in.len;

    while (len > 0) {
        llhttp_errno_t err = llhttp_execute(&t->parser, p, len);
        size_t used = len;
        int status;

        if (err != HPE_OK) {
            const char *at = llhttp_get_error_pos(&t->parser);

            used = at == NULL ? len : (size_t)(at - p);
        }
        t->bytes += used;
        status = judge(t, err);
        if (status != 0) {
            t->status = (uint16_t)status; /* nothing behind it can be trusted */
            (void)answer_text(t, status, "bad request\n");
            return false;
        }
        p += used;
        len -= used;
        if (t->is_whole) {
            if (!answer_request(t)) {
                return false;
            }
            next_request(t);
        } else if (used == 0) {
            return false;
        }
    }
    return true;
}

void http_talk_late(struct http_talk *t)
{
    if (t->bytes > 0) {
        t->status = 408;
        (void)answer_text(t, 408, "too slow\n");
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void http_talk_use_init(struct http_talk_use *u,
                        bool (*send)(struct http_talk *t, struct slice answer))
{
    *u = (struct http_talk_use){.send = send};
    llhttp_settings_init(&u->settings);
    u->settings.on_url = on_url;
    u->settings.on_body = on_body;
    u->settings.on_message_complete = on_complete;
    buf_init(&u->body);
    buf_init(&u->answer);
}

void http_talk_use_fini(struct http_talk_use *u)
{
    buf_fini(&u->body);
    buf_fini(&u->answer);
}

void http_talk_begin(struct http_talk *t, struct http_talk_use *u, bool has_metrics)
{
    t->use = u;
    t->has_metrics = has_metrics;
    next_request(t);
}
