/* json_print.c - values as text. */
#include "base/err.h"
#include "node/json_text.h"
#include "node/slices.h"
#include "proto/number.h"

#include <math.h>

/* The shortest of what has few places: dividing two integers that doubles hold gives what reading the
 * digits would. 0: not that. */
static size_t print_places(double d, char out[JSON_NUMBER_TEXT])
{
    static const double powers[] = {10, 1e2, 1e3, 1e4, 1e5, 1e6};
    size_t n;

    if (!(fabs(d) >= 1e-2 && fabs(d) < 1e9)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(powers) / sizeof(powers[0]); i++) {
        double power = powers[i];
        double whole = rint(d * power);

        if (whole / power != d) {
            continue;
        }
        uint64_t digits = (uint64_t)fabs(whole);
        uint64_t unit = (uint64_t)power;

        out[0] = '-';
        n = d < 0;
        n += buf_put_u64(out + n, digits / unit);
        out[n++] = '.';
        for (digits %= unit; unit > 1; digits %= unit) {
            unit /= 10;
            out[n++] = (char)('0' + digits / unit);
        }
        return n;
    }
    return 0;
}

size_t json_print_number(const char *v, char out[JSON_NUMBER_TEXT])
{
    size_t n;

    if (json_is_int(v)) {
        return buf_put_i64(out, json_int(v));
    }
    if (json_tag(v) == JSON_UINT64) {
        return buf_put_u64(out, json_uint(v));
    }
    n = print_places(json_double(v), out);
    if (n > 0) {
        return n;
    }
    n = number_print_double(out, json_double(v));
    if (memchr(out, '.', n) == NULL && memchr(out, 'e', n) == NULL) {
        out[n++] = '.';
        out[n++] = '0';
    }
    return n;
}

static int print_escape(unsigned char c, struct buf *out)
{
    static const char special[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *found = c == '\0' ? NULL : strchr(special, c);

    if (found == NULL) {
        return buf_printf(out, "\\u%04x", c);
    }
    char two[2] = {'\\', letters[found - special]};

    return buf_append(out, two, 2);
}

int json_print_string(struct slice s, struct buf *out)
{
    size_t plain = 0;
    int err = buf_reserve(out, s.len + 2);

    if (err != OK) {
        return err;
    }
    buf_append_char_nofail(out, '"');
    for (size_t i = 0; i < s.len && err == OK; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (UNLIKELY(c < 0x20 || c == '"' || c == '\\')) {
            err = buf_append(out, s.ptr + plain, i - plain);
            err = err == OK ? print_escape(c, out) : err;
            plain = i + 1;
        }
    }
    err = err == OK ? buf_append(out, s.ptr + plain, s.len - plain) : err;
    return err == OK ? buf_append_char(out, '"') : err;
}

static int print_plain(const char *v, struct buf *out)
{
    char digits[JSON_NUMBER_TEXT];

    switch (json_tag(v)) {
    case JSON_NULL:
        return buf_append(out, "null", 4);
    case JSON_FALSE:
        return buf_append(out, "false", 5);
    case JSON_TRUE:
        return buf_append(out, "true", 4);
    case JSON_STRING:
        return json_print_string(json_string(v), out);
    case JSON_INT8:
    case JSON_INT32:
    case JSON_INT64:
    case JSON_UINT64:
    case JSON_DOUBLE:
        return buf_append(out, digits, json_print_number(v, digits));
    case JSON_ARRAY:
        return buf_append(out, "[]", 2);
    case JSON_OBJECT:
        return buf_append(out, "{}", 2);
    }
    return OK;
}

static int print_break(const struct json_style *style, unsigned depth, struct buf *out)
{
    int err = style == NULL ? OK : buf_append_slice(out, style->newline);

    for (unsigned i = 0; style != NULL && err == OK && i < depth; i++) {
        err = buf_append_slice(out, style->indent);
    }
    return err;
}

/* What stands before a value: a comma, a new line, its name. */
static int print_before(const struct json_style *style, bool is_first, unsigned depth,
                        const struct json_child *child, struct buf *out)
{
    int err = is_first ? OK : buf_append_char(out, ',');

    err = err == OK ? print_break(style, depth, out) : err;
    if (err != OK || child->begins == child->value) {
        return err;
    }
    err = json_print_string(child->name, out);
    err = err == OK ? buf_append_char(out, ':') : err;
    return err == OK && style != NULL ? buf_append_slice(out, style->space) : err;
}

static bool has_inside(const char *v)
{
    return json_is_container(v) && json_count(v) > 0;
}

int json_print(const char *v, const struct json_style *style, struct buf *out)
{
    struct json_walk stack[JSON_DEPTH_MAX + 2]; /* what GET wraps a document in */
    size_t begin = out->len;
    unsigned depth = 0;
    int err = OK;

    for (;;) {
        struct json_child child;

        if (!slices_tick(2)) {
            return ERR_NOMEM; /* given up */
        }
        if (has_inside(v)) {
            assert(depth < JSON_DEPTH_MAX + 2);
            json_walk_begin(v, &stack[depth++]);
            err = buf_append_char(out, json_tag(v) == JSON_OBJECT ? '{' : '[');
            (void)json_walk_next(&stack[depth - 1], &child);
            err = err == OK ? print_before(style, true, depth, &child, out) : err;
        } else {
            err = print_plain(v, out);
            while (err == OK && depth > 0 && !json_walk_next(&stack[depth - 1], &child)) {
                depth--;
                err = print_break(style, depth, out);
                err = err == OK ? buf_append_char(out, stack[depth].named ? '}' : ']') : err;
            }
            if (err != OK || depth == 0) {
                return err;
            }
            err = print_before(style, false, depth, &child, out);
        }
        if (err == OK && out->len - begin > JSON_TEXT_MAX) {
            err = ERR_LIMIT;
        }
        if (err != OK) {
            return err;
        }
        v = child.value;
    }
}
