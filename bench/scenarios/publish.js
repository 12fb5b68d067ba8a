'use strict';
// A message to a thousand subscribers is a thousand writes, and should be little else: beside
// redis-server, and beside the bare `write` calls, which floor.c makes in the same run. One message at
// a time, so that no server can put several into one write.
const SUBSCRIBERS = 1000;
const MS = 1000;
const STREAMS = [
  { op: 'subscribe', label: 'subscribers', conns: SUBSCRIBERS, value: 64,
    commands: [['SUBSCRIBE channel', '*3 $9 $7 :1'], ['', '*3 $7 $7 $e']] },
  { op: 'cmd', label: 'publish', conns: 1, value: 64, commands: [['PUBLISH channel %v', `:${SUBSCRIBERS}`]] },
];

exports.about = `PUBLISH of 64 bytes to ${SUBSCRIBERS} subscribers, one worker on a core of its own`;
exports.run = async (ctx) => {
  const list = await ctx.start(['redis', 'godwit', 'floor']);
  const cells = await ctx.interleave(list, ctx.rounds, async (server) => {
    const r = await ctx.load(server, STREAMS, { ms: Math.min(ctx.ms, MS) });
    const { ops } = r.streams.publish;
    return { perS: ops / r.total.seconds, cpuUs: r.total.server_cpu_us / ops };
  });
  const rows = [{ name: 'beside redis-server', cells, figure: cells.godwit?.cpuUs / cells.redis?.cpuUs, target: 1.0 },
    { name: 'beside the bare writes', cells, figure: cells.godwit?.cpuUs / cells.floor?.cpuUs, target: 1.15 }];
  return [{
    title: 'publish', figure: 'ratio', columns: ['floor'], rows,
    metrics: [{ key: 'perS', title: 'PUBLISH/s', digits: 0 }, { key: 'cpuUs', title: 'µs/PUBLISH', digits: 0 }],
  }];
};
