'use strict';
// Resident bytes a key: RSS with the keys less RSS of the server with none. The change log's ring is
// of a fixed size and no part of a key's cost; how much of it a fresh server has touched is not known,
// so it is filled before the first reading (one key, written often), and so is out of the difference.
const KEYS = 5000000;
const VALUE = 32;
const TTL_MS = 86400000;

// As the server states it; 0 where there is none.
async function ringBytes(ctx, server) {
  if (server.kind !== 'godwit') return 0;
  const [, size] = await ctx.ask(server, ['CONFIG', 'GET', 'changelog-ring']);
  if (!(Number(size) > 0)) throw new Error(`changelog-ring is not a number of bytes: ${size}`);
  return Number(size);
}

async function once(ctx, kind, ttl) {
  const [server] = await ctx.start([kind]);
  if (server === undefined) return { failed: 'did not start' };
  try {
    const ring = await ringBytes(ctx, server);
    await ctx.preload(server, { keys: 1, count: 2000 + Math.ceil(ring / 800), value: 1024 });
    const before = await ctx.settledRssBytes(server);
    await ctx.preload(server, { keys: KEYS, value: VALUE, ttl_ms: ttl });
    return { bytes: (await ctx.settledRssBytes(server) - before) / KEYS, ring: ring / 2 ** 20 };
  } catch (e) {
    return { failed: e.message };
  } finally {
    await ctx.stop(server);
  }
}

exports.about = 'resident bytes a key, 5 M keys of 16 bytes with values of 32';
exports.run = async (ctx) => {
  const rows = [];
  for (const [name, ttl, target] of [['without TTL', 0, 0.52], ['with TTL', TTL_MS, 0.43]]) {
    const cells = {};
    for (const kind of ctx.kinds) {
      // memcached keeps an expiry in every item, so its second figure is the first.
      const known = kind === 'memcached' ? rows[0]?.cells[kind] : undefined;
      cells[kind] = known ?? await once(ctx, kind, ttl);
    }
    rows.push({ name, cells, figure: cells.godwit?.bytes / cells.redis?.bytes, target });
  }
  const ring = rows.find((r) => r.cells.godwit?.ring !== undefined)?.cells.godwit.ring;
  return [{
    title: 'memory', metrics: [{ key: 'bytes', title: 'bytes/key', digits: 1 }], rows,
    notes: ring === undefined ? [] : [`\ngodwit's change-log ring, ${ring} MiB, was filled before the first reading and is in none of the figures.`],
  }];
};
