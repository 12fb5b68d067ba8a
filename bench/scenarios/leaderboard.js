'use strict';
// One hot leaderboard that two workers read must not cost them more a read than it costs one worker:
// what they share has to stay shared in their caches. Nothing is pinned.
const types = require('./types.js');

const WORKERS = [1, 2];
const TARGET = 1.15;

exports.about = 'reads of one leaderboard of 1 M members by one worker and by two, nothing pinned';
exports.run = async (ctx) => {
  const rows = [];
  const list = [];
  for (const workers of WORKERS) {
    const [server] = await ctx.start(['godwit'], { workers, unpinned: true });
    if (server === undefined) return [];
    list.push({ ...server, kind: `w${workers}` });
    await types.prepare(ctx, server, types.LEADERBOARD);
  }
  for (const [name, stream] of types.LEADERBOARD.rows.filter(([n]) => n.startsWith('ZRA'))) {
    const cells = await ctx.interleave(list, ctx.rounds,
      (server) => types.once(ctx, server, stream, ''));
    rows.push({ name, cells, figure: cells.w2?.cpuUs / cells.w1?.cpuUs, target: TARGET });
  }
  return [{ title: 'leaderboard', figure: 'two / one', metrics: types.METRICS, rows, columns: ['w1', 'w2'] }];
};
