#include "node/notify.h"

#include "base/conf.h"
#include "base/err.h"
#include "node/keyspace.h"
#include "node/node.h"
#include "node/options.h"
#include "node/section.h"
#include "replication/changelog.h"

#define KEYSPACE "__keyspace@0__:"
#define KEYEVENT "__keyevent@0__:"

enum { NOTICES_KEPT = 64 * 1024, KEYSPACE_LEN = sizeof(KEYSPACE) - 1 };

_Atomic uint32_t notify_wanted;

/* ---- The setting ---- */

/* In the order in which CONFIG GET shows them. */
static const struct {
    char letter;
    uint32_t class;
} letters[] = {
    {'g', NOTIFY_GENERIC},  {'$', NOTIFY_STRING},   {'l', NOTIFY_LIST},    {'s', NOTIFY_SET},
    {'h', NOTIFY_HASH},     {'z', NOTIFY_ZSET},     {'x', NOTIFY_EXPIRED}, {'e', NOTIFY_EVICTED},
    {'t', NOTIFY_STREAM},   {'d', NOTIFY_MODULE},   {'n', NOTIFY_NEW},     {'K', NOTIFY_KEYSPACE},
    {'E', NOTIFY_KEYEVENT}, {'m', NOTIFY_KEY_MISS},
};

static const uint32_t in_all = NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET |
                               NOTIFY_HASH | NOTIFY_ZSET | NOTIFY_EXPIRED | NOTIFY_EVICTED |
                               NOTIFY_STREAM | NOTIFY_MODULE;

static bool parse_classes(struct slice text, uint32_t *classes)
{
    *classes = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint32_t one = text.ptr[i] == 'A' ? in_all : 0;

        for (size_t n = 0; one == 0 && n < sizeof(letters) / sizeof(letters[0]); n++) {
            one = letters[n].letter == text.ptr[i] ? letters[n].class : 0;
        }
        if (one == 0) {
            return false;
        }
        *classes |= one;
    }
    return true;
}

static bool check(struct slice text, struct buf *why)
{
    uint32_t classes;

    if (parse_classes(text, &classes)) {
        return true;
    }
    (void)!buf_append_str(why, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    return false;
}

static void apply(const struct conf_opt *opt)
{
    struct buf text = {0};
    uint32_t classes = 0;

    if (conf_reveal(opt, &text) == OK && parse_classes(buf_slice(&text), &classes) &&
        (classes & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT)) == 0) {
        classes = 0;
    }
    buf_fini(&text);
    atomic_store_explicit(&notify_wanted, classes, memory_order_relaxed);
}

void notify_start(void)
{
    conf_hook(&opt_notify_keyspace_events, check, apply);
    apply(&opt_notify_keyspace_events);
}

/* ---- Sending ---- */

/* `channel` is the keyspace's. No event's name comes near the room for its channel. */
static void send_event(const struct database *db, enum notify_class class, struct slice event,
                       struct slice channel, uint64_t position)
{
    uint32_t wanted = atomic_load_explicit(&notify_wanted, memory_order_relaxed);
    struct slice key = {channel.ptr + KEYSPACE_LEN, channel.len - KEYSPACE_LEN};
    char some[128];
    struct buf keyevent = {some, 0, sizeof(some)};

    if ((wanted & class) == 0) {
        return;
    }
    if ((wanted & NOTIFY_KEYSPACE) != 0) {
        pubsub_announce(db, PUBSUB_CHANNEL, channel, event, position);
    }
    if ((wanted & NOTIFY_KEYEVENT) != 0) {
        buf_append_nofail(&keyevent, KEYEVENT, sizeof(KEYEVENT) - 1);
        buf_append_nofail(&keyevent, event.ptr, event.len);
        pubsub_announce(db, PUBSUB_CHANNEL, buf_slice(&keyevent), key, position);
    }
}

/* Outside a section. Who may still be told that it failed is the reader of the key: its connection ends. */
static void say_now(struct cmd *c, enum notify_class class, struct slice event, struct slice key)
{
    char some[256];
    struct buf channel = {some, 0, sizeof(some)};
    bool is_long = KEYSPACE_LEN + key.len > sizeof(some);

    if (is_long) {
        buf_init(&channel);
        if (buf_reserve(&channel, KEYSPACE_LEN + key.len) != OK) {
            c->reply->failed = true;
            return;
        }
    }
    buf_append_nofail(&channel, KEYSPACE, KEYSPACE_LEN);
    buf_append_nofail(&channel, key.ptr, key.len);
    send_event(c->db, class, event, buf_slice(&channel), changelog_seen_seq(node_self()->log));
    if (is_long) {
        buf_fini(&channel);
    }
}

void notify_say(struct cmd *c, enum notify_class class, const char *event, struct slice key)
{
    if (c->section != NULL) {
        notify_queue(c->section, class, event, key);
    } else {
        say_now(c, class, slice_of(event), key);
    }
}

void notify_queue(struct section *s, enum notify_class class, const char *event, struct slice key)
{
    if (!notices_event(section_notices(s), class, event, key)) {
        section_fail(s, SECTION_NOMEM);
    }
}

void notify_taken(struct cmd *c, enum notify_class class, const char *event, struct key key)
{
    notify(c, class, event, key.name);
    if (notify_wants(NOTIFY_GENERIC) && keyspace_peek(c, key) == NULL) {
        notify(c, NOTIFY_GENERIC, "del", key.name);
    }
}

/* ---- A section's ---- */

/* What stands in front of a notice's bytes. */
struct notice {
    uint32_t class; /* 0: a message */
    enum pubsub_kind kind;
    const char *event;
    size_t name_len, text_len;
};

static bool add(struct notices *n, const struct notice *head, struct slice prefix,
                struct slice name, struct slice text)
{
    size_t len = prefix.len + name.len + text.len;

    if (buf_reserve(&n->bytes, sizeof(*head) + len) != OK) {
        return false;
    }
    buf_append_nofail(&n->bytes, head, sizeof(*head));
    buf_append_nofail(&n->bytes, prefix.ptr, prefix.len);
    buf_append_nofail(&n->bytes, name.ptr, name.len);
    buf_append_nofail(&n->bytes, text.ptr, text.len);
    return true;
}

/* The keyspace's channel is made here, since sending it cannot fail. */
bool notices_event(struct notices *n, enum notify_class class, const char *event, struct slice key)
{
    struct notice head = {.class = class, .event = event, .name_len = KEYSPACE_LEN + key.len};

    return add(n, &head, SLICE(KEYSPACE), key, (struct slice){NULL, 0});
}

bool notices_message(struct notices *n, enum pubsub_kind kind, struct slice channel,
                     struct slice text)
{
    struct notice head = {.kind = kind, .name_len = channel.len, .text_len = text.len};

    return add(n, &head, (struct slice){NULL, 0}, channel, text);
}

void notices_send(struct notices *n, const struct database *db, uint64_t position)
{
    size_t at = 0;

    while (at < n->bytes.len) {
        struct notice head;

        memcpy(&head, n->bytes.ptr + at, sizeof(head));
        at += sizeof(head);
        struct slice name = {n->bytes.ptr + at, head.name_len};
        struct slice text = {name.ptr + name.len, head.text_len};

        at += name.len + text.len;
        if (head.class != 0) {
            send_event(db, head.class, slice_of(head.event), name, position);
        } else {
            pubsub_announce(db, head.kind, name, text, position);
        }
    }
    notices_clear(n);
}

void notices_clear(struct notices *n)
{
    buf_clear(&n->bytes);
    buf_shrink(&n->bytes, NOTICES_KEPT);
}

void notices_fini(struct notices *n)
{
    buf_fini(&n->bytes);
}
