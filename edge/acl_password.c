/* acl_password.c - a user's passwords: SHA-256 of each, wiped when they go. */
#include "base/limits.h"
#include "base/mem.h"
#include "edge/acl_parts.h"

#include <sodium.h>

_Static_assert(ACL_HASH_BYTES == crypto_hash_sha256_BYTES, "what Redis' #hash is");

enum { ALL_BYTES = LIMIT_ACL_PASSWORDS * ACL_HASH_BYTES };

static bool make(struct acl_rules *r)
{
    if (r->passwords == NULL) {
        r->passwords = mem_zalloc(ALL_BYTES);
    }
    return r->passwords != NULL;
}

bool acl_passwords_copy(struct acl_rules *to, const struct acl_rules *from)
{
    if (from->password_count == 0) {
        return true;
    }
    if (!make(to)) {
        return false;
    }
    memcpy(to->passwords, from->passwords, (size_t)from->password_count * ACL_HASH_BYTES);
    to->password_count = from->password_count;
    return true;
}

void acl_passwords_free(struct acl_rules *r)
{
    if (r->passwords != NULL) {
        acl_passwords_forget(r);
        mem_free(r->passwords, ALL_BYTES);
        r->passwords = NULL;
    }
}

void acl_hash(struct slice password, unsigned char out[ACL_HASH_BYTES])
{
    (void)crypto_hash_sha256(out, (const unsigned char *)password.ptr, password.len);
}

static int password_at(const struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    int at = -1;

    /* All of them, whichever is right. */
    for (uint32_t i = 0; i < r->password_count; i++) {
        if (sodium_memcmp(r->passwords[i], hash, ACL_HASH_BYTES) == 0) {
            at = (int)i;
        }
    }
    return at;
}

bool acl_rules_has_password(const struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    return password_at(r, hash) >= 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hash(struct slice hex, unsigned char out[ACL_HASH_BYTES])
{
    if (hex.len != 2 * (size_t)ACL_HASH_BYTES) {
        return false;
    }
    for (size_t i = 0; i < ACL_HASH_BYTES; i++) {
        int high = hex_value(hex.ptr[2 * i]);
        int low = hex_value(hex.ptr[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static enum acl_fault add_password(struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    if (password_at(r, hash) < 0) {
        if (r->password_count == LIMIT_ACL_PASSWORDS) {
            return ACL_TOO_MUCH;
        }
        if (!make(r)) {
            return ACL_NO_MEMORY;
        }
        memcpy(r->passwords[r->password_count++], hash, ACL_HASH_BYTES);
    }
    r->is_nopass = false;
    return ACL_FINE;
}

static enum acl_fault remove_password(struct acl_rules *r, const unsigned char hash[ACL_HASH_BYTES])
{
    int at = password_at(r, hash);

    if (at < 0) {
        return ACL_NO_SUCH_PASSWORD;
    }
    r->password_count--;
    for (uint32_t i = (uint32_t)at; i < r->password_count; i++) {
        memcpy(r->passwords[i], r->passwords[i + 1], ACL_HASH_BYTES);
    }
    sodium_memzero(r->passwords[r->password_count], ACL_HASH_BYTES);
    return ACL_FINE;
}

enum acl_fault acl_password_apply(struct acl_rules *r, struct slice rule)
{
    struct slice text = {rule.ptr + 1, rule.len - 1};
    unsigned char hash[ACL_HASH_BYTES];
    enum acl_fault fault;

    if ((rule.ptr[0] == '>' || rule.ptr[0] == '<') && text.len > LIMIT_ACL_PASSWORD_BYTES) {
        return ACL_TOO_MUCH;
    }
    if (rule.ptr[0] == '>' || rule.ptr[0] == '<') {
        acl_hash(text, hash);
    } else if (!parse_hash(text, hash)) {
        return ACL_BAD_HASH;
    }
    fault =
        rule.ptr[0] == '>' || rule.ptr[0] == '#' ? add_password(r, hash) : remove_password(r, hash);
    sodium_memzero(hash, sizeof(hash));
    return fault;
}

void acl_passwords_forget(struct acl_rules *r)
{
    if (r->passwords != NULL) {
        sodium_memzero(r->passwords, ALL_BYTES);
    }
    r->password_count = 0;
}

enum acl_fault acl_rules_only_password(struct acl_rules *r, const unsigned char *hash)
{
    acl_passwords_forget(r);
    r->is_nopass = hash == NULL;
    return hash == NULL ? ACL_FINE : add_password(r, hash);
}
