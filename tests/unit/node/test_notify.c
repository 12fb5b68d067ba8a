/* Keyspace notifications where there is no memory: a command that cannot say what it did does nothing. */
#include "node/notify.h"

#include "base/conf.h"
#include "base/fault.h"
#include "base/log.h"
#include "edge/metrics.h"
#include "node/options.h"
#include "tests/lib/unit.h"
#include "tests/unit/node/world.h"

static struct world w;

static void want(const char *classes)
{
    struct buf why = {0};

    CU_ASSERT_TRUE(conf_set(&opt_notify_keyspace_events, slice_of(classes), &why));
    buf_fini(&why);
    notify_start();
}

/* Says it with one allocation after the other failing, until it succeeds. Each time it answers an error and
 * nothing is published, or all of `events` are. */
static void says_all_or_nothing(const char *key, const char *command, const char *answer,
                                uint64_t events)
{
    int nth = 0;
    bool ok = false;

    log_level_set(LOG_ERROR - 1);
    for (int done = 0; !ok && nth < 200;) {
        uint64_t before = metric_sum(&metric_pubsub_published_total);

        fault_fail_nth(++nth);
        const char *said = world_say(&w, command, key);

        done = fault_off();
        ok = done < nth;
        uint64_t published = metric_sum(&metric_pubsub_published_total) - before;

        if (w.reply.failed || said[0] == '-') {
            CU_ASSERT_EQUAL(published, 0);
            CU_ASSERT_FALSE(ok);
        } else {
            CU_ASSERT_STRING_EQUAL(said, answer);
            CU_ASSERT_EQUAL(published, events);
            (void)world_say(&w, "DEL other %s", key);
        }
    }
    log_level_set(LOG_INFO);
    CU_ASSERT(ok);
    CU_ASSERT(nth > 1);
}

static const char *long_key(void)
{
    static char key[400]; /* its channel's name fits no buffer of a fixed length */

    memset(key, 'k', sizeof(key) - 1);
    return key;
}

static void a_write_is_told_of_or_does_not_happen(void)
{
    world_init(&w, 1 << 20);
    want("KEA");
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "k" : long_key();

        says_all_or_nothing(key, "SET %s v", "+OK\r\n", 2);
        says_all_or_nothing(key, "SET %s v EX 100", "+OK\r\n", 4);
        says_all_or_nothing(key, "RPUSH %s a b", ":2\r\n", 2);
        says_all_or_nothing(key, "ZADD %s 1 a", ":1\r\n", 2);
    }
    want("");
    world_fini(&w);
}

/* A read is no section: the event leaves at once. */
static void a_miss_is_told_of_or_ends_the_reader(void)
{
    world_init(&w, 1 << 20);
    want("KEm");
    (void)world_say(&w, "DBSIZE"); /* the reply has its buffer */
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "k" : long_key();
        uint64_t before = metric_sum(&metric_pubsub_published_total);

        fault_fail_nth(1);
        (void)world_say(&w, "GET %s", key);
        (void)fault_off();
        CU_ASSERT_EQUAL(w.reply.failed, i == 1);
        CU_ASSERT_EQUAL(metric_sum(&metric_pubsub_published_total) - before, i == 1 ? 0 : 2);
        CU_ASSERT_STRING_EQUAL(world_say(&w, "GET %s", key), "_\r\n");
    }
    want("");
    world_fini(&w);
}

/* In a section PUBLISH leaves with its end, or the section answers an error. */
static void a_script_publishes_or_fails(void)
{
    world_init(&w, 1 << 20);
    (void)world_say(&w, "EVAL return(redis.call('publish','c','x')) 0"); /* it is compiled */
    says_all_or_nothing("k", "EVAL return(redis.call('publish','c','x')) 0 %s", ":0\r\n", 1);
    world_fini(&w);
}

const struct unit_test test_notify[] = {
    UNIT(a_write_is_told_of_or_does_not_happen),
    UNIT(a_miss_is_told_of_or_ends_the_reader),
    UNIT(a_script_publishes_or_fails),
    UNIT_END,
};
