'use strict';
// With the default number of workers nothing is pinned, as on a user's machine: server and load
// compete for the cores, so that throughput says little on two of them, and CPU an operation more.
const { once, ratio, METRICS, KEYS, CONNS, PIPELINES } = require('../throughput.js');

exports.about = 'GET and SET of 64 bytes with the default workers, nothing pinned';
exports.run = async (ctx) => {
  const list = await ctx.start(ctx.kinds, { workers: null });
  const rows = [];
  for (const server of list) await ctx.preload(server, { keys: KEYS, value: 64 });
  for (const op of ['get', 'set']) {
    for (const pipeline of PIPELINES) {
      const stream = { op, conns: CONNS, pipeline, keys: KEYS, value: 64 };
      const cells = await ctx.interleave(list, ctx.rounds, once(ctx, stream, { ms: ctx.ms / 2, unpinned: true }));
      rows.push({ name: `${op.toUpperCase()}, pipeline ${pipeline}`, cells, figure: ratio(cells) });
    }
  }
  return [{ title: 'default workers', metrics: METRICS, rows }];
};
