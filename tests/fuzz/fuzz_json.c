/* A path, a line end, JSON text. What is read prints to text that reads back to the same bytes; what a path
 * matches lies in the document; what is taken out of it, put into it and merged leaves a sound one. */
#include "base/err.h"
#include "node/json_edit.h"
#include "node/json_path.h"
#include "node/json_text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* Sound: it prints, and reads back the same. */
static void check_value(struct slice value)
{
    struct json_fault fault;
    struct buf text = {0};
    struct buf again = {0};

    must(json_slice(value.ptr).len == value.len);
    must(json_print(value.ptr, NULL, &text) == OK);
    must(json_parse(buf_slice(&text), &again, &fault));
    must(slice_is(value, buf_slice(&again)));
    must(json_depth(value.ptr) <= JSON_DEPTH_MAX);
    buf_fini(&text);
    buf_fini(&again);
}

static void check_edits(const char *doc, const struct json_matches *m, enum json_edit_kind kind)
{
    static const char value[] = {JSON_INT8, 5};
    struct json_edit edits[32];
    struct json_plan plan;
    struct buf now = {0};
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->count && n < 32; i++) {
        const char *v = doc + m->v[i];
        bool fits = kind == JSON_EDIT_SET || (kind == JSON_EDIT_DROP && v != doc) ||
                    (kind == JSON_EDIT_INSERT && json_tag(v) == JSON_ARRAY);

        if (fits) {
            edits[n++] = (struct json_edit){.kind = kind, .at = m->v[i], .count = 1};
            edits[n - 1].value = kind == JSON_EDIT_DROP ? (struct slice){NULL, 0}
                                                        : (struct slice){value, sizeof(value)};
        }
    }
    if (n == 0) {
        return;
    }
    int err = json_plan(doc, edits, n, &plan);

    must(err == OK);
    must(buf_reserve(&now, plan.bytes) == OK);
    json_plan_write(&plan, now.ptr);
    check_value((struct slice){now.ptr, plan.bytes});
    json_plan_fini(&plan);
    buf_fini(&now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    const char *end = size == 0 || size > 4096 ? NULL : memchr(p, '\n', size);
    char fault[JSON_FAULT_BYTES];
    struct json_fault why;
    struct json_matches m = {0};
    struct json_path path;
    struct buf doc = {0};
    struct buf merged = {0};

    if (end == NULL) {
        return 0;
    }
    struct slice text = {end + 1, size - (size_t)(end - p) - 1};
    bool is_path = json_path_parse((struct slice){p, (size_t)(end - p)}, &path, fault);

    if (json_parse(text, &doc, &why)) {
        check_value(buf_slice(&doc));
        must(json_merge(doc.ptr, doc.ptr, &merged) == OK);
        check_value(buf_slice(&merged));
        if (is_path && json_match(&path, path.count, doc.ptr, &m) == OK) {
            json_matches_sort(&m);
            check_edits(doc.ptr, &m, JSON_EDIT_SET);
            check_edits(doc.ptr, &m, JSON_EDIT_DROP);
            check_edits(doc.ptr, &m, JSON_EDIT_INSERT);
        }
        json_matches_fini(&m);
    }
    json_path_fini(&path);
    buf_fini(&doc);
    buf_fini(&merged);
    return 0;
}
