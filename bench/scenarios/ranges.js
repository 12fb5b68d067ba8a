'use strict';
// Changing a little of a large value may not cost by its size: at 100 MB at most twice what it
// costs at 10 KB. Small values are many, since APPEND would otherwise make a large one of one.
const SMALL = { keys: 500, bytes: 10000, first: 0 };
const LARGE = { keys: 1, bytes: 100000000, first: 1000 };
const OPS = [
  { op: 'setbit', value: 64, span: (bytes) => bytes * 8 },
  { op: 'setrange', value: 16, span: (bytes) => bytes - 16 },
  { op: 'append', value: 1, span: () => 2 },
];

const keyName = (n) => `key:${String(n).padStart(12, '0')}`;

async function make(ctx, server, { keys, bytes, first }) {
  for (let i = 0; i < keys; i++) {
    const fill = Math.min(bytes, 1000000);
    await ctx.ask(server, ['DEL', keyName(first + i)]);
    for (let at = 0; at < bytes; at += fill) {
      await ctx.ask(server, ['SETRANGE', keyName(first + i), at, 'x'.repeat(fill)]);
    }
  }
}

exports.about = 'SETBIT, SETRANGE and APPEND on a value of 100 MB against one of 10 KB';
exports.run = async (ctx) => {
  const list = await ctx.start(['redis', 'godwit']);
  const rows = [];
  for (const { op, value, span } of OPS) {
    for (const server of list) {
      await make(ctx, server, SMALL);
      await make(ctx, server, LARGE);
    }
    const cells = await ctx.interleave(list, ctx.rounds, async (server) => {
      const cost = {};
      for (const [name, { keys, bytes, first }] of Object.entries({ small: SMALL, large: LARGE })) {
        const stream = { op, value, span: span(bytes), keys, first, conns: 4, pipeline: 16 };
        cost[name] = (await ctx.load(server, [stream], { ms: Math.min(ctx.ms, 1000) })).cpuUs;
      }
      return { ...cost, ratio: cost.large / cost.small };
    });
    rows.push({ name: op.toUpperCase(), cells, figure: cells.godwit?.ratio, target: 2 });
  }
  return [{
    title: 'ranges', figure: 'godwit 100 MB / 10 KB', rows,
    metrics: [{ key: 'small', title: '10 KB µs/op', digits: 2 }, { key: 'large', title: '100 MB µs/op', digits: 2 },
      { key: 'ratio', title: 'ratio', digits: 2 }],
  }];
};
