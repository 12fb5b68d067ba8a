/* cmd_acl_file.c - ACL LOAD and ACL SAVE. A thread of its own reads or writes the file; the handler looks
 * each turn whether that is done, then whether every worker was visited. All hold the errand: the client
 * may be gone before. */
#include "base/conf.h"
#include "base/conf_file.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/acl_round.h"
#include "edge/conn.h"
#include "edge/options.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>

struct errand {
    _Atomic int holders;
    _Atomic bool is_done; /* by the thread, then by the round */
    bool is_round, is_save, is_asker_hit;
    int err, error_number;
    struct buf text;
};

/* A round knows its errand. */
struct errand_round {
    struct acl_round acl; /* first */
    struct errand *errand;
};

static void errand_put(void *progress)
{
    struct errand *e = progress;

    /* Acquire-release: the last holder frees what the others wrote. */
    if (atomic_fetch_sub_explicit(&e->holders, 1, memory_order_acq_rel) == 1) {
        buf_fini(&e->text);
        mem_free(e, sizeof(*e));
    }
}

static void *errand_run(void *arg)
{
    struct errand *e = arg;
    const char *path = conf_str(&opt_aclfile);

    e->err = e->is_save ? conf_file_replace(path, buf_slice(&e->text), 0600)
                        : conf_file_read(path, LIMIT_ACL_FILE_BYTES, &e->text);
    e->error_number = errno;
    /* Release: pairs with the acquire in errand_goes_on(). */
    atomic_store_explicit(&e->is_done, true, memory_order_release);
    errand_put(e);
    return NULL;
}

static bool errand_begin(struct cmd *c, struct errand *e)
{
    pthread_attr_t detached;
    pthread_t thread;
    int err;

    atomic_store_explicit(&e->holders, 2, memory_order_relaxed);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    err = pthread_create(&thread, &detached, errand_run, e);
    pthread_attr_destroy(&detached);
    if (err != 0) {
        return false;
    }
    c->progress = e;
    c->progress_free = errand_put;
    c->again = true;
    return true;
}

/* True: there is nothing to do yet. */
static bool errand_goes_on(struct cmd *c, struct errand *e)
{
    if (atomic_load_explicit(&e->is_done, memory_order_acquire)) {
        return false;
    }
    c->again = true;
    return true;
}

static void errand_end(struct cmd *c, struct errand *e)
{
    c->progress = NULL;
    errand_put(e);
}

static void start(struct cmd *c, bool is_save)
{
    struct errand *e;

    if (conf_str(&opt_aclfile)[0] == '\0') {
        reply_errf(c->reply,
                   "ERR This Redis instance is not configured to use an ACL file. You may want to "
                   "specify users via the ACL SETUSER command and then issue a CONFIG REWRITE "
                   "(assuming you have a Redis configuration file set) in order to store users in "
                   "the Redis configuration.");
        return;
    }
    e = mem_zalloc(sizeof(*e));
    if (e == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
        return;
    }
    e->is_save = is_save;
    if ((is_save && acl_save(false, &e->text) != OK) || !errand_begin(c, e)) {
        buf_fini(&e->text);
        mem_free(e, sizeof(*e));
        reply_err(c->reply, WIRE_NOMEM);
    }
}

void acl_cmd_save(struct cmd *c)
{
    struct errand *e = c->progress;

    if (e == NULL) {
        start(c, true);
        return;
    }
    if (errand_goes_on(c, e)) {
        return;
    }
    if (e->err == OK) {
        reply_ok(c->reply);
    } else {
        log_error("acl: cannot write: %s\tpath=%s", strerrordesc_np(e->error_number),
                  conf_str(&opt_aclfile));
        reply_errf(c->reply, "ERR There was an error trying to save the ACLs. Please check the "
                             "server logs for more information");
    }
    errand_end(c, e);
}

/* ---- LOAD ---- */

static void on_visited(struct client_round *round, struct conn *asker)
{
    struct errand_round *r = LIST_ITEM(round, struct errand_round, acl.round);
    struct errand *e = r->errand;

    (void)asker;
    e->is_asker_hit = r->acl.is_asker_hit;
    acl_changes_free(&r->acl.changes);
    mem_free(r, sizeof(*r));
    atomic_store_explicit(&e->is_done, true, memory_order_release);
    errand_put(e);
}

static void refuse_load(struct cmd *c, const struct errand *e)
{
    if (e->err == ERR_IO) {
        reply_errf(c->reply, "ERR Error loading ACLs, opening file '%s': %s",
                   conf_str(&opt_aclfile), strerrordesc_np(e->error_number));
    } else if (e->err == ERR_LIMIT) {
        reply_errf(c->reply, "ERR Error loading ACLs, the file '%s' is too large",
                   conf_str(&opt_aclfile));
    } else {
        reply_err(c->reply, WIRE_NOMEM);
    }
}

/* The users are there: now everybody hears of it. False: an error was replied. */
static bool install(struct cmd *c, struct errand *e)
{
    struct errand_round *r = mem_zalloc(sizeof(*r));
    struct buf why = {0};
    bool done = false;

    if (r == NULL) {
        reply_err(c->reply, WIRE_NOMEM);
    } else if (!acl_load(buf_slice(&e->text), conf_str(&opt_aclfile), &why, &r->acl.changes)) {
        reply_errf(c->reply,
                   "ERR %.*sWARNING: ACL errors detected, no change to the previously active ACL "
                   "rules was performed",
                   (int)why.len, why.ptr);
    } else {
        done = true;
        acl_changes_sort(&r->acl.changes);
        r->errand = e;
        r->acl.round.visit = acl_round_visit;
        r->acl.round.done = on_visited;
        e->is_round = true;
        atomic_store_explicit(&e->is_done, false, memory_order_relaxed);
        atomic_fetch_add_explicit(&e->holders, 1, memory_order_relaxed);
        client_round_start_for(&r->acl.round, conn_of(c->session)->set, c->session->id);
    }
    if (!done && r != NULL) {
        mem_free(r, sizeof(*r));
    }
    buf_fini(&why);
    return done;
}

void acl_cmd_load(struct cmd *c)
{
    struct errand *e = c->progress;

    if (e == NULL) {
        start(c, false);
        return;
    }
    if (errand_goes_on(c, e)) {
        return;
    }
    if (e->is_round) {
        reply_ok(c->reply);
        if (e->is_asker_hit) {
            conn_end(conn_of(c->session));
        }
    } else if (e->err != OK) {
        refuse_load(c, e);
    } else if (install(c, e)) {
        c->again = true;
        return;
    }
    errand_end(c, e);
}
