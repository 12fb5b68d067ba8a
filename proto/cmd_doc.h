/* cmd_doc.h - what COMMAND says about the table, and the manual made from it. */
#ifndef PROTO_CMD_DOC_H
#define PROTO_CMD_DOC_H

#include "base/annot.h"
#include "base/buf.h"
#include "proto/cmd.h"

struct reply;

/* "get", "object|encoding": as Redis names rows. */
enum { CMD_NAME_MAX = 64 };
size_t cmd_full_name(const struct cmd_def *def, char out[CMD_NAME_MAX]);

/* ACL categories ("@read", "@string" …), from group and flags. Returns how many. */
enum { CMD_CATEGORIES_MAX = 12 };
size_t cmd_categories(const struct cmd_def *def, const char *out[CMD_CATEGORIES_MAX]);
/* All of them without their "@", in Redis' order; NULL behind the last. */
const char *cmd_category_at(size_t i);
/* In any case, without its "@". */
bool cmd_is_category(struct slice name);

/* One row's entry: of COMMAND INFO, null for a NULL row; of COMMAND DOCS, its name and its map. */
void cmd_doc_info(struct reply *r, const struct cmd_def *def);
void cmd_doc_docs(struct reply *r, const struct cmd_def *def);

/* Whole replies. argv is what follows the subcommand's name. */
void cmd_doc_command(struct reply *r);       /* COMMAND */
void cmd_doc_command_count(struct reply *r); /* COMMAND COUNT */
void cmd_doc_command_info(struct reply *r, const struct slice *argv, uint32_t argc);
void cmd_doc_command_docs(struct reply *r, const struct slice *argv, uint32_t argc);
void cmd_doc_command_list(struct reply *r, const struct slice *argv, uint32_t argc);
void cmd_doc_command_getkeys(struct reply *r, const struct slice *argv, uint32_t argc);
void cmd_doc_command_getkeysandflags(struct reply *r, const struct slice *argv, uint32_t argc);

/* The row that a call names: of a container the subcommand's, if it has one of that name. NULL: none. */
const struct cmd_def *cmd_doc_lookup(const struct slice *argv, uint32_t argc);

/* proto/COMMANDS.md, and the table for the console and tests. ERR_NOMEM. */
MUST_CHECK int cmd_doc_markdown(struct buf *out);
MUST_CHECK int cmd_doc_json(struct buf *out);

#endif
