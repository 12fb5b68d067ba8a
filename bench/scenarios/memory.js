'use strict';
// Resident bytes a key: RSS with the keys less RSS of the fresh server. The change log's ring is of a
// fixed size and no part of a key's cost, so its stated size is subtracted (never more than is there).
const KEYS = 5000000;
const VALUE = 32;
const TTL_MS = 86400000;

// What INFO states as the ring's size; 0 where there is none.
async function ringBytes(ctx, server) {
  if (server.kind !== 'godwit') return 0;
  const info = await ctx.ask(server, ['INFO', 'memory']);
  return Number(/^(?:changelog|ring)[a-z_]*(?:size|bytes|memory)[a-z_]*:(\d+)/m.exec(info)?.[1] ?? 0);
}

async function once(ctx, kind, ttl) {
  const [server] = await ctx.start([kind]);
  if (server === undefined) return { failed: 'did not start' };
  try {
    const before = await ctx.settledRssBytes(server);
    await ctx.preload(server, { keys: KEYS, value: VALUE, ttl_ms: ttl });
    const grown = await ctx.settledRssBytes(server) - before;
    const ring = await ringBytes(ctx, server);
    return { bytes: (grown - ring) / KEYS, ring: ring / 2 ** 20 };
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
    notes: ring === undefined ? [] : [`\ngodwit states a change-log ring of ${ring} MiB, subtracted above.`],
  }];
};
