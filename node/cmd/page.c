#include "node/cmd/page.h"

#include "base/err.h"
#include "base/parse.h"
#include "proto/number.h"

bool page_cursor(struct cmd *c, uint32_t index, uint64_t *out)
{
    if (!number_parse_cursor(c->argv[index], out)) {
        reply_err(c->reply, WIRE_CURSOR);
        return false;
    }
    return true;
}

static bool read_count(struct cmd *c, struct slice text, uint64_t *out)
{
    int64_t count;

    if (!parse_i64(text, &count)) {
        reply_err(c->reply, WIRE_NOT_INTEGER);
        return false;
    }
    if (count < 1) {
        reply_err(c->reply, WIRE_SYNTAX);
        return false;
    }
    *out = (uint64_t)count;
    return true;
}

static bool read_words(struct cmd *c, uint32_t from, unsigned words, struct page *p)
{
    for (uint32_t i = from; i < c->argc; i++) {
        bool more = i + 1 < c->argc;

        if (more && slice_is_word(c->argv[i], "count")) {
            if (!read_count(c, c->argv[++i], &p->count)) {
                return false;
            }
        } else if (more && slice_is_word(c->argv[i], "match")) {
            p->pattern = c->argv[++i];
            p->any = slice_is(p->pattern, SLICE("*"));
        } else if ((words & PAGE_TYPES) != 0 && more && slice_is_word(c->argv[i], "type")) {
            p->type = c->argv[++i];
        } else if ((words & PAGE_TYPES) != 0 && slice_is_word(c->argv[i], "withtype")) {
            p->with_type = true;
        } else if ((words & PAGE_NOVALUES) != 0 && slice_is_word(c->argv[i], "novalues")) {
            p->names_only = true;
        } else {
            reply_err(c->reply, WIRE_SYNTAX);
            return false;
        }
    }
    return true;
}

bool page_begin(struct cmd *c, uint32_t from, unsigned words, struct page *p)
{
    *p = (struct page){.any = true, .count = 10};
    if (!read_words(c, from, words, p)) {
        return false;
    }
    reply_init(&p->out);
    return true;
}

void page_fini(struct page *p)
{
    reply_fini(&p->out);
}

void page_reply_values(struct cmd *c, const struct page *p)
{
    reply_array(c->reply, p->values);
    if (p->out.failed || buf_append_slice(&c->reply->out, buf_slice(&p->out.out)) != OK) {
        c->reply->failed = true;
    }
}

void page_reply(struct cmd *c, uint64_t cursor, const struct page *p)
{
    char digits[BUF_I64_MAX];

    reply_array(c->reply, 2);
    reply_bulk(c->reply, (struct slice){digits, buf_put_u64(digits, cursor)});
    page_reply_values(c, p);
}

void page_reply_none(struct cmd *c)
{
    reply_array(c->reply, 2);
    reply_bulk(c->reply, SLICE("0"));
    reply_array(c->reply, 0);
}
