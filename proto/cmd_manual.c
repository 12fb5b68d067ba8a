/* cmd_manual.c - the command table as a page for people and as JSON for programs. */
#include "proto/cmd_doc.h"

#include "base/err.h"

static bool is_internal(const struct cmd_def *def)
{
    return (def->flags & CMD_INTERNAL) != 0;
}

/* In a cell of a Markdown table a bar would end the cell. */
static int put_cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if ((*text == '|' && buf_append_char(out, '\\') != OK) ||
            buf_append_char(out, *text) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static int put_row(struct buf *out, const struct cmd_def *def)
{
    const char *args = def->args == NULL ? "" : def->args;

    if (buf_printf(out, "| `%s%s%s%s", def->parent == NULL ? "" : def->parent->name,
                   def->parent == NULL ? "" : " ", def->name, *args == '\0' ? "" : " ") != OK ||
        put_cell(out, args) != OK || buf_printf(out, "` | %s | ", def->since) != OK ||
        put_cell(out, def->summary == NULL ? "" : def->summary) != OK) {
        return ERR_NOMEM;
    }
    return buf_append_str(out, " |\n");
}

static int put_group(struct buf *out, const char *group)
{
    if (buf_printf(out, "\n## %s\n\n| command | since | |\n|---|---|---|\n", group) != OK) {
        return ERR_NOMEM;
    }
    for (uint16_t id = 0; id < cmd_count(); id++) {
        const struct cmd_def *def = cmd_by_id(id);
        bool container = def->subs != NULL && def->run == NULL;

        if (strcmp(def->group, group) == 0 && !is_internal(def) && !container &&
            put_row(out, def) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

/* Whether an earlier row is of the same group, which has been written then. */
static bool group_seen(uint16_t id)
{
    for (uint16_t i = 0; i < id; i++) {
        if (strcmp(cmd_by_id(i)->group, cmd_by_id(id)->group) == 0) {
            return true;
        }
    }
    return false;
}

int cmd_doc_markdown(struct buf *out)
{
    if (buf_append_str(out,
                       "# Commands\n\n"
                       "Generated from the command table by `make docs`. \"Since\" is the release "
                       "of Redis that brought a\ncommand, or ours.\n") != OK) {
        return ERR_NOMEM;
    }
    for (uint16_t id = 0; id < cmd_count(); id++) {
        if (!group_seen(id) && put_group(out, cmd_by_id(id)->group) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static int put_json_text(struct buf *out, const char *name, const char *text)
{
    if (buf_printf(out, "\"%s\": \"", name) != OK) {
        return ERR_NOMEM;
    }
    for (; text != NULL && *text != '\0'; text++) {
        if (((*text == '"' || *text == '\\') && buf_append_char(out, '\\') != OK) ||
            buf_append_char(out, *text) != OK) {
            return ERR_NOMEM;
        }
    }
    return buf_append_str(out, "\"");
}

static int put_json_categories(struct buf *out, const struct cmd_def *def)
{
    const char *categories[CMD_CATEGORIES_MAX];
    size_t n = cmd_categories(def, categories);

    for (size_t i = 0; i < n; i++) {
        if (buf_printf(out, "%s\"%s\"", i == 0 ? "" : ", ", categories[i]) != OK) {
            return ERR_NOMEM;
        }
    }
    return OK;
}

static int put_json(struct buf *out, const struct cmd_def *def)
{
    char name[CMD_NAME_MAX];
    size_t len = cmd_full_name(def, name);

    if (buf_printf(out, "  {\"name\": \"%.*s\", \"arity\": %d, \"write\": %s, ", (int)len, name,
                   def->arity, (def->flags & CMD_WRITE) != 0 ? "true" : "false") != OK ||
        put_json_text(out, "group", def->group) != OK || buf_append_str(out, ", ") != OK ||
        put_json_text(out, "since", def->since) != OK || buf_append_str(out, ", ") != OK ||
        put_json_text(out, "args", def->args) != OK || buf_append_str(out, ", ") != OK ||
        put_json_text(out, "summary", def->summary) != OK ||
        buf_printf(out, ", \"keys\": [%d, %d, %d], \"categories\": [", def->keys.first,
                   def->keys.last, def->keys.step) != OK ||
        put_json_categories(out, def) != OK) {
        return ERR_NOMEM;
    }
    return buf_append_str(out, "]}");
}

int cmd_doc_json(struct buf *out)
{
    const char *before = "[\n";

    for (uint16_t id = 0; id < cmd_count(); id++) {
        if (is_internal(cmd_by_id(id))) {
            continue;
        }
        if (buf_append_str(out, before) != OK || put_json(out, cmd_by_id(id)) != OK) {
            return ERR_NOMEM;
        }
        before = ",\n";
    }
    return buf_append_str(out, *before == '[' ? "[]\n" : "\n]\n");
}
