/* load.h - what the load program's two files share: its streams, its settings, its bytes.
 *
 * load.c owns sockets, time and results; load_wire.c knows the protocols: it writes requests from
 * templates and judges replies. One thread, so nothing here is guarded.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench/hist.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KEY_DIGITS = 12, /* "key:" and these are the 16 bytes of a key */
    KEY_BYTES = 16,
    STREAMS_MAX = 8,
    ASKED_MAX = 1 << 14, /* of one connection; an open loop that is further behind waits */
};

enum op { OP_GET, OP_SET, OP_MIX, OP_SETBIT, OP_SETRANGE, OP_APPEND, OP_SCAN, OPS };
extern const char *const op_names[OPS];

/* A request as bytes, and where what changes stands in it; 0 is nowhere. */
struct template
{
    char *bytes; /* owned */
    uint32_t len;
    uint32_t key_at;
    uint32_t value_at;  /* the key's digits again, to be recognised in the reply */
    uint32_t number_at; /* a random number of the stream's span */
};

/* What a good reply looks like, when its length is known. */
struct want {
    char head[64];
    char tail[16];
    uint32_t head_len;
    uint32_t tail_len;
    uint32_t len; /* 0: of variable length */
};

struct asked {
    uint64_t due_ns;
    uint32_t key;
    uint32_t op;
};

struct conn {
    struct stream *s;
    int fd;
    bool polls_out;
    uint32_t first, last; /* of the ring `asked` */
    struct asked *asked;  /* owned; cap is a power of two */
    uint32_t asked_mask;
    char *rest; /* owned: the beginning of a reply */
    size_t rest_len, rest_cap;
    char *unsent; /* owned */
    size_t unsent_len, unsent_at, unsent_cap;
    char cursor[24];
};

struct stream {
    /* From the command line; see number_options. */
    char label[32];
    enum op op;
    enum { DIST_UNIFORM, DIST_ZIPF, DIST_SEQ } dist;
    uint64_t conns, pipeline, keys, first_key, value, get_percent, ttl_ms, rate, count, span;
    /* Made from it. */
    struct template template[OPS];
    struct want want[OPS];
    uint32_t number_digits;
    uint64_t number_low;
    struct conn *conn; /* owned */
    uint32_t *samples; /* owned */
    uint64_t interval_ns, due_ns, next_conn;
    uint64_t sent, drawn;
    /* Counts since the warm-up. */
    uint64_t ops, misses, errors, checked;
    struct hist latency; /* ns from due to answered */
    struct hist late;    /* ns from due to sent: how late this program was itself */
};

struct load_settings {
    struct in_addr host;
    uint16_t port;
    bool memcached;
    const char *password_file;
    double seconds, warmup;
    uint64_t server_pid;
    uint64_t seed;
};

extern struct load_settings opt;

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *must_alloc(size_t bytes);

/* Fixes the run's random numbers and makes the filler that values up to `bytes` consist of. */
void wire_init(uint64_t seed, size_t value_bytes_max);

/* Templates, expected replies and the samples of a skewed key space. */
void wire_stream_init(struct stream *s);

/* Writes the connection's next request and notes in its ring what was asked. `at` has room for
 * the stream's value and 256 bytes. Returns the length. */
uint32_t wire_request(struct conn *c, char *at, uint64_t due_ns);

/* Judges the reply at p and counts a miss or an error; 0 when its end has not come. */
size_t wire_reply(struct conn *c, const struct asked *a, const char *p, size_t avail);

#endif
