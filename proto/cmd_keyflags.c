#include "proto/cmd_keyflags.h"

#include "proto/cmd_doc.h"

/* clang-format off */
static const struct cmd_keyflags special[] = {
    /* which only look at what a key is, not at its content */
    {"exists", "RO", NULL},          {"type", "RO", NULL},              {"touch", "RO", NULL},
    {"strlen", "RO", NULL},            {"hlen", "RO", NULL},
    {"hexists", "RO", NULL},         {"hstrlen", "RO", NULL},           {"object|encoding", "RO", NULL},
    {"object|freq", "RO", NULL},     {"object|idletime", "RO", NULL},   {"object|refcount", "RO", NULL},
    {"memory|usage", "RO", NULL},    {"scard", "RO", NULL},             {"sismember", "RO", NULL},
    /* which replace what was there, whatever it was */
    {"mset", "OW update", NULL},     {"setex", "OW update", NULL},      {"psetex", "OW update", NULL},
    {"setnx", "OW insert", NULL},    {"msetnx", "OW insert", NULL},     {"restore", "OW update", NULL},
    {"set", "RW access update variable_flags", NULL},
    {"del", "RM delete", NULL},      {"unlink", "RM delete", NULL},     {"getdel", "RW access delete", NULL},
    {"append", "RW insert", NULL},   {"move", "RW access delete", NULL}, {"persist", "RW update", NULL},
    {"expire", "RW update", NULL},   {"expireat", "RW update", NULL},   {"pexpire", "RW update", NULL},
    {"pexpireat", "RW update", NULL}, {"setrange", "RW update", NULL},  {"hset", "RW update", NULL},
    {"hmset", "RW update", NULL},    {"hsetnx", "RW insert", NULL},     {"hdel", "RW delete", NULL},
    {"hgetdel", "RW access delete", NULL},
    {"zadd", "RW update", NULL},       {"zrem", "RW delete", NULL},
    {"zremrangebyrank", "RW delete", NULL}, {"zremrangebyscore", "RW delete", NULL},
    {"zremrangebylex", "RW delete", NULL},
    {"zpopmin", "RW access delete", NULL}, {"zpopmax", "RW access delete", NULL},
    {"zmpop", "RW access delete", NULL}, {"geoadd", "RW update", NULL},
    {"zcard", "RO", NULL},
    /* whose use of keys nobody knows */
    {"eval", "RW access update", NULL}, {"evalsha", "RW access update", NULL},
    {"fcall", "RW access update", NULL},
    {"spublish", "not_key", NULL},   {"ssubscribe", "not_key", NULL},   {"sunsubscribe", "not_key", NULL},
    {"bitfield", "RW access update variable_flags", NULL},
    {"lpush", "RW insert", NULL},    {"lpushx", "RW insert", NULL},     {"rpush", "RW insert", NULL},
    {"rpushx", "RW insert", NULL},   {"linsert", "RW insert", NULL},    {"lrem", "RW delete", NULL},
    {"ltrim", "RW delete", NULL},    {"lset", "RW update", NULL},       {"llen", "RO", NULL},
    {"watch", "RO", NULL},           {"xlen", "RO", NULL},              {"xack", "RW update", NULL},
    {"xadd", "RW update", NULL},     {"xautoclaim", "RW delete", NULL}, {"xclaim", "RW update", NULL},
    {"xdel", "RW delete", NULL},     {"xtrim", "RW delete", NULL},      {"xsetid", "RW update", NULL},
    {"xgroup|create", "RW insert", NULL}, {"xgroup|createconsumer", "RW insert", NULL},
    {"xgroup|delconsumer", "RW delete", NULL}, {"xgroup|destroy", "RW delete", NULL},
    {"xgroup|setid", "RW update", NULL}, {"xreadgroup", "RO access", NULL},
    {"msetex", "OW update", NULL},   {"hsetex", "RW update", NULL},     {"hpersist", "RW update", NULL},
    {"hexpire", "RW update", NULL},  {"hexpireat", "RW update", NULL},  {"hpexpire", "RW update", NULL},
    {"hpexpireat", "RW update", NULL},
    /* which may do anything with them */
    {"eval", "RW access update", NULL}, {"evalsha", "RW access update", NULL},
    {"fcall", "RW access update", NULL},
    /* whose first key is another matter than the rest */
    {"lmove", "RW access delete", "RW insert"}, {"rpoplpush", "RW access delete", "RW insert"},
    {"blmove", "RW access delete", "RW insert"}, {"brpoplpush", "RW access delete", "RW insert"},
    {"sort", "RO access", "OW update"},
    {"georadius", "RO access", "OW update"}, {"georadiusbymember", "RO access", "OW update"},
    {"rename", "RW access delete", "OW update"},
    {"renamenx", "RW access delete", "OW insert"},
    {"copy", "RO access", "OW update"},
    {"bitop", "OW update", "RO access"},
    {"sinterstore", "RW update", "RO access"},
    {"sunionstore", "OW update", "RO access"},
    {"sdiffstore", "OW update", "RO access"},
    {"smove", "RW access delete", "RW insert"},
    {"sadd", "RW insert", NULL},     {"srem", "RW delete", NULL},       {"spop", "RW access delete", NULL},
    {"pfadd", "RW insert", NULL},    {"pfcount", "RW access", NULL},    {"pfdebug", "RW access", NULL},
    {"pfmerge", "RW access insert", "RO access"},
    {"zunionstore", "OW update", "RO access"},
    {"zinterstore", "OW update", "RO access"},
    {"zdiffstore", "OW update", "RO access"},
    {"zrangestore", "OW update", "RO access"},
    {"geosearchstore", "OW update", "RO access"},
};
static const struct cmd_keyflags reads = {NULL, "RO access", NULL};
static const struct cmd_keyflags writes = {NULL, "RW access update", NULL};
/* clang-format on */

const struct cmd_keyflags *cmd_keyflags_of(const struct cmd_def *def)
{
    char name[CMD_NAME_MAX];
    struct slice full = {name, cmd_full_name(def, name)};

    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (slice_is(full, slice_of(special[i].name))) {
            return &special[i];
        }
    }
    return (def->flags & CMD_WRITE) != 0 ? &writes : &reads;
}
