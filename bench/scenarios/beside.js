'use strict';
// What the server does for itself beside a steady load: the p99.9 of 20 000 GET/s, quiet and beside
// each kind of work. Rounds go quiet, expire, grow … for one server and then the next; the figure is
// the median over rounds of godwit's p99.9 beside it to the quiet p99.9 of the same round.
const KEYS = 1040000; // below 2^20 keys at first, so that `grow` crosses a doubling of a table
const FRESH = 100000000; // keys of the side streams begin here
const VALUE = 64;

const main = { label: 'main', op: 'get', conns: 50, rate: 20000, keys: KEYS, value: VALUE };
const side = (label, more) => ({ label, op: 'set', dist: 'seq', conns: 4, value: VALUE, ...more });

// `keys` of a side stream are as many as a round can use, so that each is new. Key numbers of
// different rounds do not meet either.
const WORK = [
  { name: 'quiet', streams: () => [] },
  { name: 'expire 10 000 keys/s',
    streams: (nth) => [side('expire', { rate: 10000, ttl_ms: 300, keys: 1000000, first: FRESH + nth * 1000000 })] },
  { name: 'grow by 20 000 keys/s',
    streams: (nth) => [side('grow', { rate: 20000, pipeline: 4, keys: 1000000, first: 2 * FRESH + nth * 1000000 })] },
  { name: 'scan', streams: () => [{ label: 'scan', op: 'scan', rate: 1000 }] },
  { name: 'evict 10 000 keys/s', limited: true,
    streams: (nth) => [side('evict', { rate: 10000, keys: 1000000, first: 3 * FRESH + nth * 1000000 })] },
];
const METRICS = [{ key: 'p99', title: 'p99 µs', digits: 0 }, { key: 'p999', title: 'p99.9', digits: 0 },
  { key: 'ratio', title: '× quiet', digits: 2 }];

async function usedBytes(ctx, server) {
  const info = await ctx.ask(server, ['INFO', 'memory']);
  return Number(/^used_memory:(\d+)/m.exec(info)[1]);
}

async function once(ctx, server, work, nth) {
  if (work.limited) {
    await ctx.ask(server, ['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru']);
    await ctx.ask(server, ['CONFIG', 'SET', 'maxmemory', String(await usedBytes(ctx, server))]);
  }
  try {
    const s = (await ctx.load(server, [main, ...work.streams(nth)], { ms: ctx.ms, warmupMs: 500 })).streams.main;
    return { p99: s.p99_us, p999: s.p999_us };
  } finally {
    if (work.limited) await ctx.ask(server, ['CONFIG', 'SET', 'maxmemory', '0']);
  }
}

exports.about = 'p99.9 of 20 000 GET/s while keys expire, the table grows, SCAN runs, keys are evicted';
exports.run = async (ctx) => {
  const list = await ctx.start(['redis', 'godwit']);
  const seen = {}; // row → kind → list of rounds
  const failed = {};
  for (const server of list) await ctx.preload(server, { keys: KEYS, value: VALUE });
  for (let round = 0; round < ctx.rounds; round++) {
    for (const server of list) {
      let quiet;
      for (const work of WORK) {
        try {
          const r = await once(ctx, server, work, round);
          quiet = quiet ?? r.p999;
          ((seen[work.name] ??= {})[server.kind] ??= []).push({ ...r, ratio: r.p999 / quiet });
        } catch (e) {
          (failed[work.name] ??= {})[server.kind] = { failed: e.message };
        }
      }
    }
  }
  const rows = WORK.map(({ name }) => {
    const cells = { ...failed[name] };
    for (const [kind, rounds] of Object.entries(seen[name] ?? {})) {
      cells[kind] ??= Object.fromEntries(METRICS.map(({ key }) => [key, ctx.median(rounds.map((r) => r[key]))]));
    }
    return { name, cells, figure: cells.godwit?.ratio, target: name === 'quiet' ? undefined : 2 };
  });
  return [{ title: 'beside', figure: 'godwit × quiet', metrics: METRICS, rows }];
};
