#include "proto/change.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/rand.h"
#include "proto/change.pb-c.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>

#define OPS_MAX    6
#define FIELDS_MAX 5
/* Over the borders of one-, two- and three-byte lengths. */
#define BYTES_MAX  40000

/* A Change twice: by the writer, and as protobuf-c's structs. */
static struct rand chance;
static char noise[BYTES_MAX];
static Godwit__Op ops[OPS_MAX];
static Godwit__Op *op_ptrs[OPS_MAX];
static Godwit__PutString put_strings[OPS_MAX];
static Godwit__PutRange put_ranges[OPS_MAX];
static Godwit__PutFields put_fields[OPS_MAX];
static Godwit__DeleteFields delete_fields[OPS_MAX];
static Godwit__ExpireFields expire_fields[OPS_MAX];
static Godwit__PutMembers put_members[OPS_MAX];
static Godwit__DeleteMembers delete_members[OPS_MAX];
static Godwit__ExpireAt expire_ats[OPS_MAX];
static Godwit__Delete deletes[OPS_MAX];
static Godwit__Flush flushes[OPS_MAX];
static Godwit__PushValues pushes[OPS_MAX];
static Godwit__RemoveRanges remove_ranges[OPS_MAX];
static Godwit__SetElement set_elements[OPS_MAX];
static Godwit__InsertElement insert_elements[OPS_MAX];
static Godwit__Range ranges[OPS_MAX][FIELDS_MAX];
static Godwit__Range *range_ptrs[OPS_MAX][FIELDS_MAX];
static Godwit__PutScores put_scores[OPS_MAX];
static Godwit__Score scores[OPS_MAX][FIELDS_MAX];
static Godwit__Score *score_ptrs[OPS_MAX][FIELDS_MAX];
static Godwit__PutJson put_jsons[OPS_MAX];
static Godwit__PatchJson patch_jsons[OPS_MAX];
static Godwit__JsonPatch patches[OPS_MAX][FIELDS_MAX];
static Godwit__JsonPatch *patch_ptrs[OPS_MAX][FIELDS_MAX];
static Godwit__PutLibrary put_libraries[OPS_MAX];
static Godwit__DeleteLibrary delete_libraries[OPS_MAX];
static Godwit__FlushLibraries flush_libraries[OPS_MAX];
static Godwit__Function functions[OPS_MAX][FIELDS_MAX];
static Godwit__Function *function_ptrs[OPS_MAX][FIELDS_MAX];
static Godwit__Field fields[OPS_MAX][FIELDS_MAX];
static Godwit__Field *field_ptrs[OPS_MAX][FIELDS_MAX];
static ProtobufCBinaryData names[OPS_MAX][FIELDS_MAX];
/* What the writer answered; the first failure ends a run. */
static int failed;

static void also(int err)
{
    failed = failed == OK ? err : failed;
}

static struct slice some_bytes(void)
{
    static const size_t up_to[] = {1, 16, 130, 300, 16500, BYTES_MAX};
    size_t len = rand_below(&chance, up_to[rand_below(&chance, 6)]);

    return (struct slice){noise + rand_below(&chance, BYTES_MAX - len), len};
}

static int64_t some_time(void)
{
    return rand_below(&chance, 2) == 0 ? 0 : (int64_t)(rand_next(&chance) >> 1);
}

static ProtobufCBinaryData data_of(struct slice s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.ptr};
}

static void add_put_string(struct change_writer *w, int i, struct slice key)
{
    struct slice value = some_bytes();
    int64_t at = some_time();

    godwit__put_string__init(&put_strings[i]);
    put_strings[i].has_expire_at_ms = at != 0;
    put_strings[i].expire_at_ms = at;
    put_strings[i].value = data_of(value);
    ops[i].kind_case = GODWIT__OP__KIND_PUT_STRING;
    ops[i].put_string = &put_strings[i];
    also(change_put_string(w, key, value, at));
}

static void add_put_range(struct change_writer *w, int i, struct slice key)
{
    struct slice bytes = some_bytes();
    uint64_t offset = rand_next(&chance) >> rand_below(&chance, 64);

    godwit__put_range__init(&put_ranges[i]);
    put_ranges[i].offset = offset;
    put_ranges[i].bytes = data_of(bytes);
    ops[i].kind_case = GODWIT__OP__KIND_PUT_RANGE;
    ops[i].put_range = &put_ranges[i];
    also(change_put_range(w, key, offset, bytes));
}

static void add_put_fields(struct change_writer *w, int i, struct slice key)
{
    bool replace = rand_below(&chance, 2) == 0;
    int64_t at = replace ? some_time() : 0;
    size_t n = rand_below(&chance, FIELDS_MAX + 1);

    godwit__put_fields__init(&put_fields[i]);
    put_fields[i].has_replace = put_fields[i].replace = replace;
    put_fields[i].has_expire_at_ms = at != 0;
    put_fields[i].expire_at_ms = at;
    put_fields[i].n_fields = n;
    put_fields[i].fields = field_ptrs[i];
    ops[i].kind_case = GODWIT__OP__KIND_PUT_FIELDS;
    ops[i].put_fields = &put_fields[i];
    if (n == 1 && !replace) {
        Godwit__Field *f = field_ptrs[i][0] = &fields[i][0];
        struct slice name = some_bytes(), value = some_bytes();

        godwit__field__init(f);
        f->name = data_of(name);
        f->value = data_of(value);
        also(change_put_field(w, key, name, value));
        return;
    }
    also(change_put_fields_begin(w, key, replace, at));
    for (size_t j = 0; j < n; j++) {
        Godwit__Field *f = field_ptrs[i][j] = &fields[i][j];
        struct slice name = some_bytes(), value = some_bytes();

        at = some_time();
        godwit__field__init(f);
        f->name = data_of(name);
        f->value = data_of(value);
        f->has_expire_at_ms = at != 0;
        f->expire_at_ms = at;
        if (failed == OK) {
            also(change_field(w, name, value, at));
        }
    }
    if (failed == OK) {
        change_put_fields_end(w);
    }
}

static void add_delete_fields(struct change_writer *w, int i, struct slice key)
{
    size_t n = rand_below(&chance, FIELDS_MAX + 1);

    godwit__delete_fields__init(&delete_fields[i]);
    delete_fields[i].n_names = n;
    delete_fields[i].names = names[i];
    ops[i].kind_case = GODWIT__OP__KIND_DELETE_FIELDS;
    ops[i].delete_fields = &delete_fields[i];
    also(change_delete_fields_begin(w, key));
    for (size_t j = 0; j < n && failed == OK; j++) {
        struct slice name = some_bytes();

        names[i][j] = data_of(name);
        also(change_delete_fields_name(w, name));
    }
    if (failed == OK) {
        change_delete_fields_end(w);
    }
}

static void add_expire_fields(struct change_writer *w, int i, struct slice key)
{
    size_t n = rand_below(&chance, FIELDS_MAX + 1);
    int64_t at = some_time();

    godwit__expire_fields__init(&expire_fields[i]);
    expire_fields[i].at_ms = at;
    expire_fields[i].n_names = n;
    expire_fields[i].names = names[i];
    ops[i].kind_case = GODWIT__OP__KIND_EXPIRE_FIELDS;
    ops[i].expire_fields = &expire_fields[i];
    also(change_expire_fields_begin(w, key, at));
    for (size_t j = 0; j < n && failed == OK; j++) {
        struct slice name = some_bytes();

        names[i][j] = data_of(name);
        also(change_expire_fields_name(w, name));
    }
    if (failed == OK) {
        change_expire_fields_end(w);
    }
}

static void add_put_members(struct change_writer *w, int i, struct slice key)
{
    size_t n = rand_below(&chance, FIELDS_MAX + 1);
    bool replace = rand_below(&chance, 2) == 0;
    int64_t at = replace ? some_time() : 0;

    godwit__put_members__init(&put_members[i]);
    put_members[i].has_replace = put_members[i].replace = replace;
    put_members[i].has_expire_at_ms = at != 0;
    put_members[i].expire_at_ms = at;
    put_members[i].n_members = n;
    put_members[i].members = names[i];
    ops[i].kind_case = GODWIT__OP__KIND_PUT_MEMBERS;
    ops[i].put_members = &put_members[i];
    also(change_put_members_begin(w, key, replace, at));
    for (size_t j = 0; j < n && failed == OK; j++) {
        struct slice member = some_bytes();

        names[i][j] = data_of(member);
        also(change_member(w, member));
    }
    if (failed == OK) {
        change_put_members_end(w);
    }
}

static void add_delete_members(struct change_writer *w, int i, struct slice key)
{
    size_t n = rand_below(&chance, FIELDS_MAX + 1);

    godwit__delete_members__init(&delete_members[i]);
    delete_members[i].n_members = n;
    delete_members[i].members = names[i];
    ops[i].kind_case = GODWIT__OP__KIND_DELETE_MEMBERS;
    ops[i].delete_members = &delete_members[i];
    also(change_delete_members_begin(w, key));
    for (size_t j = 0; j < n && failed == OK; j++) {
        struct slice member = some_bytes();

        names[i][j] = data_of(member);
        also(change_delete_members_member(w, member));
    }
    if (failed == OK) {
        change_delete_members_end(w);
    }
}

static void add_put_scores(struct change_writer *w, int i, struct slice key)
{
    bool replace = rand_below(&chance, 2) == 0;
    int64_t at = replace ? some_time() : 0;
    size_t n = rand_below(&chance, FIELDS_MAX + 1);

    godwit__put_scores__init(&put_scores[i]);
    put_scores[i].has_replace = put_scores[i].replace = replace;
    put_scores[i].has_expire_at_ms = at != 0;
    put_scores[i].expire_at_ms = at;
    put_scores[i].n_scores = n;
    put_scores[i].scores = score_ptrs[i];
    ops[i].kind_case = GODWIT__OP__KIND_PUT_SCORES;
    ops[i].put_scores = &put_scores[i];
    also(change_put_scores_begin(w, key, replace, at));
    for (size_t j = 0; j < n; j++) {
        Godwit__Score *s = score_ptrs[i][j] = &scores[i][j];
        struct slice member = some_bytes();

        godwit__score__init(s);
        s->member = data_of(member);
        s->score = (double)(int64_t)rand_next(&chance) / 1024;
        if (failed == OK) {
            also(change_score(w, member, s->score));
        }
    }
    if (failed == OK) {
        change_put_scores_end(w);
    }
}

static void add_put_json(struct change_writer *w, int i, struct slice key)
{
    bool replace = rand_below(&chance, 2) == 0;
    int64_t at = replace ? some_time() : 0;
    struct slice json = some_bytes();

    godwit__put_json__init(&put_jsons[i]);
    put_jsons[i].has_replace = put_jsons[i].replace = replace;
    put_jsons[i].has_expire_at_ms = at != 0;
    put_jsons[i].expire_at_ms = at;
    put_jsons[i].number = 1 + (uint32_t)rand_below(&chance, UINT32_MAX);
    put_jsons[i].json = data_of(json);
    ops[i].kind_case = GODWIT__OP__KIND_PUT_JSON;
    ops[i].put_json = &put_jsons[i];
    also(change_put_json(w, key, replace, at, put_jsons[i].number, json));
}

static void add_patch_json(struct change_writer *w, int i, struct slice key)
{
    size_t n = 1 + rand_below(&chance, FIELDS_MAX);

    godwit__patch_json__init(&patch_jsons[i]);
    patch_jsons[i].number = 1 + (uint32_t)rand_below(&chance, 1000);
    patch_jsons[i].n_patches = n;
    patch_jsons[i].patches = patch_ptrs[i];
    ops[i].kind_case = GODWIT__OP__KIND_PATCH_JSON;
    ops[i].patch_json = &patch_jsons[i];
    also(change_patch_json_begin(w, key, patch_jsons[i].number));
    for (size_t j = 0; j < n; j++) {
        Godwit__JsonPatch *p = patch_ptrs[i][j] = &patches[i][j];
        struct slice pointer = some_bytes();
        struct slice json = some_bytes();

        godwit__json_patch__init(p);
        p->kind = (Godwit__JsonPatch__Kind)rand_below(&chance, 5);
        p->pointer = data_of(pointer);
        p->has_count = p->kind == GODWIT__JSON_PATCH__KIND__REMOVE;
        p->count = p->has_count ? 1 + (uint32_t)rand_below(&chance, UINT32_MAX) : 0;
        p->has_json = !p->has_count;
        p->json = data_of(json);
        if (failed == OK) {
            also(change_json_patch(w, (enum change_json_kind)p->kind, pointer, p->count, json));
        }
    }
    if (failed == OK) {
        change_patch_json_end(w);
    }
}

static void add_short(struct change_writer *w, int i, struct slice key, uint64_t kind)
{
    int64_t at = some_time();
    uint64_t reason = rand_below(&chance, 3);

    switch (kind) {
    case 0:
        godwit__expire_at__init(&expire_ats[i]);
        expire_ats[i].at_ms = at;
        ops[i].kind_case = GODWIT__OP__KIND_EXPIRE_AT;
        ops[i].expire_at = &expire_ats[i];
        also(change_expire_at(w, key, at));
        break;
    case 1:
        godwit__delete__init(&deletes[i]);
        deletes[i].reason = (Godwit__Delete__Reason)reason;
        ops[i].kind_case = GODWIT__OP__KIND_DELETE;
        ops[i].delete_ = &deletes[i];
        also(change_delete(w, key, (enum change_reason)reason));
        break;
    default:
        godwit__flush__init(&flushes[i]);
        ops[i].key.len = 0;
        ops[i].kind_case = GODWIT__OP__KIND_FLUSH;
        ops[i].flush = &flushes[i];
        also(change_flush(w));
        break;
    }
}

static uint32_t some_number(void)
{
    return 1 + (uint32_t)(rand_next(&chance) >> (33 + rand_below(&chance, 31)));
}

static void add_push(struct change_writer *w, int i, struct slice key)
{
    Godwit__PushValues *m = &pushes[i];
    bool replace = rand_below(&chance, 2) == 0;
    bool head = rand_below(&chance, 2) == 0;
    int64_t at = replace ? some_time() : 0;

    godwit__push_values__init(m);
    m->has_replace = m->replace = replace;
    m->has_expire_at_ms = at != 0;
    m->expire_at_ms = at;
    m->has_head = m->head = head;
    m->number = some_number() - (replace ? 0 : 1);
    m->n_values = 1 + rand_below(&chance, FIELDS_MAX);
    m->values = names[i];
    ops[i].kind_case = GODWIT__OP__KIND_PUSH_VALUES;
    ops[i].push_values = m;
    if (!replace && m->n_values == 1) {
        struct slice value = some_bytes();

        names[i][0] = data_of(value);
        also(change_push_one(w, key, head, m->number, value));
        return;
    }
    also(change_push_begin(w, key, replace, at, head, m->number));
    for (size_t j = 0; j < m->n_values && failed == OK; j++) {
        struct slice value = some_bytes();

        names[i][j] = data_of(value);
        also(change_push_value(w, value));
    }
    if (failed == OK) {
        change_push_end(w);
    }
}

static void add_remove_ranges(struct change_writer *w, int i, struct slice key)
{
    Godwit__RemoveRanges *m = &remove_ranges[i];
    uint64_t at = 0;

    godwit__remove_ranges__init(m);
    m->number = some_number();
    m->n_ranges = 1 + rand_below(&chance, FIELDS_MAX);
    m->ranges = range_ptrs[i];
    ops[i].kind_case = GODWIT__OP__KIND_REMOVE_RANGES;
    ops[i].remove_ranges = m;
    if (m->n_ranges == 1) {
        Godwit__Range *r = range_ptrs[i][0] = &ranges[i][0];

        godwit__range__init(r);
        r->index = rand_next(&chance) >> (8 + rand_below(&chance, 56));
        r->count = 1 + (rand_next(&chance) >> (8 + rand_below(&chance, 56)));
        also(change_remove_range(w, key, m->number, r->index, r->count));
        return;
    }
    also(change_remove_ranges_begin(w, key, m->number));
    for (size_t j = 0; j < m->n_ranges && failed == OK; j++) {
        Godwit__Range *r = range_ptrs[i][j] = &ranges[i][j];

        godwit__range__init(r);
        r->index = at + (rand_next(&chance) >> (8 + rand_below(&chance, 56)));
        r->count = 1 + (rand_next(&chance) >> (8 + rand_below(&chance, 56)));
        at = r->index + r->count;
        also(change_remove_ranges_add(w, r->index, r->count));
    }
    if (failed == OK) {
        change_remove_ranges_end(w);
    }
}

static void add_list(struct change_writer *w, int i, struct slice key, uint64_t kind)
{
    struct slice value = some_bytes();
    uint64_t index = rand_next(&chance) >> (1 + rand_below(&chance, 63));
    uint32_t number = some_number();

    switch (kind) {
    case 0:
        add_push(w, i, key);
        break;
    case 1:
        add_remove_ranges(w, i, key);
        break;
    case 2:
        godwit__set_element__init(&set_elements[i]);
        set_elements[i].index = index;
        set_elements[i].value = data_of(value);
        set_elements[i].number = number;
        ops[i].kind_case = GODWIT__OP__KIND_SET_ELEMENT;
        ops[i].set_element = &set_elements[i];
        also(change_set_element(w, key, index, value, number));
        break;
    default:
        godwit__insert_element__init(&insert_elements[i]);
        insert_elements[i].index = index;
        insert_elements[i].value = data_of(value);
        insert_elements[i].number = number;
        ops[i].kind_case = GODWIT__OP__KIND_INSERT_ELEMENT;
        ops[i].insert_element = &insert_elements[i];
        also(change_insert_element(w, key, index, value, number));
        break;
    }
}

static void add_put_library(struct change_writer *w, int i, struct slice key)
{
    size_t n = rand_below(&chance, FIELDS_MAX + 1);
    struct slice code = some_bytes();

    godwit__put_library__init(&put_libraries[i]);
    put_libraries[i].code = data_of(code);
    put_libraries[i].n_functions = n;
    put_libraries[i].functions = function_ptrs[i];
    ops[i].kind_case = GODWIT__OP__KIND_PUT_LIBRARY;
    ops[i].put_library = &put_libraries[i];
    also(change_put_library_begin(w, key, code));
    for (size_t j = 0; j < n && failed == OK; j++) {
        Godwit__Function *f = function_ptrs[i][j] = &functions[i][j];
        struct slice name = some_bytes();
        struct slice description = some_bytes();

        godwit__function__init(f);
        f->name = data_of(name);
        f->has_description = rand_below(&chance, 2) == 0;
        f->description = data_of(description);
        f->flags = (uint32_t)rand_below(&chance, 64);
        if (!f->has_description) {
            description.ptr = NULL;
            description.len = 0;
        }
        also(change_put_library_function(w, name, description, f->flags));
    }
    if (failed == OK) {
        change_put_library_end(w);
    }
}

static void add_library(struct change_writer *w, int i, struct slice key, uint64_t kind)
{
    if (kind == 0) {
        add_put_library(w, i, key);
    } else if (kind == 1) {
        godwit__delete_library__init(&delete_libraries[i]);
        ops[i].kind_case = GODWIT__OP__KIND_DELETE_LIBRARY;
        ops[i].delete_library = &delete_libraries[i];
        also(change_delete_library(w, key));
    } else {
        godwit__flush_libraries__init(&flush_libraries[i]);
        ops[i].key = data_of((struct slice){NULL, 0});
        ops[i].kind_case = GODWIT__OP__KIND_FLUSH_LIBRARIES;
        ops[i].flush_libraries = &flush_libraries[i];
        also(change_flush_libraries(w));
    }
}

static void add_op(struct change_writer *w, int i)
{
    struct slice key = some_bytes();
    uint64_t kind = rand_below(&chance, 20);

    godwit__op__init(&ops[i]);
    op_ptrs[i] = &ops[i];
    ops[i].key = data_of(key);
    switch (kind) {
    case 0:
        add_put_string(w, i, key);
        break;
    case 1:
        add_put_range(w, i, key);
        break;
    case 2:
        add_put_fields(w, i, key);
        break;
    case 3:
        add_delete_fields(w, i, key);
        break;
    case 4:
        add_expire_fields(w, i, key);
        break;
    case 12:
        add_put_members(w, i, key);
        break;
    case 13:
        add_delete_members(w, i, key);
        break;
    case 14:
        add_put_scores(w, i, key);
        break;
    case 15:
    case 16:
    case 17:
        add_library(w, i, key, kind - 15);
        break;
    case 18:
        add_put_json(w, i, key);
        break;
    case 19:
        add_patch_json(w, i, key);
        break;
    case 5:
    case 6:
    case 7:
        add_short(w, i, key, kind - 5);
        break;
    default:
        add_list(w, i, key, kind - 8);
        break;
    }
}

/* Writes a random Change behind what is in out and describes it in *c. */
static int make_change(struct change_writer *w, struct buf *out, Godwit__Change *c)
{
    size_t n = rand_below(&chance, OPS_MAX + 1);

    failed = OK;
    godwit__change__init(c);
    c->database = (uint32_t)rand_next(&chance);
    also(change_begin(w, out, c->database));
    if (failed == OK && rand_below(&chance, 2) == 0) {
        struct slice id = some_bytes();

        c->has_request_id = true;
        c->request_id = data_of(id);
        also(change_request_id(w, id));
    }
    c->n_ops = n;
    c->ops = op_ptrs;
    for (size_t i = 0; i < n && failed == OK; i++) {
        add_op(w, (int)i);
    }
    if (failed == OK && rand_below(&chance, 4) == 0) {
        c->has_part = c->has_parts = true;
        c->parts = 1 + (uint32_t)rand_below(&chance, 1000);
        c->part = 1 + (uint32_t)rand_below(&chance, c->parts);
        also(change_part(w, c->part, c->parts));
    }
    return failed;
}

static void seed(void)
{
    chance.state = unit_seed();
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (char)rand_next(&chance);
    }
}

/* Other readers of the stream rely on protobuf; ours must not be a dialect. */
static void equals_what_protobuf_c_packs(void)
{
    struct change_writer w;
    struct buf out = {0};

    seed();
    change_writer_init(&w);
    CU_ASSERT_EQUAL(buf_append_str(&out, "abc"), OK);
    for (int round = 0; round < 1500; round++) {
        Godwit__Change c;
        size_t before = out.len = rand_below(&chance, 3); /* it may begin anywhere in a buf */

        CU_ASSERT_EQUAL_FATAL(make_change(&w, &out, &c), OK);
        CU_ASSERT_EQUAL(w.ops, c.n_ops);
        CU_ASSERT_EQUAL(change_bytes(&w), out.len - before);
        c.seq = rand_next(&chance) >> rand_below(&chance, 64);
        c.epoch = rand_below(&chance, 3);
        c.time = rand_next(&chance);
        change_seal(out.ptr + before, c.seq, c.epoch, c.time);

        size_t len = godwit__change__get_packed_size(&c);
        uint8_t *packed = malloc(len);

        CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
        CU_ASSERT_EQUAL(godwit__change__pack(&c, packed), len);
        CU_ASSERT_EQUAL_FATAL(len, out.len - before);
        CU_ASSERT_EQUAL_FATAL(memcmp(packed, out.ptr + before, len), 0);
        free(packed);
        CU_ASSERT_EQUAL(change_seq(out.ptr + before), c.seq);
        CU_ASSERT_EQUAL(change_epoch(out.ptr + before), c.epoch);
        CU_ASSERT_EQUAL(change_time(out.ptr + before), c.time);
        CU_ASSERT_EQUAL(change_database(out.ptr + before), c.database);
    }
    change_writer_fini(&w);
    buf_fini(&out);
}

static void a_value_by_reference_spliced_in_equals_one_copied(void)
{
    struct slice key = SLICE("key"), small = SLICE("small");
    struct slice large = {noise, BYTES_MAX};
    struct buf out = {0}, whole = {0}, spliced = {0};
    struct change_writer w, v;
    size_t from = 0;

    seed();
    change_writer_init(&w);
    change_writer_init(&v);
    CU_ASSERT_EQUAL(change_begin(&w, &out, 7), OK);
    CU_ASSERT_EQUAL(change_begin(&v, &whole, 7), OK);
    for (int i = 0; i < 9; i++) { /* more than the first allocation of references holds */
        CU_ASSERT_EQUAL(change_put_string(&w, key, small, i), OK);
        CU_ASSERT_EQUAL(change_put_string(&v, key, small, i), OK);
        CU_ASSERT_EQUAL(change_put_string_ref(&w, key, large.len - (size_t)i, i, &large), OK);
        large.len -= (size_t)i;
        CU_ASSERT_EQUAL(change_put_string(&v, key, large, i), OK);
        large.len = BYTES_MAX;
    }
    CU_ASSERT_EQUAL_FATAL(w.refs_count, 9);
    CU_ASSERT_EQUAL(change_bytes(&w), whole.len);
    for (uint32_t i = 0; i < w.refs_count; i++) {
        CU_ASSERT_PTR_EQUAL(w.refs[i].ref, &large);
        CU_ASSERT_EQUAL(buf_append(&spliced, out.ptr + from, w.refs[i].at - from), OK);
        CU_ASSERT_EQUAL(buf_append(&spliced, large.ptr, w.refs[i].len), OK);
        from = w.refs[i].at;
    }
    CU_ASSERT_EQUAL(buf_append(&spliced, out.ptr + from, out.len - from), OK);
    CU_ASSERT(slice_is(buf_slice(&spliced), buf_slice(&whole)));
    change_writer_fini(&w);
    change_writer_fini(&v);
    buf_fini(&out);
    buf_fini(&whole);
    buf_fini(&spliced);
}

static void rewinds_to_a_mark_and_drops_what_is_open(void)
{
    struct slice key = SLICE("key");
    struct buf out = {0};
    struct change_writer w;

    change_writer_init(&w);
    CU_ASSERT_EQUAL(change_begin(&w, &out, 1), OK);
    CU_ASSERT_EQUAL(change_delete(&w, key, CHANGE_EXPIRED), OK);

    struct change_mark m = change_mark(&w);
    uint64_t bytes = change_bytes(&w);

    CU_ASSERT_EQUAL(change_put_string_ref(&w, key, 100, 0, &out), OK);
    CU_ASSERT_EQUAL(change_bytes(&w), out.len + 100);
    change_rewind(&w, m);
    CU_ASSERT_EQUAL(change_bytes(&w), bytes);
    CU_ASSERT_EQUAL(w.refs_count, 0);
    CU_ASSERT_EQUAL(change_delete_fields_begin(&w, key), OK);
    CU_ASSERT_EQUAL(change_delete_fields_name(&w, key), OK);
    change_drop_open(&w);
    CU_ASSERT_EQUAL(change_bytes(&w), bytes);
    CU_ASSERT_EQUAL(w.ops, 1);
    change_writer_fini(&w);
    buf_fini(&out);
}

/* Nothing may fail after the append, so a failing call must leave the bytes as they were. */
static void without_memory_nothing_is_written(void)
{
    seed();

    struct rand start = chance;

    for (int nth = 1; nth < 200; nth++) {
        struct change_writer w;
        struct buf out = {0};
        Godwit__Change c;

        chance = start;
        change_writer_init(&w);
        fault_fail_nth(nth);

        int err = make_change(&w, &out, &c);

        if (err == OK && !w.open) {
            err = change_put_string_ref(&w, SLICE("key"), 5, 0, &out);
        }
        (void)fault_off();
        if (err == OK) {
            CU_ASSERT(nth > 1);
        } else {
            CU_ASSERT_EQUAL(err, ERR_NOMEM);
            if (w.open) {
                change_drop_open(&w);
            }
        }
        /* Whatever was written is still a Change. */
        if (out.len >= CHANGE_HEAD_BYTES && w.refs_count == 0) {
            Godwit__Change *back = godwit__change__unpack(NULL, out.len, (const uint8_t *)out.ptr);

            CU_ASSERT_PTR_NOT_NULL_FATAL(back);
            CU_ASSERT_EQUAL(back->n_ops, w.ops);
            godwit__change__free_unpacked(back, NULL);
        }
        change_writer_fini(&w);
        buf_fini(&out);
        if (err == OK) {
            return;
        }
    }
    CU_FAIL("never succeeded");
}

static int check(struct slice bytes)
{
    Godwit__Change *c = godwit__change__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    int err = c == NULL ? ERR_IO : change_check(c);

    if (c != NULL) {
        godwit__change__free_unpacked(c, NULL);
    }
    return err;
}

#define HEAD                                                                                       \
    "\x09\1\0\0\0\0\0\0\0"                                                                         \
    "\x11\1\0\0\0\0\0\0\0"                                                                         \
    "\x19\1\0\0\0\0\0\0\0"                                                                         \
    "\x25\1\0\0\0"

/* A reader that skipped an effect would show data that nobody ever wrote. */
static void refuses_what_it_does_not_know(void)
{
    static const struct {
        struct slice bytes;
        int err;
        const char *why;
    } rows[] = {
        {SLICE(HEAD), OK, "no operation"},
        {SLICE(HEAD "\x32\x05\x0a\x01k\x4a\x00"), ERR_CORRUPT, "flush with a key"},
        {SLICE(HEAD "\x32\x04\x0a\x00\x4a\x00"), OK, "flush"},
        {SLICE(HEAD "\x32\x03\x0a\x01k"), ERR_CORRUPT, "an operation without kind"},
        {SLICE(HEAD "\x32\x06\x0a\x01k\x82\x7d\x00"), ERR_CORRUPT, "a kind of later days"},
        {SLICE(HEAD "\x48\x01"), ERR_CORRUPT, "field 9 of Change"},
        {SLICE(HEAD "\x32\x07\x0a\x01k\x42\x02\x08\x02"), OK, "evicted"},
        {SLICE(HEAD "\x32\x07\x0a\x01k\x42\x02\x08\x03"), ERR_CORRUPT, "an unknown reason"},
        {SLICE(HEAD "\x32\x09\x0a\x01k\x42\x04\x08\x00\x10\x01"), ERR_CORRUPT, "field in delete"},
        {SLICE(HEAD "\x32\x09\x0a\x01k\x12\x04\x12\x00\x18\x01"), ERR_CORRUPT, "field in string"},
        {SLICE(HEAD "\x32\x0d\x0a\x01k\x22\x08\x1a\x06\x0a\x00\x12\x00\x20\x01"), ERR_CORRUPT,
         "field in a field"},
        {SLICE(HEAD "\x32\x12\x0a\x01k\x6a\x0d\x1a\x0b\x0a\x00\x11\0\0\0\0\0\0\xf8\x3f"), OK,
         "a score"},
        {SLICE(HEAD "\x32\x12\x0a\x01k\x6a\x0d\x1a\x0b\x0a\x00\x11\0\0\0\0\0\0\xf8\x7f"),
         ERR_CORRUPT, "a score that is no number"},
        {SLICE(HEAD "\x32\x07\x0a\x01k\x62\x02\x10\x01"), ERR_CORRUPT, "field in a removal"},
        {SLICE(HEAD "\x32\x0c\x0a\x01k\xf2\x01\x06\x18\x01\x22\x02[]"), OK, "a document"},
        {SLICE(HEAD "\x32\x0c\x0a\x01k\xf2\x01\x06\x18\x00\x22\x02[]"), ERR_CORRUPT,
         "a document without number"},
        {SLICE(HEAD "\x32\x11\x0a\x01k\xfa\x01\x0b\x08\x01\x12\x07\x08\x00\x12\x00\x22\x01"
                    "7"),
         OK, "a patch"},
        {SLICE(HEAD "\x32\x0e\x0a\x01k\xfa\x01\x08\x08\x01\x12\x04\x08\x00\x12\x00"), ERR_CORRUPT,
         "a patch that brings nothing"},
        {SLICE(HEAD "\x32\x10\x0a\x01k\xfa\x01\x0a\x08\x01\x12\x06\x08\x01\x12\x00\x18\x00"),
         ERR_CORRUPT, "removing nothing"},
        {SLICE(HEAD "\x32\x08\x0a\x01k\xfa\x01\x02\x08\x01"), ERR_CORRUPT, "no patches"},
        {SLICE(HEAD "\x38\x01"), ERR_CORRUPT, "part without parts"},
        {SLICE(HEAD "\x38\x03\x40\x02"), ERR_CORRUPT, "part 3 of 2"},
        {SLICE(HEAD "\x38\x02\x40\x02"), OK, "part 2 of 2"},
        {SLICE("\x09\1\0\0\0\0\0\0\0"), ERR_IO, "no epoch: protobuf-c refuses it"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = check(rows[i].bytes);

        if (err != rows[i].err) {
            fprintf(stderr, "%s: %d\n", rows[i].why, err);
        }
        CU_ASSERT_EQUAL(err, rows[i].err);
    }
}

const struct unit_test test_change[] = {
    UNIT(equals_what_protobuf_c_packs),
    UNIT(a_value_by_reference_spliced_in_equals_one_copied),
    UNIT(rewinds_to_a_mark_and_drops_what_is_open),
    UNIT(without_memory_nothing_is_written),
    UNIT(refuses_what_it_does_not_know),
    UNIT_END,
};
