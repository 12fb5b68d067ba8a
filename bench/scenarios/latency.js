'use strict';
// An open loop: a request is due every 50 µs whatever the server does, and latency counts from then.
// `late` is how late the load program itself was; where it is large, the machine was busy with others.
const METRICS = ['p50', 'p99', 'p999', 'late'].map((key) => ({
  key, title: { p50: 'p50 µs', p99: 'p99', p999: 'p99.9', late: 'late p99.9' }[key], digits: 0,
}));

exports.about = 'latency at a fixed 20 000 GET/s or SET/s over 50 connections';
exports.run = async (ctx) => {
  const list = await ctx.start();
  const rows = [];
  for (const server of list) await ctx.preload(server, { keys: 1000000, value: 64 });
  for (const op of ['get', 'set']) {
    const stream = { op, conns: 50, rate: 20000, keys: 1000000, value: 64 };
    const cells = await ctx.interleave(list, ctx.rounds, async (server) => {
      const s = (await ctx.load(server, [stream], { ms: ctx.ms })).streams[op];
      return { p50: s.p50_us, p99: s.p99_us, p999: s.p999_us, late: s.late_p999_us };
    });
    rows.push({ name: op.toUpperCase(), cells, figure: cells.godwit?.p999 / cells.redis?.p999 });
  }
  return [{ title: 'latency', figure: 'p99.9 godwit / redis', metrics: METRICS, rows }];
};
