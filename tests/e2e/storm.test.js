// Every command at once, from many connections on several workers, on few keys: with expiries of a
// few milliseconds, eviction switched on and off, values moving between small and large forms. The
// replies are not predicted; the server must stay well, and give back all the memory it counted.
//
//   STORM_SECONDS=n   how long (8)
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually } from '../lib/eventually.js';
import { Random, seeded } from '../lib/seed.js';
import { KIND, parseInfo, startServer } from '../lib/server.js';
import { Arguments, randomCommand } from './commands.js';

const SECONDS = Number(process.env.STORM_SECONDS || 8);
const CONNECTIONS = 12;
const WORKERS = 4;
// What the data takes is counted exactly. All memory includes buffers, and large values that the latest
// changes still refer to (16 MiB of them), but must not grow with what was done.
const DATA = KIND === 'godwit' ? 'used_memory_dataset' : 'used_memory';
const DATA_SLACK = KIND === 'godwit' ? 0 : 4 << 20;
// An emptied table may keep some of its size; a flushed one is new.
const TABLE_SLACK = 16384;
// Copies of all changes are kept beside the data when the log is checked.
const ALL_SLACK = process.env.CHECK_LOG === '1' ? 2 ** 32 : 32 << 20;
const FIELD_EXPIRY = KIND === 'godwit';

const extra = [
  (g) => ['SET', g.key(), g.value(), 'PX', g.random.between(1, 15)],
  (g) => ['PEXPIRE', g.anyKey(), g.random.between(1, 15)],
  (g) => ['SETRANGE', g.key(), g.random.between(0, 100000), g.value()],
  (g) => ['APPEND', g.key(), Buffer.alloc(g.random.between(1, 9000), 'a')],
  (g) => ['SETBIT', g.key(), g.random.below(800000), g.random.below(2)],
  (g) => ['GETRANGE', g.key(), g.random.below(100000), -1],
  (g) => ['MSET', ...g.keys(2, 6).flatMap((k) => [k, g.value()])],
  (g) => ['SCAN', g.random.below(64), 'COUNT', g.random.between(1, 20)],
  (g) => ['HSCAN', g.key('h'), g.random.below(64), 'COUNT', g.random.between(1, 20)],
  (g) => ['SET', `many:${g.random.below(20000)}`, g.value(), 'PX', g.random.between(1, 500)],
  (g) => ['DEL', ...Array.from({ length: 20 }, () => `many:${g.random.below(20000)}`)],
  (g) => ['CONFIG', 'SET', 'maxmemory', g.pick([0, 0, '3mb', '6mb'])],
  (g) => [
    'CONFIG',
    'SET',
    'maxmemory-policy',
    g.pick(['allkeys-lru', 'allkeys-lfu', 'volatile-ttl']),
  ],
];
const fieldExpiry = [
  (g) => ['HPEXPIRE', g.key('h'), g.random.between(1, 15), 'FIELDS', 2, g.field(), g.field()],
  (g) => ['HSETEX', g.key('h'), 'PX', g.random.between(1, 15), 'FIELDS', 1, g.field(), g.value()],
  (g) => ['HGETEX', g.key('h'), 'PX', g.random.between(1, 15), 'FIELDS', 1, g.field()],
  (g) => ['HGETDEL', g.key('h'), 'FIELDS', 2, g.field(), g.field()],
  (g) => ['HPERSIST', g.key('h'), 'FIELDS', 1, g.field()],
];
const rows = [...extra, ...(FIELD_EXPIRY ? fieldExpiry : [])];

async function memory(client) {
  const info = parseInfo(await client.cmd('INFO', 'memory'));
  return { data: Number(info[DATA]), all: Number(info.used_memory) };
}

async function comesBack(client, before, slack) {
  let now;
  const isBack = async () => {
    now = await memory(client);
    return now.data - before.data <= DATA_SLACK + slack && now.all - before.all <= ALL_SLACK;
  };
  await eventually(isBack, { timeoutMs: 10000 }).catch(() => {
    assert.fail(`memory was ${JSON.stringify(before)} and is ${JSON.stringify(now)}`);
  });
}

async function blow(server, random, end) {
  const client = await server.connect({ proto: random.pick([2, 3]) });
  const g = new Arguments(random, Date.now());
  let count = 0;

  try {
    while (Date.now() < end) {
      const batch = Array.from({ length: random.between(1, 40) }, () =>
        random.chance(0.3) ? random.pick(rows)(g) : randomCommand(g),
      );
      const waits = batch.filter((c) => !/^(wait|auth|hello)$/i.test(c[0]));
      await client.pipeline(waits);
      count += waits.length;
    }
  } finally {
    await client.close();
  }
  return count;
}

test('a storm of every command leaves the server well and its memory counted', async (t) => {
  const random = seeded(t);
  const server = await startServer(t, { workers: WORKERS });
  const client = await server.client(t);
  const end = Date.now() + SECONDS * 1000;

  await client.cmd('SET', 'warm', 'up');
  if (KIND === 'godwit') {
    await client.cmd('FUNCTION', 'LOAD', "#!lua name=warm\nredis.register_function('warm', function() end)");
    await client.cmd('FUNCTION', 'FLUSH');
  }
  await client.cmd('FLUSHALL');
  const before = await memory(client);
  const storms = Array.from({ length: CONNECTIONS }, () =>
    blow(server, new Random(random.uint32()), end),
  );
  const counts = await Promise.all(storms);
  t.diagnostic(`${counts.reduce((a, b) => a + b)} commands`);
  assert.equal(await client.cmd('PING'), 'PONG');

  // Once by deleting each key on its own, so that every way of freeing has to count right.
  await client.cmd('CONFIG', 'SET', 'maxmemory', 0);
  for (const key of await client.cmd('KEYS', '*')) {
    await client.cmd('DEL', Buffer.from(key, 'latin1'));
  }
  await eventually(async () => (await client.cmd('DBSIZE')) === 0, { what: 'an empty database' });
  await comesBack(client, before, TABLE_SLACK);
  await client.cmd('FLUSHALL');
  if (KIND === 'godwit') {
    await client.cmd('FUNCTION', 'FLUSH'); // libraries are counted, and no key
  }
  await comesBack(client, before, 0);
  if (KIND === 'godwit') {
    assert.equal((await memory(client)).data, before.data, 'more was given back than taken');
  }
});
