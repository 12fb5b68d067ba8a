#include "edge/secret.h"

#include "base/conf.h"

/* From which argument on everything is secret, by command; Redis redacts the same. */
static const struct {
    const char *name; /* lower case; of a subcommand the container's */
    uint32_t from;
} tails[] = {
    {"auth", 1},
    {"acl", 2},
};

/* HELLO 3 AUTH user password SETNAME x: the two behind AUTH. MIGRATE … AUTH p | AUTH2 u p likewise. */
static bool is_behind_auth(const struct slice *argv, uint32_t i, uint32_t first)
{
    for (uint32_t back = 1; back <= 2 && i >= first + back; back++) {
        if (slice_is_word(argv[i - back], "auth") || slice_is_word(argv[i - back], "auth2")) {
            return true;
        }
    }
    return false;
}

/* CONFIG SET name value …: the value of a secret setting, or of one we do not know. */
static bool is_config_secret(const struct slice *argv, uint32_t argc, uint32_t i)
{
    const struct conf_opt *opt;

    if (argc < 2 || !slice_is_word(argv[1], "set") || i < 3 || i % 2 == 0) {
        return false;
    }
    opt = conf_find(argv[i - 1]);
    return opt == NULL || (conf_resolve(opt)->flags & CONF_SECRET) != 0;
}

bool secret_is_argument(const struct cmd_def *def, const struct slice *argv, uint32_t argc,
                        uint32_t i)
{
    struct slice name = slice_of(def->parent != NULL ? def->parent->name : def->name);

    for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
        if (slice_is_word(name, tails[t].name)) {
            return i >= tails[t].from;
        }
    }
    if (slice_is_word(name, "hello")) {
        return is_behind_auth(argv, i, 2);
    }
    if (slice_is_word(name, "migrate")) {
        return is_behind_auth(argv, i, 6);
    }
    return slice_is_word(name, "config") && is_config_secret(argv, argc, i);
}
