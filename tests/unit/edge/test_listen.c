#include "tests/lib/unit.h"

#include "base/err.h"
#include "base/log.h"
#include "edge/listen.h"

static void moves_from_a_busy_port_if_it_may(void)
{
    struct listen_set one, two;

    log_level_set((enum log_level)(LOG_ERROR - 1));
    CU_ASSERT_EQUAL_FATAL(listen_open(&one, SLICE("127.0.0.1"), 0, false), OK);
    CU_ASSERT(one.port > 0);
    CU_ASSERT_EQUAL(listen_open(&two, SLICE("127.0.0.1"), one.port, false), ERR_IO);
    CU_ASSERT_EQUAL(two.count, 0);
    CU_ASSERT_EQUAL_FATAL(listen_open(&two, SLICE("127.0.0.1"), one.port, true), OK);
    CU_ASSERT(two.was_elsewhere);
    CU_ASSERT_NOT_EQUAL(two.port, one.port);
    listen_close(&two);
    listen_close(&one);
    CU_ASSERT_EQUAL(listen_open(&one, SLICE(""), 0, true), ERR_IO);
    CU_ASSERT_EQUAL(listen_open(&one, SLICE("no.such.host.invalid"), 0, true), ERR_IO);
    log_level_set(LOG_INFO);
}

/* Several addresses share one port, also when it is chosen by the system. */
static void takes_one_port_for_all_addresses(void)
{
    struct listen_set l;

    CU_ASSERT_EQUAL_FATAL(listen_open(&l, SLICE("127.0.0.1, 127.0.0.2"), 0, false), OK);
    CU_ASSERT_EQUAL(l.count, 2);
    listen_close(&l);
}

static void goes_by_a_setting(void)
{
    struct conf_opt port = {.kind = CONF_PORT, .name = "test-port", .source = CONF_FROM_FLAG};
    struct listen_set one, two;

    log_level_set((enum log_level)(LOG_ERROR - 1));
    CU_ASSERT_EQUAL_FATAL(listen_open_setting(&one, SLICE("127.0.0.1"), &port), OK);
    CU_ASSERT(one.count == 0 && one.port == 0); /* 0 does not listen */
    atomic_store(&port.word, CONF_PORT_AUTO);
    CU_ASSERT_EQUAL_FATAL(listen_open_setting(&one, SLICE("127.0.0.1"), &port), OK);
    CU_ASSERT(one.count == 1 && one.port > 0 && !one.was_elsewhere);
    atomic_store(&port.word, one.port);
    CU_ASSERT_EQUAL(listen_open_setting(&two, SLICE("127.0.0.1"), &port), ERR_IO);
    port.source = CONF_FROM_DEFAULT;
    CU_ASSERT_EQUAL_FATAL(listen_open_setting(&two, SLICE("127.0.0.1"), &port), OK);
    CU_ASSERT(two.was_elsewhere && two.port != one.port);
    listen_close(&two);
    listen_close(&one);
    log_level_set(LOG_INFO);
}

static void knows_loopback(void)
{
    CU_ASSERT(listen_is_loopback(SLICE("127.0.0.1 ::1 localhost")));
    CU_ASSERT(listen_is_loopback(SLICE("127.9.9.9")));
    CU_ASSERT(!listen_is_loopback(SLICE("127.0.0.1 0.0.0.0")));
    CU_ASSERT(!listen_is_loopback(SLICE("*")));
    CU_ASSERT(!listen_is_loopback(SLICE("12.0.0.1")));
}

const struct unit_test test_listen[] = {
    UNIT(moves_from_a_busy_port_if_it_may),
    UNIT(takes_one_port_for_all_addresses),
    UNIT(goes_by_a_setting),
    UNIT(knows_loopback),
    UNIT_END,
};
