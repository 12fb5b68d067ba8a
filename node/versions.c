#include "node/versions.h"

/* About a microsecond: longer than one takes whose writer keeps its core. */
enum { VERSION_SPINS = 60 };

bool versions_take(struct versions *v, const struct database *db, struct partition **held)
{
    for (uint64_t m = v->mask; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzl(m);
        struct partition *p = database_partition(db, i);

        v->v[i] = p == NULL ? 0 : partition_version(p);
        for (int n = 0; (v->v[i] & 1) != 0; n++) {
            if (n == VERSION_SPINS) {
                *held = p;
                return false;
            }
            __builtin_ia32_pause();
            v->v[i] = partition_version(p);
        }
    }
    return true;
}

bool versions_unmoved(const struct versions *v, const struct database *db)
{
    for (uint64_t m = v->mask; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzl(m);
        /* One that was made meanwhile has version 0 until something is published in it. */
        const struct partition *p = database_partition(db, i);

        if (p != NULL && !partition_version_unmoved(p, v->v[i])) {
            return false;
        }
    }
    return true;
}
