/* bitmap.h - what the two files of bitmap commands share. */
#ifndef NODE_CMD_BITMAP_H
#define NODE_CMD_BITMAP_H

#include "edge/backend.h"
#include "node/type_string.h"

/* A bit's place, `times` over, within the longest string; false when an error was answered. */
bool bitmap_offset(struct cmd *c, struct slice text, int times, uint64_t *out);
/* n bytes from `at` on, zeros beyond the end. */
void bitmap_load(const struct string_value *v, uint64_t at, uint8_t *out, size_t n);
/* The string at argv[index], empty if absent; false when WRONGTYPE was answered. */
bool bitmap_read(struct cmd *c, uint32_t index, struct string_value *v, bool *found);

/* Handler of BITFIELD and BITFIELD_RO. */
void bitfield_run(struct cmd *c);

#endif
