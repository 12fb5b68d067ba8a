#include "node/json_dump.h"

#include "base/err.h"
#include "node/json_text.h"

/* What comes next in a module's value. */
enum { MODULE_END = 0, MODULE_STRING = 5 };

enum { JSON_MODULE_VERSION = 3, NAME_CHARS = 9 };

/* Nine characters of six bits each, then ten bits of version. */
static uint64_t module_id(void)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char name[NAME_CHARS + 1] = "ReJSON-RL";
    uint64_t id = 0;

    for (int i = 0; i < NAME_CHARS; i++) {
        id = id << 6 | (uint64_t)(strchr(letters, name[i]) - letters);
    }
    return id << 10 | JSON_MODULE_VERSION;
}

static int read_number(struct rdb_reader *r, uint64_t wanted)
{
    uint64_t n;
    int err = rdb_read_len(r, &n);

    return err == OK && n != wanted ? ERR_CORRUPT : err;
}

int json_dump_read(struct rdb_reader *r, struct buf *out)
{
    struct json_fault fault;
    struct slice text;
    int err = read_number(r, module_id());

    err = err == OK ? read_number(r, MODULE_STRING) : err;
    err = err == OK ? rdb_read_string(r, &text) : err;
    err = err == OK ? read_number(r, MODULE_END) : err;
    if (err != OK || json_parse(text, out, &fault)) {
        return err;
    }
    return fault.what == NULL ? ERR_NOMEM : ERR_CORRUPT;
}

int json_dump_write(const char *value, struct buf *out)
{
    struct buf text = {0};
    int err = json_print(value, NULL, &text);

    err = err == OK ? rdb_write_len(out, module_id()) : err;
    err = err == OK ? rdb_write_len(out, MODULE_STRING) : err;
    err = err == OK ? rdb_write_string(out, buf_slice(&text)) : err;
    err = err == OK ? rdb_write_len(out, MODULE_END) : err;
    buf_fini(&text);
    return err;
}
