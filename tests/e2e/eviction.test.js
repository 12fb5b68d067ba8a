// maxmemory under every policy: memory stays under the limit, what goes is what the policy says,
// and what it protects stays.
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, passTime } from '../lib/eventually.js';
import { show } from '../lib/resp.js';
import { KIND, parseInfo, startServer } from '../lib/server.js';

const LIMIT = 24 << 20;
const VALUE = Buffer.alloc(1000, 'v');

async function start(t, policy) {
  const server = await startServer(t, {
    args: ['--maxmemory', LIMIT, '--maxmemory-policy', policy, '--maxmemory-samples', 10],
  });
  return { server, client: await server.client(t) };
}

async function put(client, from, to, command) {
  const replies = [];
  for (let at = from; at < to; at += 500) {
    const count = Math.min(500, to - at);
    replies.push(
      ...(await client.pipeline(Array.from({ length: count }, (_, i) => command(at + i)))),
    );
  }
  return replies;
}

async function exist(client, from, to) {
  const replies = await put(client, from, to, (i) => ['EXISTS', `k${i}`]);
  return replies.filter((r) => r.s === '1').length;
}

async function memory(client) {
  return parseInfo(await client.cmd('INFO', 'everything'));
}

// Godwit's limit is about the data, which it counts exactly but for 64 KiB a worker.
async function staysBelow(client) {
  const [field, most] =
    KIND === 'godwit' ? ['used_memory_dataset', LIMIT + (1 << 19)] : ['used_memory', LIMIT * 1.05];
  await eventually(async () => Number((await memory(client))[field]) <= most, {
    what: `${field} falling to maxmemory`,
  });
  const info = await memory(client);
  assert.ok(Number(info.evicted_keys) > 0);
  assert.equal(info.maxmemory, String(LIMIT));
}

for (const policy of ['allkeys-lru', 'allkeys-lfu', 'allkeys-random']) {
  test(`${policy} makes room among all keys`, async (t) => {
    const { client } = await start(t, policy);
    const replies = await put(client, 0, 40000, (i) => ['SET', `k${i}`, VALUE]);

    assert.equal(replies.filter((r) => r.t !== '+').length, 0, 'no write was refused');
    await staysBelow(client);
    const left = await client.cmd('DBSIZE');
    assert.ok(left > 5000 && left < 35000, `${left} keys left`);
  });
}

test('allkeys-lru keeps what is used', async (t) => {
  const { client } = await start(t, 'allkeys-lru');

  await put(client, 0, 12000, (i) => ['SET', `k${i}`, VALUE]);
  for (let at = 12000; at < 30000; at += 1000) {
    await passTime(150); // the clock that eviction goes by is coarse
    await put(client, 0, 2000, (i) => ['GET', `k${i}`]);
    await put(client, at, at + 1000, (i) => ['SET', `k${i}`, VALUE]);
  }
  const used = await exist(client, 0, 2000);
  const unused = await exist(client, 2000, 12000);
  assert.ok(used / 2000 > unused / 10000 + 0.3, `${used} of 2000 used, ${unused} of 10000 unused`);
});

test('allkeys-lfu keeps what is used often', async (t) => {
  const { client } = await start(t, 'allkeys-lfu');

  await put(client, 0, 12000, (i) => ['SET', `k${i}`, VALUE]);
  for (let round = 0; round < 20; round++) {
    await put(client, 0, 1000, (i) => ['GET', `k${i}`]);
  }
  await put(client, 12000, 30000, (i) => ['SET', `k${i}`, VALUE]);
  assert.ok((await exist(client, 0, 1000)) > 850);
  assert.ok((await client.cmd('OBJECT', 'FREQ', 'k29999')) >= 0);
});

for (const policy of ['volatile-lru', 'volatile-lfu', 'volatile-random', 'volatile-ttl']) {
  test(`${policy} takes only keys with an expiry`, async (t) => {
    const { client } = await start(t, policy);

    await put(client, 0, 3000, (i) => ['SET', `k${i}`, VALUE]);
    await put(client, 3000, 30000, (i) => ['SET', `k${i}`, VALUE, 'EX', 1000 + i]);
    await staysBelow(client);
    assert.equal(await exist(client, 0, 3000), 3000, 'a key without expiry was taken');
    assert.ok((await exist(client, 3000, 30000)) < 25000);
  });

  test(`${policy} refuses writes when no key has an expiry`, async (t) => {
    const { client } = await start(t, policy);
    const replies = await put(client, 0, 40000, (i) => ['SET', `k${i}`, VALUE]);
    const refused = replies.find((r) => r.t === '-');

    assert.equal(show(refused), "-OOM command not allowed when used memory > 'maxmemory'.");
    assert.equal(await exist(client, 0, 1000), 1000);
  });
}

test('volatile-ttl takes what ends first', async (t) => {
  const { client } = await start(t, 'volatile-ttl');

  await put(client, 0, 12000, (i) => ['SET', `k${i}`, VALUE, 'EX', i % 2 ? 100000 : 1000]);
  await put(client, 12000, 28000, (i) => ['SET', `k${i}`, VALUE, 'EX', 200000]);
  const replies = await put(client, 0, 12000, (i) => ['EXISTS', `k${i}`]);
  const left = [0, 0];
  replies.forEach((r, i) => (left[i % 2] += Number(r.s)));
  assert.ok(left[1] > left[0] + 1000, `${left[0]} of the short, ${left[1]} of the long`);
});

test('noeviction refuses, and a higher limit lets writes in again', async (t) => {
  const { client } = await start(t, 'noeviction');
  const replies = await put(client, 0, 40000, (i) => ['SET', `k${i}`, VALUE]);

  assert.ok(replies.some((r) => /^OOM /.test(r.s)));
  assert.equal((await memory(client)).evicted_keys, '0');
  await client.cmd('CONFIG', 'SET', 'maxmemory', 4 * LIMIT);
  assert.equal(show(await client.call('SET', 'again', 'v')), '+OK');
  await client.cmd('CONFIG', 'SET', 'maxmemory', LIMIT, 'maxmemory-policy', 'allkeys-random');
  await client.call('SET', 'again', 'v');
  await staysBelow(client);
});

test('memory comes back after a flush', async (t) => {
  const { client, server } = await start(t, 'noeviction');
  const field = KIND === 'godwit' ? 'used_memory_dataset' : 'used_memory';
  const before = Number((await memory(client))[field]);

  await put(client, 0, 10000, (i) => ['SET', `k${i}`, VALUE]);
  await put(client, 0, 100, (i) => [
    'HSET',
    `h${i}`,
    ...Array.from({ length: 400 }, (_, j) => `x${j}`),
  ]);
  assert.ok(Number((await memory(client))[field]) > before + 10000 * 1000);
  await client.cmd('FLUSHALL');
  await eventually(async () => Number((await memory(client))[field]) < before + (1 << 20));
  assert.ok(server.rssBytes() > 0);
});
