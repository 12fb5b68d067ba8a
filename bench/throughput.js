'use strict';
// throughput.js - the table of GET and of SET: two sizes, three depths of pipeline.

const KEYS = 1000000;
const CONNS = 50;
const PIPELINES = [1, 16, 64];
const METRICS = [{ key: 'perS', title: 'ops/s', digits: 0 }, { key: 'cpuUs', title: 'µs/op', digits: 2 }];

function once(ctx, stream, opts) {
  return async (server) => {
    const r = await ctx.load(server, [stream], { ms: ctx.ms, ...opts });
    const s = r.streams[stream.op];
    if (s.misses > 0) throw new Error(`${server.title}: ${s.misses} misses among keys that were all set`);
    return { perS: s.per_s, cpuUs: r.cpuUs };
  };
}

const ratio = (cells) => cells.godwit?.cpuUs / cells.redis?.cpuUs;

// targets: pipeline → the most godwit's CPU an operation may be of redis-server's, at 64 bytes.
async function run(ctx, op, targets) {
  const rows = [];
  for (const value of [64, 1024]) {
    const list = await ctx.start();
    for (const server of list) await ctx.preload(server, { keys: KEYS, value });
    for (const pipeline of PIPELINES) {
      const stream = { op, conns: CONNS, pipeline, keys: KEYS, value };
      const cells = await ctx.interleave(list, ctx.rounds, once(ctx, stream));
      rows.push({
        name: `${value} B, pipeline ${pipeline}`, cells, figure: ratio(cells),
        target: value === 64 ? targets[pipeline] : undefined,
      });
    }
    for (const server of list) await ctx.stop(server);
  }
  return [{ title: op.toUpperCase(), metrics: METRICS, rows }];
}

module.exports = { run, once, ratio, METRICS, KEYS, CONNS, PIPELINES };
