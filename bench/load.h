/* load.h - what the load program's files share: its streams, its settings, its bytes.
 *
 * load.c owns sockets, time and results; load_wire.c knows the protocols: it writes requests from
 * templates and judges replies; load_cmd.c makes both of texts. One thread, so nothing here is
 * guarded.
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
    CMDS_MAX = 4,        /* of one stream, used in turn */
    SPOTS_MAX = 128,     /* where a command's text has digits */
    STEPS_MAX = 16,      /* lines of an expected reply that are told apart */
};

enum op {
    OP_GET,
    OP_SET,
    OP_MIX,
    OP_SETBIT,
    OP_SETRANGE,
    OP_APPEND,
    OP_SCAN,
    OP_CMD,
    OP_SUBSCRIBE,
    OPS
};
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

/* A command that was given as text; see load_cmd.c. */
struct cmd_text {
    char *bytes; /* owned: the request, with zeros where digits go */
    uint32_t len, spot_count, step_count, cycle_at;
    struct spot {
        uint32_t at;
        bool is_number; /* of the stream's span; otherwise the key's */
    } spot[SPOTS_MAX];
    struct step {
        char line[24]; /* what the line has to be, its end included; or its first byte alone */
        uint32_t len;  /* of line */
        uint32_t bulk; /* bytes that follow the line, their end included */
        enum { CHECK_NOTHING, CHECK_FILLER, CHECK_VALUE } check;
    } step[STEPS_MAX];
};

struct asked {
    uint64_t due_ns;
    uint32_t key;
    uint16_t op;
    uint16_t cmd; /* of OP_CMD: which of the stream's */
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
    struct cmd_text cmd[CMDS_MAX];
    const char *command[CMDS_MAX], *reply[CMDS_MAX]; /* their texts */
    uint32_t commands, replies;
    uint32_t number_digits;
    uint64_t number_low;
    struct conn *conn; /* owned */
    uint32_t *samples; /* owned */
    uint64_t interval_ns, due_ns, next_conn;
    uint64_t sent, drawn;
    uint64_t delivered; /* of OP_SUBSCRIBE: messages since the start */
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

/* The length of the RESP reply at p; 0 when its end has not come, SIZE_MAX when it is none. */
size_t wire_resp_len(const char *p, size_t avail);

/* What load_cmd.c needs of load_wire.c: keys, random numbers, and the bytes that values are of. */
uint32_t wire_next_key(struct stream *s);
void wire_put_key(char *at, uint32_t key);
void wire_put_number(const struct stream *s, char *at);
void wire_put_filler(char *at, size_t bytes);
bool wire_is_filler(const char *value, size_t from, size_t bytes);
void wire_wrong(struct stream *s, const struct asked *a, const char *p, size_t len);

/* More than any request of the stream takes. */
size_t cmd_bytes_max(const struct stream *s);

/* Makes the stream's requests and what it expects of their texts. */
void cmd_stream_init(struct stream *s);

/* As wire_request() and wire_reply(), for OP_CMD and OP_SUBSCRIBE. */
uint32_t cmd_request(struct conn *c, struct asked *a, char *at);
size_t cmd_reply(struct conn *c, const struct asked *a, const char *p, size_t avail);

#endif
