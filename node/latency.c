#include "node/latency.h"

#include "base/clock.h"
#include "node/options.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock; a name of NULL ends them. */
static struct latency_event events[LATENCY_EVENTS];

static struct latency_event *find(struct slice name)
{
    for (uint32_t i = 0; i < LATENCY_EVENTS; i++) {
        if (events[i].name == NULL || slice_is(slice_of(events[i].name), name)) {
            return &events[i];
        }
    }
    return NULL;
}

static void add(struct latency_event *e, int64_t at_s, uint32_t ms)
{
    struct latency_sample *last = &e->samples[(e->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];

    if (ms > e->max_ms) {
        e->max_ms = ms;
    }
    /* One a second: the worst of it. */
    if (last->at_s == at_s) {
        last->ms = ms > last->ms ? ms : last->ms;
        return;
    }
    e->samples[e->next] = (struct latency_sample){at_s, ms};
    e->next = (e->next + 1) % LATENCY_SAMPLES;
}

void latency_note(const char *event, int64_t ms)
{
    uint64_t threshold = conf_u64(&opt_latency_monitor_threshold);
    struct latency_event *e;

    if (threshold == 0 || ms < 0 || (uint64_t)ms < threshold) {
        return;
    }
    pthread_mutex_lock(&lock);
    e = find(slice_of(event));
    if (e != NULL) {
        e->name = event;
        add(e, clock_wall_ms() / 1000, ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms);
    }
    pthread_mutex_unlock(&lock);
}

uint32_t latency_events(struct latency_event out[LATENCY_EVENTS])
{
    uint32_t n = 0;

    pthread_mutex_lock(&lock);
    for (; n < LATENCY_EVENTS && events[n].name != NULL; n++) {
        out[n] = events[n];
    }
    pthread_mutex_unlock(&lock);
    return n;
}

bool latency_event(struct slice name, struct latency_event *out)
{
    const struct latency_event *e;
    bool has;

    pthread_mutex_lock(&lock);
    e = find(name);
    has = e != NULL && e->name != NULL;
    if (has) {
        *out = *e;
    }
    pthread_mutex_unlock(&lock);
    return has;
}

uint32_t latency_history(const struct latency_event *e, struct latency_sample *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++) {
        const struct latency_sample *s = &e->samples[(e->next + i) % LATENCY_SAMPLES];

        if (s->at_s != 0) {
            out[n++] = *s;
        }
    }
    return n;
}

uint32_t latency_reset(struct slice name)
{
    uint32_t kept = 0;
    uint32_t n = 0;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < LATENCY_EVENTS && events[i].name != NULL; i++) {
        if (name.ptr == NULL || slice_is(slice_of(events[i].name), name)) {
            n++;
        } else {
            events[kept++] = events[i];
        }
    }
    for (uint32_t i = kept; i < LATENCY_EVENTS; i++) {
        events[i] = (struct latency_event){0};
    }
    pthread_mutex_unlock(&lock);
    return n;
}
