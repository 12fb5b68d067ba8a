#include "node/slices.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "node/section.h"

#include <assert.h>

/* The clock is read every so many steps. */
enum {
    STEPS = 64,
    SLICE_NS = 500000,
    OWN_STEPS = 5000 /* a slice of its own */,
    SETTLED_AT_ONCE = 16 << 10 /* bytes */
};

struct slices {
    struct fiber *fiber;
    struct cmd cmd; /* the one that its handler has */
    bool is_given_up;
    bool is_ending; /* the section is */
    size_t steps;
    size_t from;  /* where its reply begins */
    uint32_t due; /* what settle() has to do for a transaction's earlier replies */
    int64_t begun_ns;
};

_Thread_local struct slices *slices_running;
static size_t test_steps;

void slices_test_steps(size_t steps)
{
    test_steps = steps;
}

/* step() names it again. */
static void leave(void)
{
    slices_running = NULL;
    fiber_pause();
}

bool slices_look(struct slices *s, size_t work)
{
    bool by_clock = LIKELY(test_steps == 0);

    s->steps += work;
    if (s->is_given_up || s->steps < (by_clock ? STEPS : test_steps)) {
        return !s->is_given_up;
    }
    s->steps = 0;
    if (!by_clock || clock_mono_ns() - s->begun_ns >= SLICE_NS) {
        leave();
    }
    return !s->is_given_up;
}

/* What the executor does next; a million members that go are many slices there, too. */
static bool may_commit(const struct slices *s)
{
    const struct cmd *c = &s->cmd;

    return (c->def->flags & (CMD_WRITE | CMD_CACHES)) != 0 && !c->in_txn && !c->again && !c->undo &&
           !s->is_given_up && !c->reply->failed && !section_has_failed(c->section);
}

static bool tick_for_reply(size_t work)
{
    return slices_tick(work);
}

/* A reply of a million values that the client's protocol says otherwise is rewritten here, in slices; not in a
 * transaction whose earlier replies need it too: settle() will go over all of them. */
static void settle_reply(const struct slices *s)
{
    struct reply *r = s->cmd.reply;

    if (r->settle_ahead != NULL && s->due == 0 && !s->is_given_up && !r->failed && !s->cmd.again &&
        !s->cmd.retry && s->cmd.blocked == NULL && r->out.len - s->from > SETTLED_AT_ONCE) {
        r->settle_ahead(r, s->from, tick_for_reply);
    }
}

static void on_fiber(void *arg)
{
    struct slices *s = arg;
    struct cmd *c = &s->cmd;

    cmd_run(c);
    while (c->again && c->blocked == NULL && !s->is_given_up) { /* it has slices of its own, too */
        assert(!c->drops_locks);
        (void)slices_look(s, OWN_STEPS);
        c->again = false;
        cmd_run(c);
    }
    if (c->progress != NULL && c->progress_free != NULL) {
        c->progress_free(c->progress); /* given up */
    }
    c->progress = NULL;
    c->go_on = NULL;
    if (may_commit(s)) {
        s->is_ending = true;
        section_commit_ahead(c->section);
    }
    settle_reply(s);
}

/* Until it pauses or ends; true when it has. */
static bool step(struct slices *s)
{
    s->begun_ns = clock_mono_ns();
    slices_running = s;
    bool is_done = fiber_resume(s->fiber);

    slices_running = NULL;
    return is_done;
}

static void destroy(struct slices *s)
{
    fiber_destroy(s->fiber);
    mem_free(s, sizeof(*s));
}

static void give_up(void *progress)
{
    struct slices *s = progress;
    struct reply *reply = s->cmd.reply;
    bool has_failed = reply->failed;

    reply->failed = true; /* what comes now is for nobody */
    s->is_given_up = true;
    if (!s->is_ending) {
        section_fail(s->cmd.section, SECTION_NOMEM); /* it is about to be dropped, or has failed */
    }
    bool is_done = step(s);

    assert(is_done);
    (void)is_done;
    reply->failed = has_failed;
    destroy(s);
}

static void go_on(struct cmd *c)
{
    struct slices *s = c->progress;
    struct cmd own = s->cmd;

    s->cmd = *c;
    s->cmd.go_on = own.go_on;
    s->cmd.progress = own.progress;
    s->cmd.progress_free = own.progress_free;
    bool is_done = step(s);

    *c = s->cmd; /* where the executor has it, which is elsewhere in each slice */
    if (is_done) {
        destroy(s);
        return;
    }
    c->again = true;
    c->go_on = go_on;
    c->progress = s;
    c->progress_free = give_up;
}

bool slices_take(struct cmd *c, bool is_long)
{
    struct slices *s;

    /* What waits for data is looked for by whoever brings it, in one piece. */
    if ((LIKELY(!is_long) && test_steps == 0) || slices_running != NULL || c->blocked != NULL) {
        return false;
    }
    if (c->section == NULL) {
        cmd_needs_locks(c);
        return true;
    }
    s = mem_zalloc(sizeof(*s));
    if (s != NULL) {
        s->fiber = fiber_create(on_fiber, s);
    }
    if (s == NULL || s->fiber == NULL) {
        mem_free(s, sizeof(*s));
        reply_err(c->reply, WIRE_NOMEM);
        return true;
    }
    s->from = c->reply->out.len;
    s->due = c->reply->flags & (REPLY_DIFFERS | REPLY_MARKED);
    c->progress = s;
    go_on(c);
    return true;
}

/* ---- Long runs of bytes ---- */

enum { COPY_BYTES = 64 << 10, COPY_STEPS = STEPS };

void slices_copy(char *to, const char *from, size_t len)
{
    while (len > COPY_BYTES && slices_tick(COPY_STEPS)) {
        memcpy(to, from, COPY_BYTES);
        to += COPY_BYTES;
        from += COPY_BYTES;
        len -= COPY_BYTES;
    }
    if (len > 0) {
        memcpy(to, from, len);
    }
}

int slices_append(struct buf *b, struct slice bytes)
{
    if (buf_reserve(b, bytes.len) != OK) {
        return ERR_NOMEM;
    }
    while (bytes.len > 0) {
        size_t n = bytes.len < COPY_BYTES ? bytes.len : COPY_BYTES;

        if (n == COPY_BYTES && !slices_tick(COPY_STEPS)) {
            return ERR_NOMEM;
        }
        buf_append_nofail(b, bytes.ptr, n);
        bytes = (struct slice){bytes.ptr + n, bytes.len - n};
    }
    return OK;
}

void slices_bulk(struct reply *r, struct slice bytes)
{
    if (bytes.len <= COPY_BYTES) {
        reply_bulk(r, bytes);
        return;
    }
    reply_bulk_begin(r, bytes.len);
    if (!r->failed && slices_append(&r->out, bytes) != OK) {
        r->failed = true;
    }
    reply_bulk_end(r);
}

/* ---- Replies whose count is known at their end ---- */

enum { LATER_BYTES = 4, MOVE_BYTES = 64 << 10, MOVE_STEPS = 200 };

/* Makes room for the digits, a piece at a time from the end, and has `count` find only as much behind it. */
static void count_later(struct reply *r, size_t at, size_t n,
                        void (*head)(struct reply *r, size_t n),
                        void (*count)(struct reply *r, size_t at, size_t n))
{
    struct reply digits;
    size_t from = at + LATER_BYTES;

    if (slices_running == NULL || r->failed || r->out.len - from <= MOVE_BYTES) {
        count(r, at, n);
        return;
    }
    reply_init(&digits);
    head(&digits, n);
    size_t more = digits.out.len - LATER_BYTES;

    if (digits.failed || buf_reserve(&r->out, more) != 0) {
        r->failed = true;
    }
    for (size_t end = r->out.len;
         !r->failed && more > 0 && end > from && slices_tick(MOVE_STEPS);) {
        size_t piece = end - from < MOVE_BYTES ? end - from : MOVE_BYTES;

        end -= piece;
        buf_move(r->out.ptr + end + more, r->out.ptr + end, piece);
    }
    if (!r->failed) {
        r->out.len += more;
        memcpy(r->out.ptr + at, digits.out.ptr, digits.out.len);
        r->flags |= digits.flags;
    }
    reply_fini(&digits);
}

void slices_array_count(struct reply *r, size_t at, size_t n)
{
    count_later(r, at, n, reply_array, reply_array_count);
}

void slices_set_count(struct reply *r, size_t at, size_t n)
{
    count_later(r, at, n, reply_set, reply_set_count);
}
