/* Documents with changes at many places, against another implementation that makes them one by one. */
#include "node/json_edit.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rand.h"
#include "node/json_path.h"
#include "node/json_text.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/json_oracle.h"

#include <stdio.h>
#include <stdlib.h>

static struct slice read_value(const char *text, struct buf *out)
{
    struct json_fault fault;
    size_t at = out->len;

    CU_ASSERT_FATAL(json_parse(slice_of(text), out, &fault));
    return (struct slice){out->ptr + at, out->len - at};
}

/* The offsets of all values but the root. */
static void all_places(const char *doc, struct json_matches *out)
{
    char fault[JSON_FAULT_BYTES];
    struct json_path path;

    CU_ASSERT_FATAL(json_path_parse(SLICE("$..*"), &path, fault));
    CU_ASSERT_EQUAL_FATAL(json_match(&path, path.count, doc, out), OK);
    json_matches_sort(out);
    json_path_fini(&path);
}

static const char *const texts[] = {"7", "\"longer than it was\"", "[]", "{\"x\":[1]}", "null"};

/* An edit at the value, by chance; false: none fits. */
static bool some_edit(struct rand *r, const char *doc, uint32_t at, const struct slice *values,
                      struct json_edit *e)
{
    const char *v = doc + at;
    size_t which = rand_below(r, 5);

    *e = (struct json_edit){.at = at, .value = values[which], .text = slice_of(texts[which])};
    switch (rand_below(r, 4)) {
    case 0:
        e->kind = JSON_EDIT_SET;
        return true;
    case 1:
        *e = (struct json_edit){.kind = JSON_EDIT_DROP, .at = at, .count = 1};
        return true;
    case 2:
        if (json_tag(v) != JSON_ARRAY || json_count(v) == 0) {
            return false;
        }
        e->kind = JSON_EDIT_REMOVE;
        e->index = (uint32_t)rand_below(r, json_count(v));
        e->count = 1 + (uint32_t)rand_below(r, json_count(v) - e->index);
        e->value = e->text = (struct slice){NULL, 0};
        return true;
    default:
        if (!json_is_container(v)) {
            return false;
        }
        e->kind = json_tag(v) == JSON_ARRAY ? JSON_EDIT_INSERT : JSON_EDIT_ADD;
        e->index = (uint32_t)rand_below(r, (uint64_t)json_count(v) + 1);
        e->index = e->kind == JSON_EDIT_INSERT ? e->index : 0;
        e->count = 1;
        e->name = SLICE("new/~name");
        return true;
    }
}

/* Several, none in a value that another drops, sets, or takes elements from. */
static uint32_t some_edits(struct rand *r, const char *doc, const struct slice *values,
                           struct json_edit *out, uint32_t most)
{
    struct json_matches m = {0};
    uint32_t n = 0;
    uint32_t end = 0;

    all_places(doc, &m);
    for (uint32_t i = 0; i < m.count && n < most; i++) {
        if (m.v[i] < end || rand_below(r, 4) != 0 || !some_edit(r, doc, m.v[i], values, &out[n])) {
            continue;
        }
        /* The model goes backwards: what comes in at 0 is told after all that its array holds. */
        if (out[n].kind != JSON_EDIT_ADD && (out[n].kind != JSON_EDIT_INSERT || out[n].index > 0)) {
            end = (uint32_t)(json_end(doc + m.v[i]) - doc);
        }
        n++;
    }
    json_matches_fini(&m);
    return n;
}

static bool tell(struct oracle *o, const struct json_edit *e)
{
    char array[64];

    switch (e->kind) {
    case JSON_EDIT_SET:
    case JSON_EDIT_ADD:
        return oracle_set(o, e->pointer, e->text);
    case JSON_EDIT_DROP:
    case JSON_EDIT_REMOVE:
        return oracle_remove(o, e->pointer, e->count);
    case JSON_EDIT_INSERT:
        (void)snprintf(array, sizeof(array), "[%.*s]", (int)e->text.len, e->text.ptr);
        return oracle_insert(o, e->pointer, slice_of(array));
    }
    return false;
}

/* Pointers lead back to where they came from. */
static bool leads_back(const char *doc, const struct json_edit *e)
{
    struct json_place p;
    bool fine = json_pointer_find(doc, e->pointer, &p) == OK;

    if (fine && (e->kind == JSON_EDIT_SET || e->kind == JSON_EDIT_DROP)) {
        fine = p.value == doc + e->at;
    } else if (fine) {
        fine = p.parent == doc + e->at &&
               (e->kind == JSON_EDIT_ADD ? p.value == NULL : p.index == e->index);
    }
    buf_fini(&p.room);
    return fine;
}

static void edit_once(struct rand *r, const struct slice *values)
{
    struct json_edit edits[JSON_POINTERS_MAX];
    char *made = oracle_text(r, 5 + (unsigned)rand_below(r, 60));
    struct oracle *o = oracle_open(slice_of(made));
    struct buf doc = {0};
    struct buf now = {0};
    struct buf text = {0};
    struct json_plan plan;

    (void)read_value(made, &doc);
    uint32_t n = some_edits(r, doc.ptr, values, edits, JSON_POINTERS_MAX);

    if (n > 0) {
        CU_ASSERT_EQUAL_FATAL(json_plan(doc.ptr, edits, n, &plan), OK);
        CU_ASSERT_EQUAL(buf_reserve(&now, plan.bytes), OK);
        json_plan_write(&plan, now.ptr);
        CU_ASSERT_EQUAL(json_slice(now.ptr).len, plan.bytes);
        /* The last first, so that pointers are still those of before; what is added comes after what its
         * place holds is done. */
        for (uint32_t i = n; i-- > 0;) {
            CU_ASSERT(leads_back(doc.ptr, &edits[i]));
            CU_ASSERT(tell(o, &edits[i]));
        }
        CU_ASSERT_EQUAL(json_print(now.ptr, NULL, &text), OK);
        if (!oracle_is(o, buf_slice(&text))) {
            printf("%s\n becomes %.*s\n", made, (int)text.len, text.ptr);
            CU_FAIL("another document");
        }
        json_plan_fini(&plan);
    }
    buf_fini(&doc);
    buf_fini(&now);
    buf_fini(&text);
    oracle_close(o);
    free(made);
}

static void edits_follow_the_model(void)
{
    struct rand r = {unit_seed()};
    struct buf room = {0};
    struct slice values[5];
    size_t at = 0;

    for (int i = 0; i < 5; i++) {
        (void)read_value(texts[i], &room);
    }
    for (int i = 0; i < 5; i++) {
        values[i] = json_slice(room.ptr + at);
        at += values[i].len;
    }
    for (int i = 0; i < 2000; i++) {
        edit_once(&r, values);
    }
    buf_fini(&room);
}

static void plan_row(const char *before, const char *path, const struct json_edit *like,
                     const char *after)
{
    struct json_edit edits[16];
    char fault[JSON_FAULT_BYTES];
    struct json_matches m;
    struct json_path p;
    struct json_plan plan;
    struct buf doc = {0};
    struct buf now = {0};
    struct buf text = {0};

    (void)read_value(before, &doc);
    CU_ASSERT_FATAL(json_path_parse(slice_of(path), &p, fault));
    CU_ASSERT_EQUAL(json_match(&p, p.count, doc.ptr, &m), OK);
    json_matches_sort(&m);
    for (uint32_t i = 0; i < m.count; i++) {
        edits[i] = *like;
        edits[i].at = m.v[i];
    }
    CU_ASSERT_EQUAL(json_plan(doc.ptr, edits, m.count, &plan), OK);
    CU_ASSERT_EQUAL(buf_reserve(&now, plan.bytes), OK);
    json_plan_write(&plan, now.ptr);
    CU_ASSERT_EQUAL(json_print(now.ptr, NULL, &text), OK);
    CU_ASSERT(slice_is(buf_slice(&text), slice_of(after)));
    json_plan_fini(&plan);
    json_path_fini(&p);
    json_matches_fini(&m);
    buf_fini(&doc);
    buf_fini(&now);
    buf_fini(&text);
}

/* What lies in what goes is passed over, also at its end, where both end. */
static void the_outer_of_two_wins(void)
{
    static const char seven[] = {JSON_INT8, 7};
    struct json_edit set = {.kind = JSON_EDIT_SET, .value = {seven, 2}};
    struct json_edit drop = {.kind = JSON_EDIT_DROP};
    struct json_edit insert = {.kind = JSON_EDIT_INSERT, .count = 1, .value = {seven, 2}};
    struct json_edit cut = {.kind = JSON_EDIT_REMOVE, .index = 1, .count = 1};

    plan_row("{\"a\":{\"a\":1},\"b\":[{\"a\":2}]}", "$..a", &set, "{\"a\":7,\"b\":[{\"a\":7}]}");
    plan_row("{\"a\":{\"a\":1},\"b\":[{\"a\":2}]}", "$..a", &drop, "{\"b\":[{}]}");
    plan_row("[[1,[2]],[3]]", "$..[?(@[0])]", &insert, "[[7,1,[7,2]],[7,3]]");
    plan_row("[[1,[2,3]]]", "$..[?(@[0])]", &cut, "[[1]]");
    plan_row("[1,[2],3]", "$", &set, "7");
}

static void merge_row(const char *target, const char *patch, const char *want)
{
    struct buf room = {0};
    struct buf doc = {0};
    struct buf now = {0};
    struct buf text = {0};

    (void)read_value(patch, &room);
    if (target != NULL) {
        (void)read_value(target, &doc);
    }
    CU_ASSERT_EQUAL(json_merge(target == NULL ? NULL : doc.ptr, room.ptr, &now), OK);
    CU_ASSERT_EQUAL(json_print(now.ptr, NULL, &text), OK);
    CU_ASSERT(slice_is(buf_slice(&text), slice_of(want)));
    buf_fini(&room);
    buf_fini(&doc);
    buf_fini(&now);
    buf_fini(&text);
}

/* RFC 7396, appendix A. */
static void merges_as_the_standard_says(void)
{
    static const char *const rows[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {NULL, "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        merge_row(rows[i][0], rows[i][1], rows[i][2]);
    }
}

/* So many names that they are looked up by hash. */
static void merges_many_names(void)
{
    struct buf doc = {0};
    struct buf patch = {0};
    struct buf want = {0};

    for (int i = 0; i < 3000; i++) {
        CU_ASSERT_EQUAL(buf_printf(&doc, "%c\"k%d\":%d", i == 0 ? '{' : ',', i, i), OK);
        CU_ASSERT_EQUAL(buf_printf(&patch, i % 2 == 0 ? "%c\"k%d\":null" : "%c\"k%d\":\"x\"",
                                   i == 0 ? '{' : ',', i),
                        OK);
        if (i % 2 == 1) {
            CU_ASSERT_EQUAL(buf_printf(&want, "%c\"k%d\":\"x\"", i == 1 ? '{' : ',', i), OK);
        }
    }
    CU_ASSERT_EQUAL(
        buf_append(&doc, "}", 2) | buf_append(&patch, "}", 2) | buf_append(&want, "}", 2), OK);
    merge_row(doc.ptr, patch.ptr, want.ptr);
    buf_fini(&doc);
    buf_fini(&patch);
    buf_fini(&want);
}

static void pointers_that_lead_nowhere(void)
{
    static const char *const rows[] = {"x",     "/a/b", "/a~",   "/a~2", "/l/3",
                                       "/l/-1", "/l/x", "/l/0/", "/n/n", "/l/99999999999999999999"};
    struct buf doc = {0};

    (void)read_value("{\"a\":1,\"l\":[1,2]}", &doc);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_place p;

        CU_ASSERT_EQUAL(json_pointer_find(doc.ptr, slice_of(rows[i]), &p), ERR_CORRUPT);
        buf_fini(&p.room);
    }
    buf_fini(&doc);
}

static void no_value_grows_too_deep(void)
{
    char path[3 * 130] = "$";
    char text[300];
    char fault[JSON_FAULT_BYTES];
    struct json_matches m;
    struct json_path p;
    struct json_plan plan;
    struct buf doc = {0};
    struct buf more = {0};

    memset(text, '[', 127);
    memset(text + 127, ']', 127);
    text[254] = '\0';
    for (int i = 0; i < 126; i++) {
        (void)strcat(path, "[0]");
    }
    (void)read_value(text, &doc);
    CU_ASSERT_FATAL(json_path_parse(slice_of(path), &p, fault));
    CU_ASSERT_EQUAL(json_match(&p, p.count, doc.ptr, &m), OK);
    CU_ASSERT_EQUAL_FATAL(m.count, 1);
    for (int i = 0; i < 2; i++) {
        struct json_edit e = {.kind = JSON_EDIT_INSERT, .at = m.v[0], .count = 1};

        buf_clear(&more);
        e.value = read_value(i == 0 ? "[]" : "[[]]", &more);
        CU_ASSERT_EQUAL(json_plan(doc.ptr, &e, 1, &plan), i == 0 ? OK : ERR_INVALID);
        json_plan_fini(&plan);
    }
    json_path_fini(&p);
    json_matches_fini(&m);
    buf_fini(&doc);
    buf_fini(&more);
}

const struct unit_test test_json_edit[] = {
    UNIT(edits_follow_the_model),
    UNIT(the_outer_of_two_wins),
    UNIT(merges_as_the_standard_says),
    UNIT(merges_many_names),
    UNIT(pointers_that_lead_nowhere),
    UNIT(no_value_grows_too_deep),
    UNIT_END,
};
