/* conf_define.h - included by a folder's options.c behind `#define CONF_ROWS "x/options.def"`: one
 * definition a row.
 *
 *    GROUP(symbol, "Heading")
 *    OPT(symbol, TYPE(…), CONF_FIXED or CONF_RELOAD [| CONF_SECRET | CONF_COMPAT], "Meaning.")
 *    ALIAS(symbol, symbol of the setting)
 *
 *    UINT(default, least, greatest)   INT(…)   PORT(default): 0 to 65535, or auto   BYTES(…): 10k 10kb 64mb 1gb
 *    SECONDS(…) MILLIS(…) MICROS(…): a bare number is in that unit; 100ms, 5s, 2m, 1h, 1d
 *    BOOL(default)   ENUM(index of the default, "a|b|c")
 *    STRING("default", greatest length)   PATH("default")   ADDRESSES("default")
 *    LINES(): may stand many times, a line each
 */
#include "base/conf.h"

#define CONF_NUMBER(k, d, lo, hi)                                                                  \
    .kind = (k), .word = (uint64_t)(d), .first = (uint64_t)(d), .min = (uint64_t)(lo),             \
    .max = (uint64_t)(hi)
#define UINT(d, lo, hi)    CONF_NUMBER(CONF_UINT, d, lo, hi)
#define INT(d, lo, hi)     CONF_NUMBER(CONF_INT, d, lo, hi)
#define PORT(d)            CONF_NUMBER(CONF_PORT, d, 0, 65535)
#define BYTES(d, lo, hi)   CONF_NUMBER(CONF_BYTES, d, lo, hi)
#define SECONDS(d, lo, hi) CONF_NUMBER(CONF_SECONDS, d, lo, hi)
#define MILLIS(d, lo, hi)  CONF_NUMBER(CONF_MILLIS, d, lo, hi)
#define MICROS(d, lo, hi)  CONF_NUMBER(CONF_MICROS, d, lo, hi)
#define BOOL(d)            CONF_NUMBER(CONF_BOOL, d, 0, 1)
#define ENUM(d, list)      CONF_NUMBER(CONF_ENUM, d, 0, 0), .choices = (list)
#define STRING(d, most)    .kind = CONF_STRING, .first_text = (d), .max = (most)
#define PATH(d)            .kind = CONF_PATH, .first_text = (d), .max = 4095
#define ADDRESSES(d)       .kind = CONF_ADDRESSES, .first_text = (d), .max = 1023

#define LINES()            .kind = CONF_LINES, .first_text = "", .max = 1 << 20

#define KIB                (UINT64_C(1) << 10)
#define MIB                (UINT64_C(1) << 20)
#define GIB                (UINT64_C(1) << 30)

#define GROUP(sym, title)                                                                          \
    struct conf_opt opt_group_##sym = {.symbol = #sym, .kind = CONF_GROUP, .meaning = (title)};
#define OPT(sym, type, fl, text)                                                                   \
    struct conf_opt opt_##sym = {.symbol = #sym, type, .flags = (fl), .meaning = (text)};
#define ALIAS(sym, to)                                                                             \
    struct conf_opt opt_##sym = {.symbol = #sym, .kind = CONF_ALIAS, .target = &opt_##to};
#include CONF_ROWS
#undef GROUP
#undef OPT
#undef ALIAS
#undef CONF_ROWS
