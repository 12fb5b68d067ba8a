// DUMP of one server is RESTOREd by the other, both ways, and a damaged payload by neither.
import assert from 'node:assert/strict';
import test from 'node:test';
import { crc64 } from '../lib/crc64.js';
import { plain, show } from '../lib/resp.js';
import { seeded } from '../lib/seed.js';
import { godwitOnly, startServer } from '../lib/server.js';

// Every shape that either server keeps a string or a hash in, and their limits.
function values(random) {
  const rows = [
    ['SET', 'empty', ''],
    ...['0', '-1', '127', '128', '-32769', '2147483648', '9223372036854775807', '01', '1.5'].map(
      (v) => ['SET', `int:${v}`, v],
    ),
    ['SET', 'short', 'hello'],
    ['SET', 'binary', random.bytes(64)],
    ['SET', 'repeats', Buffer.alloc(5000, 'abcabcd')],
    ['SET', 'noise', random.bytes(20000)],
    ['SET', 'sparse', Buffer.concat([Buffer.alloc(300000), random.bytes(10), Buffer.alloc(70000)])],
    ['SETBIT', 'bits', 100003, 1],
    ['HSET', 'h:one', 'f', 'v'],
    [
      'HSET',
      'h:numbers',
      'a',
      '1',
      'b',
      '-1',
      'c',
      '4095',
      'd',
      '-4097',
      'e',
      '8388607',
      'f',
      '1e3',
    ],
    ['HSET', 'h:wide', 'f', Buffer.alloc(65, 'w'), 'g', Buffer.alloc(5000, 'x'), '', ''],
    ['HSET', 'h:binary', random.bytes(20), random.bytes(63), '\x00', '\xff'],
    ['ZADD', 'z:one', '1', 'm'],
    ['ZADD', 'z:scores', 'inf', 'a', '-inf', 'b', '0.1', 'c', '-1.5', 'd', '1e300', 'e', '4097', '12'],
    ['ZADD', 'z:wide', '1', Buffer.alloc(65, 'w'), '2', ''],
  ];
  rows.push(
    ['RPUSH', 'l:one', ''],
    ['RPUSH', 'l:mixed', '1', '-1', '4095', '-4097', '8388607', '1e3', 'abc', random.bytes(70)],
    ['RPUSH', 'l:wide', Buffer.alloc(5000, 'x'), 'y', random.bytes(20000), Buffer.alloc(300, 'z')],
    ['LPUSH', 'l:long', ...Array.from({ length: 3000 }, (_, i) => `${i * 7919}:${i % 7}`)],
    ['SADD', 'e:one', 'm'],
    ['SADD', 'e:int16', '1', '-32768', '32767'],
    ['SADD', 'e:int32', '1', '-32769', '2147483647'],
    ['SADD', 'e:int64', '1', '-9223372036854775808', '2147483648'],
    ['SADD', 'e:mixed', '1', 'x', '', Buffer.alloc(65, 'w'), '01'],
    ['SADD', 'e:binary', random.bytes(20), '\x00', '\xff'],
    ['SADD', 'e:numbers', ...Array.from({ length: 600 }, (_, i) => `${i * 77}`)],
    ['SADD', 'e:words', ...Array.from({ length: 3000 }, (_, i) => `w${i}`)],
    ['PFADD', 'p:sparse', 'a', 'b', 'c'],
    ['PFADD', 'p:dense', ...Array.from({ length: 3000 }, (_, i) => `e${i}`)],
  );
  for (const count of [100, 512, 513, 3000]) {
    const pairs = Array.from({ length: count }, (_, i) => [`field${i}`, `${i * 7919}`]).flat();
    rows.push(['HSET', `h:${count}`, ...pairs]);
    rows.push(['ZADD', `z:${count}`, ...pairs.slice().reverse()]);
  }
  return rows;
}

async function content(client, key) {
  const type = await client.cmd('TYPE', key);
  if (type === 'list') {
    return show(await client.call('LRANGE', key, 0, -1));
  }
  if (type === 'set') {
    return (await client.call('SMEMBERS', key)).a.map(show).sort();
  }
  if (type === 'zset') {
    const members = await client.cmd('ZRANGE', key, 0, -1, 'WITHSCORES');
    return members.flat().map((v, i) => (i % 2 ? Number(v) : v));
  }
  const reply = await client.call(type === 'hash' ? 'HGETALL' : 'GET', key);
  const pairs = reply.a ? reply.a.map(show) : null;
  return pairs
    ? pairs.flatMap((f, i) => (i % 2 ? [] : [`${f}=${pairs[i + 1]}`])).sort()
    : show(reply);
}

async function exchange(t, random, from, to) {
  for (const command of values(random)) {
    const key = command[1];
    plain(await from.call(...command));
    const dump = await from.call('DUMP', key);
    assert.equal(dump.t, '$', `DUMP ${key}`);
    assert.equal(show(await to.call('RESTORE', key, 0, dump.b)), '+OK', `RESTORE ${key}`);
    assert.deepEqual(await content(to, key), await content(from, key), key);

    assert.match(show(await to.call('RESTORE', key, 0, dump.b)), /^-BUSYKEY /);
    assert.equal(show(await to.call('RESTORE', key, 60000, dump.b, 'REPLACE')), '+OK');
    assert.ok((await to.cmd('PTTL', key)) > 30000);
    assert.deepEqual(crc64(dump.b.subarray(0, -8)), dump.b.subarray(-8));
    const damaged = Buffer.from(dump.b);
    damaged[random.below(damaged.length)] ^= 1 << random.below(8);
    const refused = show(await to.call('RESTORE', `${key}:damaged`, 0, damaged));
    assert.equal(refused, '-ERR DUMP payload version or checksum are wrong');
  }
}

test('DUMP and RESTORE exchange every value with redis-server 7.0', async (t) => {
  const random = seeded(t);
  const redis = await (await startServer(t, { kind: 'redis' })).client(t);
  const godwit = await (await startServer(t)).client(t);

  await t.test('a payload of redis-server restores in Godwit', () =>
    exchange(t, random, redis, godwit),
  );
  await redis.cmd('FLUSHALL');
  await godwit.cmd('FLUSHALL');
  await t.test('a payload of Godwit restores in redis-server', () =>
    exchange(t, random, godwit, redis),
  );
});

test('a hash with field expiry keeps it through DUMP and RESTORE', godwitOnly, async (t) => {
  const godwit = await (await startServer(t)).client(t);

  await godwit.cmd('HSET', 'h', 'a', '1', 'b', '2', 'c', '3');
  await godwit.cmd('HPEXPIREAT', 'h', 4102444800123, 'FIELDS', 1, 'b');
  const dump = await godwit.call('DUMP', 'h');
  assert.equal(dump.b.readUInt16LE(dump.b.length - 10), 12, 'the payload says version 12');
  await godwit.cmd('RESTORE', 'copy', 0, dump.b);
  assert.deepEqual(
    await godwit.cmd('HPEXPIRETIME', 'copy', 'FIELDS', 3, 'a', 'b', 'c'),
    [-1, 4102444800123, -1],
  );
  assert.deepEqual(await content(godwit, 'copy'), await content(godwit, 'h'));
});

test('DUMP writes version 10, so that 7.0 reads it', godwitOnly, async (t) => {
  const godwit = await (await startServer(t)).client(t);

  for (const [key, ...command] of [
    ['s', 'SET', 's', 'v'],
    ['h', 'HSET', 'h', 'f', 'v'],
    ['l', 'RPUSH', 'l', 'v'],
    ['e', 'SADD', 'e', 'm'],
    ['i', 'SADD', 'i', '1'],
    ['z', 'ZADD', 'z', '1', 'm'],
  ]) {
    await godwit.cmd(...command);
    const { b } = await godwit.call('DUMP', key);
    assert.equal(b.readUInt16LE(b.length - 10), 10);
  }
});

// 7.2 keeps small sets as listpacks and dumps them so; 7.0, the peer, has none.
test('RESTORE reads a set that 7.2 has written', godwitOnly, async (t) => {
  const godwit = await (await startServer(t)).client(t);
  const elements = Buffer.from([0x81, 0x61, 2, 7, 1, 0x82, 0x62, 0x63, 3]); // a, 7, bc
  const pack = (body, count) => {
    const list = Buffer.concat([Buffer.alloc(6), body, Buffer.from([0xff])]);
    list.writeUInt32LE(list.length, 0);
    list.writeUInt16LE(count, 4);
    const value = Buffer.concat([Buffer.from([20, list.length]), list, Buffer.from([11, 0])]);
    return Buffer.concat([value, crc64(value)]);
  };

  assert.equal(await godwit.cmd('RESTORE', 'e', 0, pack(elements, 3)), 'OK');
  assert.deepEqual((await godwit.cmd('SMEMBERS', 'e')).map(String).sort(), ['7', 'a', 'bc']);
  const twice = Buffer.concat([elements, elements.subarray(0, 3)]);
  for (const bad of [pack(elements, 4), pack(twice, 4), pack(Buffer.alloc(0), 0)]) {
    assert.match(show(await godwit.call('RESTORE', 'x', 0, bad)), /^-ERR Bad data format/);
  }
});

// A valid checksum proves nothing about what stands before it: lengths that lie must be refused
// without a crash and without the memory they ask for.
test('RESTORE refuses payloads whose inside lies', godwitOnly, async (t) => {
  const server = await startServer(t);
  const godwit = await server.client(t);
  const random = seeded(t);
  const before = server.rssBytes();

  await godwit.cmd('HSET', 'h', ...Array.from({ length: 200 }, (_, i) => `x${i}`));
  await godwit.cmd('SET', 's', Buffer.alloc(1000, 'ab'));
  await godwit.cmd('RPUSH', 'l', ...Array.from({ length: 200 }, (_, i) => `x${i}`));
  await godwit.cmd('SADD', 'e', ...Array.from({ length: 200 }, (_, i) => `x${i}`));
  await godwit.cmd('SADD', 'i', ...Array.from({ length: 20 }, (_, i) => i * 3));
  await godwit.cmd('ZADD', 'z', ...Array.from({ length: 200 }, (_, i) => `${i}`));
  for (const key of ['h', 's', 'l', 'e', 'i', 'z']) {
    const { b } = await godwit.call('DUMP', key);
    for (let i = 0; i < 300; i++) {
      const damaged = Buffer.from(b);
      damaged[random.below(Math.min(40, damaged.length - 10))] = random.below(256);
      crc64(damaged.subarray(0, -8)).copy(damaged, damaged.length - 8);
      const reply = await godwit.call('RESTORE', 'victim', 0, damaged, 'REPLACE');
      assert.ok(
        reply.t === '+' || /^ERR Bad data format|^ERR DUMP payload/.test(reply.s),
        show(reply),
      );
      if (reply.t === '+') {
        await content(godwit, 'victim');
      }
    }
  }
  assert.ok(server.rssBytes() < before + (256 << 20));
});

// Use is noted under a policy that goes by it, and one policy's is nothing to the other.
test('RESTORE sets how long unused and how often used', async (t) => {
  const client = await (await startServer(t)).client(t);
  const large = Array.from({ length: 600 }, (_, i) => [`f${i}`, 'v']).flat();
  const keys = ['text', 'number', 'hash', 'large'];

  await client.cmd('SET', 'text', 'hello');
  await client.cmd('SET', 'number', '70000');
  await client.cmd('HSET', 'hash', 'f', 'v');
  await client.cmd('HSET', 'large', ...large);
  const payloads = [];
  for (const key of keys) {
    payloads.push((await client.call('DUMP', key)).b);
  }
  const restore = async (...options) => {
    for (const [i, key] of keys.entries()) {
      await client.cmd('RESTORE', key, 0, payloads[i], 'REPLACE', ...options);
    }
  };
  const use = async (what) => {
    const all = [];
    for (const key of keys) {
      all.push(await client.cmd('OBJECT', what, key));
    }
    return all;
  };

  await client.cmd('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await restore('IDLETIME', 1000);
  assert.ok((await use('IDLETIME')).every((s) => s >= 999 && s < 1100));
  await restore('FREQ', 200);
  assert.ok((await use('IDLETIME')).every((s) => s < 100));
  await client.cmd('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lfu');
  await restore('FREQ', 200);
  assert.ok((await use('FREQ')).every((n) => n >= 198 && n <= 200));
  await restore('FREQ', 0);
  assert.ok((await use('FREQ')).every((n) => n === 0));
  await restore('IDLETIME', 1000);
  assert.ok((await use('FREQ')).every((n) => n < 10));
});
