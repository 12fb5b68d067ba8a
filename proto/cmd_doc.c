/* cmd_doc.c - answers about the command table, all derived from rows, in Redis 7's form. */
#include "proto/cmd_doc.h"

#include "proto/cmd_args.h"
#include "proto/cmd_keyflags.h"
#include "proto/glob.h"
#include "proto/reply.h"

/* Redis has no command of more keys than arguments fit; GETKEYS of more says so. */
enum { KEYS_SHOWN_MAX = 4096 };

size_t cmd_full_name(const struct cmd_def *def, char out[CMD_NAME_MAX])
{
    const char *parts[2] = {def->parent == NULL ? "" : def->parent->name, def->name};
    size_t len = 0;

    for (int i = 0; i < 2; i++) {
        if (len > 0) {
            out[len++] = '|';
        }
        for (const char *p = parts[i]; *p != '\0'; p++) {
            assert(len < CMD_NAME_MAX - 1);
            out[len++] = slice_lower(*p);
        }
    }
    return len;
}

static void put_name(struct reply *r, const struct cmd_def *def)
{
    char name[CMD_NAME_MAX];
    size_t len = cmd_full_name(def, name);

    reply_bulk(r, (struct slice){name, len});
}

static const char *group_category(const struct cmd_def *def)
{
    static const char *const of_group[][2] = {
        {"generic", "@keyspace"},
        {"string", "@string"},
        {"bitmap", "@bitmap"},
        {"hash", "@hash"},
        {"list", "@list"},
        {"set", "@set"},
        {"sorted-set", "@sortedset"},
        {"stream", "@stream"},
        {"geo", "@geo"},
        {"hyperloglog", "@hyperloglog"},
        {"connection", "@connection"},
        {"transactions", "@transaction"},
        {"scripting", "@scripting"},
        {"pubsub", "@pubsub"},
        {"json", "@json"},
    };

    if (def->subs != NULL) {
        return NULL;
    }
    if (strcmp(def->group, "generic") == 0 && (def->flags & CMD_BLOCKING) != 0) {
        return "@connection"; /* WAIT */
    }
    for (size_t i = 0; i < sizeof(of_group) / sizeof(of_group[0]); i++) {
        if (strcmp(def->group, of_group[i][0]) == 0) {
            return of_group[i][1];
        }
    }
    return (def->flags & CMD_WHOLE) != 0 ? "@keyspace" : NULL; /* DBSIZE, FLUSHDB */
}

/* Rows whose categories their group does not tell; ended by NULL. */
static const char *const *other_categories(const struct cmd_def *def)
{
    static const char *const sort[] = {"@list", "@set", "@sortedset", "@dangerous", NULL};
    static const char *const about[] = {"@connection", NULL};
    static const char *const swap[] = {"@keyspace", "@write", NULL};
    static const char *const none[] = {NULL};
    const char *head = def->parent != NULL ? def->parent->name : def->name;

    if (strcmp(head, "SORT") == 0 || strcmp(head, "SORT_RO") == 0) {
        return sort;
    }
    if (strcmp(head, "COMMAND") == 0) {
        return about;
    }
    if (strcmp(head, "SWAPDB") == 0) {
        return swap;
    }
    return strcmp(head, "PUBSUB") == 0 && strcmp(def->name, "HELP") == 0 ? none : NULL;
}

size_t cmd_categories(const struct cmd_def *def, const char *out[CMD_CATEGORIES_MAX])
{
    const char *const *other = other_categories(def);
    const char *group = other != NULL ? NULL : group_category(def);
    size_t n = 0;

    if (group != NULL) {
        out[n++] = group;
    }
    for (; other != NULL && *other != NULL; other++) {
        out[n++] = *other;
    }
    if ((def->flags & CMD_READ) != 0 && strcmp(def->group, "scripting") != 0) {
        out[n++] = "@read";
    }
    if ((def->flags & CMD_WRITE) != 0) {
        out[n++] = "@write";
    }
    if ((def->flags & CMD_ADMIN) != 0) {
        out[n++] = "@admin";
    }
    out[n++] = (def->flags & CMD_FAST) != 0 ? "@fast" : "@slow";
    if ((def->flags & CMD_BLOCKING) != 0) {
        out[n++] = "@blocking";
    }
    if ((def->flags & (CMD_ADMIN | CMD_DANGEROUS)) != 0) {
        out[n++] = "@dangerous";
    }
    assert(n <= CMD_CATEGORIES_MAX);
    return n;
}

const char *cmd_category_at(size_t i)
{
    /* Last what modules bring: RedisJSON has a category since 8. */
    static const char *const all[] = {
        "keyspace",   "read",        "write",     "set",         "sortedset", "list",
        "hash",       "string",      "bitmap",    "hyperloglog", "geo",       "stream",
        "pubsub",     "admin",       "fast",      "slow",        "blocking",  "dangerous",
        "connection", "transaction", "scripting", "json",
    };

    return i < sizeof(all) / sizeof(all[0]) ? all[i] : NULL;
}

static void put_flags(struct reply *r, const struct cmd_def *def)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {CMD_WRITE, "write"},        {CMD_READ, "readonly"},     {CMD_GROWS, "denyoom"},
        {CMD_ADMIN, "admin"},        {CMD_NOSCRIPT, "noscript"}, {CMD_BLOCKING, "blocking"},
        {CMD_LOADING, "loading"},    {CMD_STALE, "stale"},       {CMD_QUIET, "skip_monitor"},
        {CMD_QUIET, "skip_slowlog"}, {CMD_FAST, "fast"},         {CMD_NOAUTH, "no_auth"},
        {CMD_NOMULTI, "no_multi"},
    };
    size_t at = reply_array_later(r);
    size_t n = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((def->flags & names[i].flag) != 0) {
            reply_simple(r, slice_of(names[i].name));
            n++;
        }
    }
    if ((def->flags & CMD_SCRIPT) != 0) {
        reply_simple(r, SLICE("skip_monitor"));
        reply_simple(r, SLICE("no_mandatory_keys"));
        n += 2;
    }
    if (def->keys.kind == CMD_KEYS_COUNT || def->keys.kind == CMD_KEYS_TO_COUNT ||
        def->keys.kind == CMD_KEYS_STREAMS || def->keys.kind == CMD_KEYS_MOVABLE) {
        reply_simple(r, SLICE("movablekeys"));
        n++;
    }
    if (strcmp(def->group, "pubsub") == 0 && def->subs == NULL) {
        reply_simple(r, SLICE("pubsub"));
        n++;
    }
    reply_set_count(r, at, n);
}

static void put_tips(struct reply *r, const struct cmd_def *def)
{
    static const char *const request[] = {
        [CMD_BY_KEY] = NULL,
        [CMD_ALL_SHARDS] = "request_policy:all_shards",
        [CMD_ALL_NODES] = "request_policy:all_nodes",
        [CMD_MULTI_SHARD] = "request_policy:multi_shard",
        [CMD_REQUEST_SPECIAL] = "request_policy:special",
    };
    static const char *const response[] = {
        [CMD_REPLY_DEFAULT] = NULL,
        [CMD_ONE_SUCCEEDED] = "response_policy:one_succeeded",
        [CMD_ALL_SUCCEEDED] = "response_policy:all_succeeded",
        [CMD_AGG_LOGICAL_AND] = "response_policy:agg_logical_and",
        [CMD_AGG_LOGICAL_OR] = "response_policy:agg_logical_or",
        [CMD_AGG_MIN] = "response_policy:agg_min",
        [CMD_AGG_MAX] = "response_policy:agg_max",
        [CMD_AGG_SUM] = "response_policy:agg_sum",
        [CMD_RESPONSE_SPECIAL] = "response_policy:special",
    };
    const char *tips[4] = {
        (def->flags & CMD_RANDOM) != 0 ? "nondeterministic_output" : NULL,
        (def->flags & CMD_UNORDERED) != 0 ? "nondeterministic_output_order" : NULL,
        request[def->request],
        response[def->response],
    };
    size_t at = reply_array_later(r);
    size_t n = 0;

    for (size_t i = 0; i < sizeof(tips) / sizeof(tips[0]); i++) {
        if (tips[i] != NULL) {
            reply_bulk(r, slice_of(tips[i]));
            n++;
        }
    }
    reply_set_count(r, at, n);
}

static void put_str(struct reply *r, const char *text)
{
    reply_bulk(r, slice_of(text));
}

/* "RW access update" as a set of simple strings. */
static void put_words(struct reply *r, const char *words)
{
    size_t at = reply_array_later(r);
    size_t n = 0;

    while (*words != '\0') {
        size_t len = strcspn(words, " ");

        reply_simple(r, (struct slice){words, len});
        words += len + (words[len] == ' ');
        n++;
    }
    reply_set_count(r, at, n);
}

static void put_key_spec(struct reply *r, const struct cmd_keys *k, const char *flags)
{
    bool counted = k->kind == CMD_KEYS_COUNT;

    reply_map(r, 3);
    put_str(r, "flags");
    put_words(r, flags);
    put_str(r, "begin_search");
    reply_map(r, 2);
    put_str(r, "type");
    put_str(r, "index");
    put_str(r, "spec");
    reply_map(r, 1);
    put_str(r, "index");
    reply_int(r, k->first);
    put_str(r, "find_keys");
    reply_map(r, 2);
    put_str(r, "type");
    put_str(r, counted ? "keynum" : "range");
    put_str(r, "spec");
    reply_map(r, 3);
    put_str(r, counted ? "keynumidx" : "lastkey");
    reply_int(r, counted ? 0 : k->last < 0 ? k->last : k->last - k->first);
    put_str(r, counted ? "firstkey" : "keystep");
    reply_int(r, counted ? 1 : k->step);
    put_str(r, counted ? "keystep" : "limit");
    reply_int(r, counted ? k->step : 0);
}

/* Keys that a word announces. */
static void put_word_spec(struct reply *r, const struct cmd_keys *k, const char *flags)
{
    reply_map(r, 3);
    put_str(r, "flags");
    put_words(r, flags);
    put_str(r, "begin_search");
    reply_map(r, 2);
    put_str(r, "type");
    put_str(r, "keyword");
    put_str(r, "spec");
    reply_map(r, 2);
    put_str(r, "keyword");
    put_str(r, "STREAMS");
    put_str(r, "startfrom");
    reply_int(r, k->first);
    put_str(r, "find_keys");
    reply_map(r, 2);
    put_str(r, "type");
    put_str(r, "range");
    put_str(r, "spec");
    reply_map(r, 3);
    put_str(r, "lastkey");
    reply_int(r, -1);
    put_str(r, "keystep");
    reply_int(r, 1);
    put_str(r, "limit");
    reply_int(r, 2); /* half of what is left */
}

static void put_key_specs(struct reply *r, const struct cmd_def *def)
{
    const struct cmd_keyflags *f = cmd_keyflags_of(def);

    if (def->keys.kind == CMD_KEYS_NONE) {
        reply_set(r, 0);
    } else if (def->keys.kind == CMD_KEYS_STREAMS) {
        reply_set(r, 1);
        put_word_spec(r, &def->keys, f->first);
    } else if (f->rest == NULL || def->keys.kind == CMD_KEYS_MOVABLE) {
        reply_set(r, 1);
        put_key_spec(r, &def->keys, f->first);
    } else {
        struct cmd_keys first = def->keys, rest = def->keys;

        first.kind = CMD_KEYS_RANGE;
        first.last = first.first;
        rest.first = (int16_t)(rest.first + rest.step);
        rest.kind = rest.kind == CMD_KEYS_TO_COUNT ? CMD_KEYS_COUNT : rest.kind;
        reply_set(r, 2);
        put_key_spec(r, &first, f->first);
        put_key_spec(r, &rest, f->rest);
    }
}

static size_t subs_count(const struct cmd_def *def)
{
    size_t n = 0;

    for (const struct cmd_def *s = def->subs; s != NULL && s->name != NULL; s++) {
        n += (s->flags & CMD_INTERNAL) == 0;
    }
    return n;
}

/* Up to the subcommands, which are entries of the same form. */
static void put_info(struct reply *r, const struct cmd_def *def)
{
    const char *categories[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(def, categories);
    bool one = def->keys.kind == CMD_KEYS_TO_COUNT; /* of its keys the one before the count */
    bool range = one || def->keys.kind == CMD_KEYS_RANGE || def->keys.kind == CMD_KEYS_MOVABLE;

    reply_array(r, 10);
    put_name(r, def);
    reply_int(r, def->arity);
    put_flags(r, def);
    reply_int(r, range ? def->keys.first : 0);
    reply_int(r, one ? def->keys.first : range ? def->keys.last : 0);
    reply_int(r, range ? def->keys.step : 0);
    reply_set(r, n);
    for (size_t i = 0; i < n; i++) {
        reply_simple(r, slice_of(categories[i]));
    }
    put_tips(r, def);
    put_key_specs(r, def);
    reply_array(r, subs_count(def));
}

void cmd_doc_info(struct reply *r, const struct cmd_def *def)
{
    if (def == NULL) {
        reply_null(r);
        return;
    }
    put_info(r, def);
    for (const struct cmd_def *s = def->subs; s != NULL && s->name != NULL; s++) {
        if ((s->flags & CMD_INTERNAL) == 0) {
            put_info(r, s);
        }
    }
}

static const char *type_name(enum cmd_arg_type type)
{
    switch (type) {
    case CMD_ARG_STRING:
        return "string";
    case CMD_ARG_INTEGER:
        return "integer";
    case CMD_ARG_DOUBLE:
        return "double";
    case CMD_ARG_KEY:
        return "key";
    case CMD_ARG_PATTERN:
        return "pattern";
    case CMD_ARG_UNIX_TIME:
        return "unix-time";
    case CMD_ARG_PURE_TOKEN:
        return "pure-token";
    case CMD_ARG_ONEOF:
        return "oneof";
    case CMD_ARG_BLOCK:
        return "block";
    }
    return "string";
}

static void put_lower(struct reply *r, struct slice text)
{
    char name[CMD_NAME_MAX];
    size_t len = text.len < sizeof(name) ? text.len : sizeof(name);

    for (size_t i = 0; i < len; i++) {
        name[i] = slice_lower(text.ptr[i]);
    }
    reply_bulk(r, (struct slice){name, len});
}

static size_t list_count(const struct cmd_args *a, int16_t first)
{
    size_t n = 0;

    for (int16_t i = first; i >= 0; i = a->arg[i].next) {
        n++;
    }
    return n;
}

struct arg_writer {
    struct reply *r;
    const struct cmd_args *args;
    int keys;  /* key arguments so far */
    int specs; /* key specifications that there are */
};

/* Recursion: a level of our own rows' brackets each, which cmd_args_parse() bounds. */
static void put_args(struct arg_writer *w, int16_t first);

static void put_arg(struct arg_writer *w, const struct cmd_arg *a)
{
    struct reply *r = w->r;
    bool key = a->type == CMD_ARG_KEY && w->specs > 0;
    size_t fields = 2 + key + (a->token.len > 0) + (a->optional || a->multiple) + (a->child >= 0);

    reply_map(r, fields);
    put_str(r, "name");
    put_lower(r, a->name);
    put_str(r, "type");
    put_str(r, type_name(a->type));
    if (key) {
        put_str(r, "key_spec_index");
        reply_int(r, w->keys < w->specs ? w->keys : w->specs - 1);
        w->keys++;
    }
    if (a->token.len > 0) {
        put_str(r, "token");
        reply_bulk(r, a->token);
    }
    if (a->optional || a->multiple) {
        put_str(r, "flags");
        put_words(r, !a->multiple ? "optional" : a->optional ? "optional multiple" : "multiple");
    }
    if (a->child >= 0) {
        put_str(r, "arguments");
        put_args(w, a->child);
    }
}

static void put_args(struct arg_writer *w, int16_t first)
{
    reply_array(w->r, list_count(w->args, first));
    for (int16_t i = first; i >= 0; i = w->args->arg[i].next) {
        put_arg(w, &w->args->arg[i]);
    }
}

/* Name and map, up to the subcommands. */
static void put_docs(struct reply *r, const struct cmd_def *def)
{
    struct cmd_args args;
    bool has_args = def->args != NULL && cmd_args_parse(def->args, &args) && args.first >= 0;
    size_t subs = subs_count(def);

    put_name(r, def);
    reply_map(r, 3u + has_args + (subs > 0));
    put_str(r, "summary");
    put_str(r, def->summary == NULL ? "" : def->summary);
    put_str(r, "since");
    put_str(r, def->since == NULL ? "" : def->since);
    put_str(r, "group");
    put_str(r, def->group);
    if (has_args) {
        struct arg_writer w = {r, &args, 0, 0};

        if (def->keys.kind != CMD_KEYS_NONE) {
            bool one = cmd_keyflags_of(def)->rest == NULL || def->keys.kind == CMD_KEYS_MOVABLE;

            w.specs = one ? 1 : 2;
        }
        put_str(r, "arguments");
        put_args(&w, args.first);
    }
    if (subs > 0) {
        put_str(r, "subcommands");
        reply_map(r, subs);
    }
}

void cmd_doc_docs(struct reply *r, const struct cmd_def *def)
{
    put_docs(r, def);
    for (const struct cmd_def *s = def->subs; s != NULL && s->name != NULL; s++) {
        if ((s->flags & CMD_INTERNAL) == 0) {
            put_docs(r, s);
        }
    }
}

const struct cmd_def *cmd_doc_lookup(const struct slice *argv, uint32_t argc)
{
    const struct cmd_def *def = argc == 0 ? NULL : cmd_find(argv[0]);

    if (def != NULL && def->subs != NULL && argc > 1) {
        return cmd_find_sub(def, argv[1]);
    }
    return def;
}

/* "config|get", as COMMAND INFO and DOCS are asked. */
static const struct cmd_def *lookup_full(struct slice name)
{
    const char *bar = name.len == 0 ? NULL : memchr(name.ptr, '|', name.len);
    struct slice parts[2] = {name, {NULL, 0}};

    if (bar == NULL) {
        return cmd_find(name);
    }
    parts[0].len = (size_t)(bar - name.ptr);
    parts[1] = (struct slice){bar + 1, name.len - parts[0].len - 1};

    const struct cmd_def *def = cmd_find(parts[0]);

    return def == NULL ? NULL : cmd_find_sub(def, parts[1]);
}

static bool is_shown(const struct cmd_def *def)
{
    return def->parent == NULL && (def->flags & CMD_INTERNAL) == 0;
}

static size_t shown_count(void)
{
    size_t n = 0;

    for (uint16_t id = 0; id < cmd_count(); id++) {
        n += is_shown(cmd_by_id(id));
    }
    return n;
}

void cmd_doc_command_count(struct reply *r)
{
    reply_int(r, (int64_t)shown_count());
}

void cmd_doc_command(struct reply *r)
{
    reply_array(r, shown_count());
    for (uint16_t id = 0; id < cmd_count(); id++) {
        if (is_shown(cmd_by_id(id))) {
            cmd_doc_info(r, cmd_by_id(id));
        }
    }
}

void cmd_doc_command_info(struct reply *r, const struct slice *argv, uint32_t argc)
{
    if (argc == 0) {
        cmd_doc_command(r);
        return;
    }
    reply_array(r, argc);
    for (uint32_t i = 0; i < argc; i++) {
        cmd_doc_info(r, lookup_full(argv[i]));
    }
}

void cmd_doc_command_docs(struct reply *r, const struct slice *argv, uint32_t argc)
{
    size_t at = reply_array_later(r);
    size_t n = 0;

    if (argc == 0) {
        for (uint16_t id = 0; id < cmd_count(); id++) {
            if (is_shown(cmd_by_id(id))) {
                cmd_doc_docs(r, cmd_by_id(id));
                n++;
            }
        }
    }
    for (uint32_t i = 0; i < argc; i++) {
        const struct cmd_def *def = lookup_full(argv[i]);

        if (def != NULL) {
            cmd_doc_docs(r, def);
            n++;
        }
    }
    reply_map_count(r, at, n);
}

static bool in_category(const struct cmd_def *def, struct slice category)
{
    const char *categories[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(def, categories);

    for (size_t i = 0; i < n; i++) {
        if (slice_is_word(category, categories[i] + 1)) {
            return true;
        }
    }
    return false;
}

void cmd_doc_command_list(struct reply *r, const struct slice *argv, uint32_t argc)
{
    bool by_pattern = argc == 3 && slice_is_word(argv[1], "pattern");
    bool by_category = argc == 3 && slice_is_word(argv[1], "aclcat");
    bool by_module = argc == 3 && slice_is_word(argv[1], "module");
    size_t at, n = 0;

    if (argc != 0 && (argc != 3 || !slice_is_word(argv[0], "filterby") ||
                      !(by_pattern || by_category || by_module))) {
        reply_err(r, WIRE_SYNTAX);
        return;
    }
    at = reply_array_later(r);
    for (uint16_t id = 0; id < cmd_count() && !by_module; id++) {
        const struct cmd_def *def = cmd_by_id(id);
        char name[CMD_NAME_MAX];
        struct slice full = {name, cmd_full_name(def, name)};

        if ((def->flags & CMD_INTERNAL) != 0 || (by_pattern && !glob_match(argv[2], full, true)) ||
            (by_category && !in_category(def, argv[2]))) {
            continue;
        }
        reply_bulk(r, full);
        n++;
    }
    reply_set_count(r, at, n);
}

/* The indexes of a call's keys; -1: an error has been replied. */
static int keys_of_call(struct reply *r, const struct slice *argv, uint32_t argc,
                        const struct cmd_def **def, uint32_t out[KEYS_SHOWN_MAX])
{
    int n;

    *def = cmd_doc_lookup(argv, argc);
    if (*def == NULL) {
        reply_errf(r, "ERR Invalid command specified");
        return -1;
    }
    if ((*def)->keys.kind == CMD_KEYS_NONE) {
        reply_errf(r, "ERR The command has no key arguments");
        return -1;
    }
    if (!cmd_arity_fits(*def, argc)) {
        reply_errf(r, "ERR Invalid number of arguments specified for command");
        return -1;
    }
    n = cmd_key_indexes(*def, argv, argc, out, KEYS_SHOWN_MAX);
    if (n < 0 && strcmp((*def)->group, "scripting") == 0) {
        return 0; /* scripts need no keys, and Redis does not look why there are none */
    }
    if (n < 0 || n > KEYS_SHOWN_MAX) {
        reply_errf(r, "ERR Invalid arguments specified for command");
        return -1;
    }
    return n;
}

void cmd_doc_command_getkeys(struct reply *r, const struct slice *argv, uint32_t argc)
{
    uint32_t indexes[KEYS_SHOWN_MAX];
    const struct cmd_def *def;
    int n = keys_of_call(r, argv, argc, &def, indexes);

    if (n >= 0) {
        reply_array(r, (size_t)n);
        for (int i = 0; i < n; i++) {
            reply_bulk(r, argv[indexes[i]]);
        }
    }
}

void cmd_doc_command_getkeysandflags(struct reply *r, const struct slice *argv, uint32_t argc)
{
    uint32_t indexes[KEYS_SHOWN_MAX];
    const struct cmd_def *def;
    int n = keys_of_call(r, argv, argc, &def, indexes);

    if (n >= 0) {
        const struct cmd_keyflags *f = cmd_keyflags_of_call(def, argv, argc);

        reply_array(r, (size_t)n);
        for (int i = 0; i < n; i++) {
            reply_array(r, 2);
            reply_bulk(r, argv[indexes[i]]);
            put_words(r, i == 0 || f->rest == NULL ? f->first : f->rest);
        }
    }
}
