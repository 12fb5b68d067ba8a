/* The rows themselves: what a row says in two places must agree. */
#include "edge/commands.h"
#include "node/cmd/families.h"
#include "proto/cmd.h"
#include "proto/cmd_args.h"
#include "proto/cmd_doc.h"
#include "proto/reply.h"
#include "proto/resp_reply.h"
#include "tests/lib/unit.h"

#include <stdio.h>

static void fill(void)
{
    cmd_thaw();
    families_register();
    edge_register_commands();
    cmd_freeze();
}

struct words {
    int least;
    bool more; /* there may be more than that */
};

static struct words words_of_list(const struct cmd_args *a, int16_t first);

/* How many words a call needs for this argument. */
static struct words words_of(const struct cmd_args *a, const struct cmd_arg *arg)
{
    struct words w = {1, false};

    if (arg->type == CMD_ARG_BLOCK) {
        w = words_of_list(a, arg->child);
    } else if (arg->type == CMD_ARG_ONEOF) {
        w = words_of(a, &a->arg[arg->child]);
        for (int16_t i = a->arg[arg->child].next; i >= 0; i = a->arg[i].next) {
            struct words other = words_of(a, &a->arg[i]);

            w.more |= other.more || other.least != w.least;
            w.least = other.least < w.least ? other.least : w.least;
        }
    }
    w.least += arg->token.len > 0 && arg->type != CMD_ARG_PURE_TOKEN;
    w.more |= arg->multiple || arg->optional;
    w.least = arg->optional ? 0 : w.least;
    return w;
}

static struct words words_of_list(const struct cmd_args *a, int16_t first)
{
    struct words sum = {0, false};

    for (int16_t i = first; i >= 0; i = a->arg[i].next) {
        struct words w = words_of(a, &a->arg[i]);

        sum.least += w.least;
        sum.more |= w.more;
    }
    return sum;
}

static void complain(const struct cmd_def *def, const char *what)
{
    char name[CMD_NAME_MAX];
    size_t len = cmd_full_name(def, name);

    fprintf(stderr, "%.*s: %s\n", (int)len, name, what);
    CU_FAIL("a row contradicts itself");
}

/* COMMAND DOCS is what clients generate their interfaces from. */
static void syntax_and_arity_agree(void)
{
    fill();
    CU_ASSERT(cmd_count() > 100);
    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *def = cmd_by_id(id);
        struct cmd_args args;
        struct words w;

        if (!cmd_args_parse(def->args == NULL ? "" : def->args, &args)) {
            complain(def, "its syntax cannot be read");
            continue;
        }
        if (def->subs != NULL || (def->flags & CMD_INTERNAL) != 0) {
            continue;
        }
        w = words_of_list(&args, args.first);
        w.least += def->parent == NULL ? 1 : 2;
        /* Of several options at least one may be needed (CLIENT KILL), which a syntax does not say. */
        if (def->arity >= 0 ? w.more || w.least != def->arity : w.least > -def->arity) {
            complain(def, "arity and syntax differ");
        }
        /* Redis' QUIT takes arguments and does not look at them. */
        if (def->arity < 0 && !w.more && strcmp(def->name, "QUIT") != 0) {
            complain(def, "the syntax has no room for more arguments");
        }
    }
    cmd_thaw();
}

static void keys_lie_within_the_shortest_call(void)
{
    fill();
    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *def = cmd_by_id(id);
        int least = def->arity < 0 ? -def->arity : def->arity;

        if (def->keys.kind == CMD_KEYS_NONE) {
            continue;
        }
        /* A range up to the end may be empty: UNLINK without keys. */
        if (def->keys.first >= least + (def->keys.last < 0) || def->keys.last >= least ||
            def->keys.step < 1) {
            complain(def, "its keys are beyond its arity");
        }
        /* WATCH only remembers them; those of shard channels are no keys, but have their slots. */
        if ((def->flags & (CMD_READ | CMD_WRITE | CMD_TXN | CMD_PUBSUB)) == 0 &&
            strcmp(def->name, "SPUBLISH") != 0) {
            complain(def, "has keys and neither reads nor writes");
        }
    }
    cmd_thaw();
}

static void every_row_is_described(void)
{
    fill();
    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *def = cmd_by_id(id);

        if (def->since == NULL || def->since[0] == '\0') {
            complain(def, "does not say since when");
        }
        if ((def->flags & CMD_INTERNAL) == 0 && (def->summary == NULL || def->summary[0] == '\0')) {
            complain(def, "has no summary");
        }
        if (def->run == NULL && def->subs == NULL) {
            complain(def, "does nothing");
        }
        for (const char *p = def->name; *p != '\0'; p++) {
            if (*p >= 'a' && *p <= 'z') {
                complain(def, "is not in upper case");
                break;
            }
        }
    }
    cmd_thaw();
}

static void whole_answers_are_whole(void)
{
    struct reply r;
    struct resp_reader in;

    fill();
    reply_init(&r);
    cmd_doc_command(&r);
    cmd_doc_command_docs(&r, NULL, 0);
    cmd_doc_command_list(&r, NULL, 0);
    CU_ASSERT_FALSE(r.failed);
    in = (struct resp_reader){buf_slice(&r.out), 0};
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(resp_reply_skip(&in), PARSE_DONE);
    }
    CU_ASSERT_EQUAL(in.at, r.out.len);
    reply_fini(&r);
    cmd_thaw();
}

const struct unit_test test_cmd_rows[] = {
    UNIT(syntax_and_arity_agree),
    UNIT(keys_lie_within_the_shortest_call),
    UNIT(every_row_is_described),
    UNIT(whole_answers_are_whole),
    UNIT_END,
};
