// Publish and subscribe: word for word as redis-server, over several workers, and with the published
// clients.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { eventually } from '../lib/eventually.js';
import { Line, play } from '../lib/line.js';
import { startServer } from '../lib/server.js';

// [who, command…]; after each step everything that reached anybody is compared.
const DIALOGUES = {
  channels: [
    ['a', 'SUBSCRIBE', 'c1', 'c2', 'c1'],
    ['b', 'SUBSCRIBE', 'c1'],
    ['p', 'PUBLISH', 'c1', 'hello'],
    ['p', 'PUBLISH', 'c2', ''],
    ['p', 'PUBLISH', 'none', 'x'],
    ['p', 'PUBSUB', 'NUMSUB', 'c1', 'c2', 'c3'],
    ['p', 'PUBSUB', 'NUMSUB'],
    ['p', 'PUBSUB', 'CHANNELS', 'c1'],
    ['p', 'PUBSUB', 'CHANNELS', 'x*'],
    ['p', 'PUBSUB', 'NUMPAT'],
    ['a', 'UNSUBSCRIBE', 'c1', 'nope'],
    ['p', 'PUBLISH', 'c1', 'again'],
    ['a', 'UNSUBSCRIBE'],
    ['a', 'UNSUBSCRIBE'],
    ['b', 'UNSUBSCRIBE'],
    ['p', 'PUBLISH', 'c1', 'nobody'],
  ],
  patterns: [
    ['a', 'PSUBSCRIBE', 'c*', 'c?'],
    ['a', 'SUBSCRIBE', 'c1'],
    ['b', 'PSUBSCRIBE', 'c*', '[ab]*', '\\*'],
    ['p', 'PUBSUB', 'NUMPAT'],
    ['p', 'PUBSUB', 'CHANNELS'],
    ['p', 'PUBLISH', 'c1', 'm'],
    ['p', 'PUBLISH', 'a', 'm'],
    ['p', 'PUBLISH', '*', 'm'],
    ['p', 'PUBLISH', '', 'm'],
    ['a', 'PUNSUBSCRIBE', 'c?', 'zz'],
    ['p', 'PUBLISH', 'c1', 'n'],
    ['b', 'PUNSUBSCRIBE', 'c*'],
    ['a', 'PUNSUBSCRIBE'],
    ['a', 'PUNSUBSCRIBE'],
    ['p', 'PUBLISH', 'c1', 'o'],
  ],
  'in a transaction': [
    [
      'a', ['MULTI'], ['SUBSCRIBE', 'c1', 'c2'], ['SSUBSCRIBE', 's'], ['PSUBSCRIBE', 'p*'], ['SET', 'k', 'v'],
      ['UNSUBSCRIBE', 'c2'], ['EXEC'],
    ],
    [
      'p', ['MULTI'], ['PUBLISH', 'c1', 'one'], ['SPUBLISH', 's', 'none'], ['SET', 'k', 'w'], ['PUBLISH', 'p1', 'two'],
      ['PUBLISH', 'c2', 'none'], ['EXEC'],
    ],
    ['p', ['MULTI'], ['PUBLISH', 'c1', 'never'], ['DISCARD']],
    ['a', 'UNSUBSCRIBE'],
    ['a', 'PUNSUBSCRIBE'],
    ['a', 'GET', 'k'],
  ],
  'shard channels': [
    ['a', 'SSUBSCRIBE', 's1', 's2'],
    ['b', 'SUBSCRIBE', 's1'],
    ['b', 'PSUBSCRIBE', '*'],
    ['p', 'SPUBLISH', 's1', 'x'],
    ['p', 'PUBLISH', 's1', 'y'],
    ['p', 'PUBSUB', 'SHARDCHANNELS', 's1'],
    ['p', 'PUBSUB', 'SHARDNUMSUB', 's1', 's2', 's3'],
    ['p', 'PUBSUB', 'SHARDNUMSUB'],
    ['a', 'SUNSUBSCRIBE', 's2', 's9'],
    ['a', 'SUBSCRIBE', 'c'],
    ['a', 'SUNSUBSCRIBE'],
    ['a', 'SUNSUBSCRIBE'],
    ['p', 'SPUBLISH', 's1', 'z'],
  ],
  'what a subscriber may say': [
    ['a', 'SUBSCRIBE', 'c'],
    ['a', 'GET', 'k'],
    ['a', 'SET', 'k'],
    ['a', 'CLIENT', 'ID', 'x'],
    ['a', 'CLIENT', 'GETNAME'],
    ['a', 'PUBLISH', 'c', 'x'],
    ['a', 'PUBSUB', 'NUMPAT'],
    ['a', 'NOSUCH'],
    ['a', 'PING'],
    ['a', 'PING', 'x', 'y'],
    ['a', 'SSUBSCRIBE', 's'],
    ['a', 'PSUBSCRIBE', 'p'],
    ['a', 'RESET'],
    ['a', 'GET', 'k'],
    ['p', 'PUBLISH', 'c', 'x'],
    ['b', 'SUBSCRIBE', 'c'],
    ['b', 'QUIT'],
    ['p', 'PUBLISH', 'c', 'x'],
  ],
  'replies that are off': [
    ['a', 'CLIENT', 'REPLY', 'OFF'],
    ['a', 'SUBSCRIBE', 'c'],
    ['p', 'PUBLISH', 'c', 'x'],
    ['a', 'UNSUBSCRIBE', 'c'],
    ['a', 'CLIENT', 'REPLY', 'ON'],
    ['a', 'CLIENT', 'REPLY', 'SKIP'],
    ['a', 'SUBSCRIBE', 'c'],
    ['p', 'PUBLISH', 'c', 'x'],
  ],
  errors: [
    ['p', 'SUBSCRIBE'],
    ['p', 'PSUBSCRIBE'],
    ['p', 'SSUBSCRIBE'],
    ['p', 'PUBLISH', 'c'],
    ['p', 'SPUBLISH', 'c'],
    ['p', 'PUBSUB'],
    ['p', 'PUBSUB', 'NOPE'],
    ['p', 'PUBSUB', 'NUMPAT', 'x'],
    ['p', 'PUBSUB', 'CHANNELS', 'x', 'y'],
    ['p', 'PUBSUB', 'SHARDCHANNELS', 'x', 'y'],
  ],
};

// The order of patterns that match, and of all that are left at once, is a table's: each server's own.
function even(step) {
  if (/UNSUBSCRIBE$/.test(step.command)) {
    return { ...step, a: step.a.map((x) => x.replace(/(unsubscribe" \$)"[^"]*"/, '$1')).sort() };
  }
  return /PUBLISH/.test(step.command) ? { ...step, a: [...step.a].sort() } : step;
}

test('word for word as redis-server', async (t) => {
  const redis = await startServer(t, { kind: 'redis', password: 'swordfish' });
  const godwit = await startServer(t, { kind: 'godwit', password: 'swordfish', workers: 2 });

  for (const proto of [2, 3]) {
    for (const [name, steps] of Object.entries(DIALOGUES)) {
      await t.test(`${name}, RESP${proto}`, async (t) => {
        const want = await play(t, redis, proto, steps);
        const got = await play(t, godwit, proto, steps);
        assert.deepEqual(got.map(even), want.map(even));
      });
    }
  }
});

test('what the server says of it', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const a = await Line.open(t, server, 2);
  const client = await server.client(t);

  a.send('SUBSCRIBE', 'c', 'd');
  a.send('PSUBSCRIBE', 'p*');
  a.send('SSUBSCRIBE', 's');
  await a.settled();
  const info = await server.info();
  assert.equal(info.pubsub_channels, '2');
  assert.equal(info.pubsub_patterns, '1');
  assert.equal(info.pubsubshard_channels, '1');
  const list = await client.cmd('CLIENT', 'LIST', 'TYPE', 'pubsub');
  assert.match(list, / flags=P .* sub=2 psub=1 ssub=1 /);
  assert.equal(list.trim().split('\n').length, 1);
  assert.doesNotMatch(await client.cmd('CLIENT', 'LIST', 'TYPE', 'normal'), /flags=P/);
  await client.cmd('PUBLISH', 'c', 'x');
  await a.settled();
  if (server.adminPort) {
    const { body } = await server.get('/metrics');
    assert.match(body, /^godwit_pubsub_channels 2$/m);
    assert.match(body, /^godwit_pubsub_patterns 1$/m);
    assert.match(body, /^godwit_pubsub_subscriptions 4$/m);
    assert.match(body, /^godwit_pubsub_published_total 1$/m);
    assert.match(body, /^godwit_pubsub_delivered_total 1$/m);
  }
});

test('a publication is not seen before the writes that went before it', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const a = await Line.open(t, server, 3);
  const [writer, reader] = [await server.client(t), await server.client(t)];

  a.send('SUBSCRIBE', 'c');
  await a.settled();
  for (let i = 1; i <= 200; i++) {
    const written = writer.pipeline([
      ['SET', 'k', i],
      ['PUBLISH', 'c', i],
    ]);
    await eventually(() => a.got.length === 1, { everyMs: 0 });
    assert.ok(Number(await reader.cmd('GET', 'k')) >= i);
    assert.equal(a.got.pop(), `>[$"message" $"c" $"${i}"]`);
    await written;
  }
});

test('ioredis', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const open = () => {
    const redis = new Redis({ port: server.port, password: server.password || undefined });
    redis.on('error', () => {});
    t.after(() => redis.disconnect());
    return redis;
  };
  const [sub, pub] = [open(), open()];
  const got = [];

  sub.on('message', (channel, text) => got.push([channel, text]));
  sub.on('pmessage', (pattern, channel, text) => got.push([pattern, channel, text]));
  sub.on('smessage', (channel, text) => got.push(['shard', channel, text]));
  assert.equal(await sub.subscribe('news', 'music'), 2);
  assert.equal(await sub.psubscribe('n*'), 3);
  assert.equal(await sub.ssubscribe('shard'), 1);
  assert.equal(await pub.publish('news', 'hello ☃'), 2);
  assert.equal(await pub.spublish('shard', 'x'), 1);
  await eventually(() => got.length === 3);
  assert.deepEqual(got, [
    ['news', 'hello ☃'],
    ['n*', 'news', 'hello ☃'],
    ['shard', 'shard', 'x'],
  ]);
  await assert.rejects(sub.get('k'), /subscriber mode/);
  await sub.unsubscribe('news', 'music');
  await sub.punsubscribe('n*');
  await sub.sunsubscribe('shard');
  assert.equal(await pub.publish('news', 'x'), 0);
});

test('node-redis', async (t) => {
  const server = await startServer(t, { workers: 2 });
  for (const RESP of [2, 3]) {
    const pub = createClient({
      socket: { port: server.port, host: '127.0.0.1' },
      password: server.password || undefined,
      RESP,
    });
    pub.on('error', () => {});
    await pub.connect();
    const sub = pub.duplicate();
    sub.on('error', () => {});
    await sub.connect();
    t.after(() => pub.destroy());
    t.after(() => sub.destroy());
    const got = [];

    await sub.subscribe('news', (text, channel) => got.push([channel, text]));
    await sub.pSubscribe('n*', (text, channel) => got.push(['n*', channel, text]));
    await sub.sSubscribe('shard', (text, channel) => got.push(['shard', channel, text]));
    assert.equal(await pub.publish('news', 'hello'), 2);
    assert.equal(await pub.sPublish('shard', 'x'), 1);
    await eventually(() => got.length === 3);
    assert.deepEqual(got, [
      ['news', 'hello'],
      ['n*', 'news', 'hello'],
      ['shard', 'shard', 'x'],
    ]);
    await sub.unsubscribe('news');
    await sub.pUnsubscribe();
    await sub.sUnsubscribe('shard');
    assert.equal(await pub.publish('news', 'x'), 0);
    assert.deepEqual(await pub.pubSubChannels(), []);
  }
});
