#include "node/script.h"

#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/database.h"
#include "node/exec.h"
#include "node/library.h"
#include "node/options.h"
#include "node/script_host.h"

#include <stdio.h>

int scripts_create(struct scripts **out, uint32_t workers)
{
    struct scripts *s = mem_zalloc(sizeof(*s));

    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->host_count = workers;
    s->hosts = mem_zalloc(workers * sizeof(struct script_host *));
    if (s->hosts == NULL) {
        mem_free(s, sizeof(*s));
        return ERR_NOMEM;
    }
    list_init(&s->slow);
    (void)pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return OK;
}

void scripts_destroy(struct scripts *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->host_count; i++) {
        script_host_destroy(s->hosts[i]);
    }
    scripts_flush(s);
    mem_free(s->hosts, s->host_count * sizeof(struct script_host *));
    (void)pthread_mutex_destroy(&s->lock);
    mem_free(s, sizeof(*s));
}

static size_t bytes_of(const struct script *s)
{
    return sizeof(*s) + s->text.len;
}

static struct script **bucket_of(struct scripts *s, const char *sha)
{
    uint64_t head; /* of a hash: its digits differ by their low bits */

    memcpy(&head, sha, sizeof(head));
    return &s->buckets[(head * 0x9e3779b97f4a7c15u >> 40) % SCRIPT_BUCKETS];
}

static struct script *look(struct scripts *s, const char *sha)
{
    struct script *at = *bucket_of(s, sha);

    while (at != NULL && memcmp(at->sha, sha, SHA1_HEX) != 0) {
        at = at->next;
    }
    return at;
}

void script_put(struct script *script)
{
    if (script != NULL && atomic_fetch_sub_explicit(&script->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(script, bytes_of(script));
    }
}

struct script *script_find(struct scripts *s, const char sha[SHA1_HEX])
{
    (void)pthread_mutex_lock(&s->lock);
    struct script *found = look(s, sha);

    if (found != NULL) {
        atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

/* Under the lock. */
static void drop(struct scripts *s, struct script *script)
{
    struct script **at = bucket_of(s, script->sha);

    while (*at != script) {
        at = &(*at)->next;
    }
    *at = script->next;
    *(script->younger == NULL ? &s->youngest : &script->younger->older) = script->older;
    *(script->older == NULL ? &s->oldest : &script->older->younger) = script->younger;
    s->bytes -= bytes_of(script);
    s->count--;
    script_put(script);
}

void script_keep(struct scripts *s, struct script *script)
{
    (void)pthread_mutex_lock(&s->lock);
    if (look(s, script->sha) == NULL) {
        struct script **bucket = bucket_of(s, script->sha);

        atomic_fetch_add_explicit(&script->refs, 1, memory_order_relaxed);
        script->next = *bucket;
        *bucket = script;
        script->younger = NULL;
        script->older = s->youngest;
        *(s->youngest == NULL ? &s->oldest : &s->youngest->younger) = script;
        s->youngest = script;
        s->bytes += bytes_of(script);
        s->count++;
        while (s->bytes > SCRIPT_TEXTS_MAX && s->oldest != script) {
            drop(s, s->oldest);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void scripts_flush(struct scripts *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->oldest != NULL) {
        drop(s, s->oldest);
    }
    (void)pthread_mutex_unlock(&s->lock);
    atomic_fetch_add_explicit(&s->flushes, 1, memory_order_relaxed);
}

struct scripts_stats scripts_stats(struct scripts *s)
{
    int64_t vm = atomic_load_explicit(&s->vm_bytes, memory_order_relaxed);

    (void)pthread_mutex_lock(&s->lock);
    struct scripts_stats stats = {
        .vm_bytes = vm < 0 ? 0 : (uint64_t)vm, .text_bytes = s->bytes, .count = s->count};

    (void)pthread_mutex_unlock(&s->lock);
    return stats;
}

void scripts_rest(struct scripts *s, uint32_t worker, int64_t now_ms)
{
    struct script_host *h = s->hosts[worker];
    int64_t most_ms = (int64_t)conf_u64(&opt_script_idle_timeout);

    if (UNLIKELY(h != NULL) && h->runs == 0 && most_ms != 0 && now_ms - h->used_at_ms >= most_ms) {
        script_host_destroy(h);
        s->hosts[worker] = NULL;
    }
}

/* ---- The shebang line ---- */

static bool next_word(struct slice *line, char gap, struct slice *word)
{
    while (line->len > 0 && line->ptr[0] == gap) {
        *line = (struct slice){line->ptr + 1, line->len - 1};
    }
    const char *end = line->len == 0 ? NULL : memchr(line->ptr, gap, line->len);

    *word = (struct slice){line->ptr, end == NULL ? line->len : (size_t)(end - line->ptr)};
    *line = (struct slice){line->ptr + word->len, line->len - word->len};
    return word->len > 0;
}

static void read_flags(struct slice list, uint32_t *flags)
{
    struct slice word;

    /* Unknown ones are accepted: newer scripts name flags that ask nothing of us. */
    while (next_word(&list, ',', &word)) {
        *flags |= slice_is_word(word, "no-writes") ? SCRIPT_NO_WRITES : 0;
        *flags |= slice_is_word(word, "allow-oom") ? SCRIPT_ALLOW_OOM : 0;
    }
}

static bool read_shebang(struct slice line, uint32_t *flags, char *error, size_t max)
{
    struct slice word;

    if (!next_word(&line, ' ', &word) || !slice_is_word(word, "#!lua")) {
        (void)snprintf(error, max, "ERR Unexpected engine in script shebang: %.*s",
                       (int)(word.len < 64 ? word.len : 64), word.ptr);
        return false;
    }
    *flags |= SCRIPT_SHEBANG;
    while (next_word(&line, ' ', &word)) {
        if (word.len < 6 || memcmp(word.ptr, "flags=", 6) != 0) {
            (void)snprintf(error, max, "ERR Unknown lua shebang option: %.*s",
                           (int)(word.len < 64 ? word.len : 64), word.ptr);
            return false;
        }
        read_flags((struct slice){word.ptr + 6, word.len - 6}, flags);
    }
    return true;
}

struct script *script_parse(struct slice text, const char sha[SHA1_HEX], char *error, size_t max)
{
    uint32_t flags = 0;
    size_t body_at = 0;

    if (text.len >= 2 && memcmp(text.ptr, "#!", 2) == 0) {
        const char *end = memchr(text.ptr, '\n', text.len);

        if (end == NULL) {
            (void)snprintf(error, max, "ERR Invalid script shebang");
            return NULL;
        }
        body_at = (size_t)(end - text.ptr);
        if (!read_shebang((struct slice){text.ptr, body_at}, &flags, error, max)) {
            return NULL;
        }
    }
    struct script *s = mem_zalloc(sizeof(*s) + text.len);

    if (s == NULL) {
        (void)snprintf(error, max, "%s", wire_err_text(WIRE_NOMEM));
        return NULL;
    }
    memcpy(s->sha, sha, SHA1_HEX);
    if (text.len > 0) {
        memcpy(s->bytes, text.ptr, text.len);
    }
    s->text = (struct slice){s->bytes, text.len};
    s->body_at = body_at;
    s->flags = flags;
    atomic_init(&s->refs, 1);
    return s;
}

bool script_sha_of(struct slice arg, char sha[SHA1_HEX])
{
    if (arg.len != SHA1_HEX) {
        return false;
    }
    for (size_t i = 0; i < SHA1_HEX; i++) {
        sha[i] = slice_lower(arg.ptr[i]);
    }
    return true;
}

uint64_t script_mask(struct database *db, const struct request *r)
{
    char sha[SHA1_HEX];
    bool is_whole = false;

    if (slice_is_word(r->argv[0], "fcall") || slice_is_word(r->argv[0], "fcall_ro")) {
        return library_mask(db, r);
    }
    if (slice_is_word(r->argv[0], "evalsha") || slice_is_word(r->argv[0], "evalsha_ro")) {
        if (!script_sha_of(r->argv[1], sha)) {
            return 0;
        }
    } else {
        sha1_hex(r->argv[1], sha);
    }
    struct script *s = script_find(db->scripts, sha);

    if (s != NULL) {
        is_whole = atomic_load_explicit(&s->is_whole, memory_order_relaxed);
        script_put(s);
    }
    return is_whole ? UINT64_MAX >> (64 - PARTITIONS) : exec_mask(r);
}
