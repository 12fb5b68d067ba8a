'use strict';
// Resident bytes a member of collections: RSS with them less RSS without, as in memory.js, with the
// change log's ring filled before. Large ones are one key of a million members, small ones 62 500
// keys of 16.
const KEYS = 62500;
const EACH = 16;

const times = (word) => Array.from({ length: EACH }, (_, i) => word(String.fromCharCode(97 + i))).join(' ');
const TYPES = [
  ['list', 'RPUSH', times((c) => `%k:member:${c}`)],
  ['hash', 'HSET', times((c) => `%k:${c} value:${c}:12345678`), ':16'],
  ['set', 'SADD', times((c) => `%k:member:${c}`), ':16'],
  ['sorted set', 'ZADD', times((c) => `%n %k:member:${c}`), ':16'],
];
const SIZES = [['1 M in one key', 'big', 1.0], ['16 a key', 'k:%k', 0.9]];

async function ringBytes(ctx, server) {
  if (server.kind !== 'godwit') return 0;
  return Number((await ctx.ask(server, ['CONFIG', 'GET', 'changelog-ring']))[1]);
}

// A server anew for each row, so that none pays for, or lives on, what an allocator keeps.
async function once(ctx, kind, key, [, command, members, reply = ':']) {
  const [server] = await ctx.start([kind]);
  if (server === undefined) return { failed: 'did not start' };
  try {
    await ctx.preload(server, { keys: 1, count: 2000 + Math.ceil(await ringBytes(ctx, server) / 800), value: 1024 });
    const before = await ctx.settledRssBytes(server);
    await ctx.load(server, [{ op: 'cmd', dist: 'seq', count: KEYS, keys: KEYS, span: 1000000, conns: 1,
      pipeline: 64, commands: [[`${command} ${key} ${members}`, reply]] }]);
    return { bytes: (await ctx.settledRssBytes(server) - before) / (KEYS * EACH) };
  } catch (e) {
    return { failed: e.message };
  } finally {
    await ctx.stop(server);
  }
}

exports.about = 'resident bytes a member of large and of small collections';
exports.run = async (ctx) => {
  const rows = [];
  for (const [size, key, target] of SIZES) {
    for (const type of TYPES) {
      const cells = {};
      for (const kind of ctx.kinds.filter((k) => ['redis', 'godwit'].includes(k))) {
        cells[kind] = await once(ctx, kind, key, type);
      }
      rows.push({ name: `${type[0]}, ${size}`, cells, figure: cells.godwit?.bytes / cells.redis?.bytes, target });
    }
  }
  return [{ title: 'members', metrics: [{ key: 'bytes', title: 'bytes/member', digits: 1 }], rows }];
};
