#include "tests/unit/proto/change_random.h"

#include "base/err.h"
#include "tests/lib/unit.h"

enum { OPS_MAX = 6, FIELDS_MAX = 5 };

struct rand change_random;
char change_random_noise[CHANGE_RANDOM_BYTES];
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
    static const size_t up_to[] = {1, 16, 130, 300, 16500, CHANGE_RANDOM_BYTES};
    size_t len = rand_below(&change_random, up_to[rand_below(&change_random, 6)]);

    return (struct slice){
        change_random_noise + rand_below(&change_random, CHANGE_RANDOM_BYTES - len), len};
}

static int64_t some_time(void)
{
    return rand_below(&change_random, 2) == 0 ? 0 : (int64_t)(rand_next(&change_random) >> 1);
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
    uint64_t offset = rand_next(&change_random) >> rand_below(&change_random, 64);

    godwit__put_range__init(&put_ranges[i]);
    put_ranges[i].offset = offset;
    put_ranges[i].bytes = data_of(bytes);
    ops[i].kind_case = GODWIT__OP__KIND_PUT_RANGE;
    ops[i].put_range = &put_ranges[i];
    also(change_put_range(w, key, offset, bytes));
}

static void add_put_fields(struct change_writer *w, int i, struct slice key)
{
    bool replace = rand_below(&change_random, 2) == 0;
    int64_t at = replace ? some_time() : 0;
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);

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
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);

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
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);
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
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);
    bool replace = rand_below(&change_random, 2) == 0;
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
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);

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
    bool replace = rand_below(&change_random, 2) == 0;
    int64_t at = replace ? some_time() : 0;
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);

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
        s->score = (double)(int64_t)rand_next(&change_random) / 1024;
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
    bool replace = rand_below(&change_random, 2) == 0;
    int64_t at = replace ? some_time() : 0;
    struct slice json = some_bytes();

    godwit__put_json__init(&put_jsons[i]);
    put_jsons[i].has_replace = put_jsons[i].replace = replace;
    put_jsons[i].has_expire_at_ms = at != 0;
    put_jsons[i].expire_at_ms = at;
    put_jsons[i].number = 1 + (uint32_t)rand_below(&change_random, UINT32_MAX);
    put_jsons[i].json = data_of(json);
    ops[i].kind_case = GODWIT__OP__KIND_PUT_JSON;
    ops[i].put_json = &put_jsons[i];
    also(change_put_json(w, key, replace, at, put_jsons[i].number, json));
}

static void add_patch_json(struct change_writer *w, int i, struct slice key)
{
    size_t n = 1 + rand_below(&change_random, FIELDS_MAX);

    godwit__patch_json__init(&patch_jsons[i]);
    patch_jsons[i].number = 1 + (uint32_t)rand_below(&change_random, 1000);
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
        p->kind = (Godwit__JsonPatch__Kind)rand_below(&change_random, 5);
        p->pointer = data_of(pointer);
        p->has_count = p->kind == GODWIT__JSON_PATCH__KIND__REMOVE;
        p->count = p->has_count ? 1 + (uint32_t)rand_below(&change_random, UINT32_MAX) : 0;
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
    uint64_t reason = rand_below(&change_random, 3);

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
    return 1 + (uint32_t)(rand_next(&change_random) >> (33 + rand_below(&change_random, 31)));
}

static void add_push(struct change_writer *w, int i, struct slice key)
{
    Godwit__PushValues *m = &pushes[i];
    bool replace = rand_below(&change_random, 2) == 0;
    bool head = rand_below(&change_random, 2) == 0;
    int64_t at = replace ? some_time() : 0;

    godwit__push_values__init(m);
    m->has_replace = m->replace = replace;
    m->has_expire_at_ms = at != 0;
    m->expire_at_ms = at;
    m->has_head = m->head = head;
    m->number = some_number() - (replace ? 0 : 1);
    m->n_values = 1 + rand_below(&change_random, FIELDS_MAX);
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
    m->n_ranges = 1 + rand_below(&change_random, FIELDS_MAX);
    m->ranges = range_ptrs[i];
    ops[i].kind_case = GODWIT__OP__KIND_REMOVE_RANGES;
    ops[i].remove_ranges = m;
    if (m->n_ranges == 1) {
        Godwit__Range *r = range_ptrs[i][0] = &ranges[i][0];

        godwit__range__init(r);
        r->index = rand_next(&change_random) >> (8 + rand_below(&change_random, 56));
        r->count = 1 + (rand_next(&change_random) >> (8 + rand_below(&change_random, 56)));
        also(change_remove_range(w, key, m->number, r->index, r->count));
        return;
    }
    also(change_remove_ranges_begin(w, key, m->number));
    for (size_t j = 0; j < m->n_ranges && failed == OK; j++) {
        Godwit__Range *r = range_ptrs[i][j] = &ranges[i][j];

        godwit__range__init(r);
        r->index = at + (rand_next(&change_random) >> (8 + rand_below(&change_random, 56)));
        r->count = 1 + (rand_next(&change_random) >> (8 + rand_below(&change_random, 56)));
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
    uint64_t index = rand_next(&change_random) >> (1 + rand_below(&change_random, 63));
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
    size_t n = rand_below(&change_random, FIELDS_MAX + 1);
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
        f->has_description = rand_below(&change_random, 2) == 0;
        f->description = data_of(description);
        f->flags = (uint32_t)rand_below(&change_random, 64);
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
    uint64_t kind = rand_below(&change_random, 20);

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

int change_random_make(struct change_writer *w, struct buf *out, Godwit__Change *c)
{
    size_t n = rand_below(&change_random, OPS_MAX + 1);

    failed = OK;
    godwit__change__init(c);
    c->database = (uint32_t)rand_next(&change_random);
    also(change_begin(w, out, c->database));
    if (failed == OK && rand_below(&change_random, 2) == 0) {
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
    if (failed == OK && rand_below(&change_random, 4) == 0) {
        c->has_part = c->has_parts = true;
        c->parts = 1 + (uint32_t)rand_below(&change_random, 1000);
        c->part = 1 + (uint32_t)rand_below(&change_random, c->parts);
        also(change_part(w, c->part, c->parts));
    }
    return failed;
}

void change_random_seed(void)
{
    change_random.state = unit_seed();
    for (size_t i = 0; i < sizeof(change_random_noise); i++) {
        change_random_noise[i] = (char)rand_next(&change_random);
    }
}
