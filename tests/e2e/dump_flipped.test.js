// A payload of DUMP with one bit turned round, of every type and every shape that a value is kept in: refused as
// Redis refuses it, and where the checksum is made right again, refused or restored, never worse.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Bystander } from '../lib/bystander.js';
import { crc64, resealed } from '../lib/crc64.js';
import { SLOW } from '../lib/eventually.js';
import { show } from '../lib/resp.js';
import { seeded } from '../lib/seed.js';
import { godwitOnly, startServer } from '../lib/server.js';

const MB = 1 << 20;
const WRONG_CHECKSUM = '-ERR DUMP payload version or checksum are wrong';
const REFUSED = /^-ERR (Bad data format|DUMP payload version or checksum are wrong)$/;
const many = (count, fn) => Array.from({ length: count }, (_, i) => fn(i)).flat();

const VALUES = {
  'a string': [['SET', 'k', 'hello']],
  'a number': [['SET', 'k', '70000']],
  'a string that repeats': [['SET', 'k', 'abcabc'.repeat(40)]],
  'a bitmap': [['SETBIT', 'k', '70000', '1']],
  'a list': [['RPUSH', 'k', 'a', '1', '-70000', 'b'.repeat(70)]],
  'a long list': [['RPUSH', 'k', ...many(600, (i) => `${i}:${i * 7919}`)]],
  'a set': [['SADD', 'k', 'a', 'b', '1']],
  'a set of numbers': [['SADD', 'k', '1', '-70000', '5000000000']],
  'a large set': [['SADD', 'k', ...many(600, (i) => `m${i}`)]],
  'a hash': [['HSET', 'k', 'a', '1', 'b', 'x'.repeat(70)]],
  'a large hash': [['HSET', 'k', ...many(600, (i) => [`f${i}`, `${i * 7919}`])]],
  'a hash with expiry': [
    ['HSET', 'k', 'a', '1', 'b', '2'],
    ['HPEXPIREAT', 'k', '4102444800123', 'FIELDS', '1', 'b'],
  ],
  'a sorted set': [['ZADD', 'k', '1', 'a', '-1.5', 'b', 'inf', 'c']],
  'a large sorted set': [['ZADD', 'k', ...many(600, (i) => [`${i / 7}`, `m${i}`])]],
  'a stream': [
    ['XADD', 'k', '1-1', 'a', '1', 'b', '2'],
    ['XADD', 'k', '2-1', 'a', '3', 'b', '4'],
    ['XADD', 'k', '2-2', 'c', 'x'.repeat(70)],
    ['XDEL', 'k', '2-1'],
    ['XGROUP', 'CREATE', 'k', 'g', '0'],
    ['XREADGROUP', 'GROUP', 'g', 'one', 'COUNT', '1', 'STREAMS', 'k', '>'],
    ['XREADGROUP', 'GROUP', 'g', 'two', 'COUNT', '1', 'STREAMS', 'k', '>'],
  ],
  'a long stream': many(300, (i) => [['XADD', 'k', `${i + 1}-1`, 'n', `${i * 7919}`]]),
  'a HyperLogLog': [['PFADD', 'k', 'a', 'b', 'c']],
  'places': [['GEOADD', 'k', '13.361389', '38.115556', 'a', '15.087269', '37.502669', 'b']],
  'a document': [['JSON.SET', 'k', '$', '{"a":[1,-2.5,"x",true,null],"b":{"c":"é\\u0000"}}']],
};

// What it holds, read in every way that walks all of it.
const WALKS = {
  string: [['GET', 'v'], ['STRLEN', 'v'], ['PFCOUNT', 'v'], ['BITCOUNT', 'v']],
  list: [['LRANGE', 'v', '0', '-1'], ['LPOS', 'v', 'none'], ['LINSERT', 'v', 'BEFORE', 'none', 'x'], ['RPUSH', 'v', 'x']],
  set: [['SMEMBERS', 'v'], ['SSCAN', 'v', '0'], ['SADD', 'v', 'more']],
  hash: [['HGETALL', 'v'], ['HTTL', 'v', 'FIELDS', '1', 'b'], ['HSET', 'v', 'more', '1']],
  zset: [['ZRANGE', 'v', '0', '-1', 'WITHSCORES'], ['ZRANGEBYLEX', 'v', '-', '+'], ['ZADD', 'v', '3', 'more']],
  stream: [
    ['XRANGE', 'v', '-', '+'],
    ['XINFO', 'STREAM', 'v', 'FULL'],
    ['XPENDING', 'v', 'g', '-', '+', '10'],
    ['XADD', 'v', '*', 'a', 'b'],
    ['XTRIM', 'v', 'MAXLEN', '1'],
  ],
  'ReJSON-RL': [['JSON.GET', 'v'], ['JSON.GET', 'v', '$..*']],
};

async function payload(client, commands) {
  await client.cmd('DEL', 'k');
  await client.pipeline(commands);
  return (await client.call('DUMP', 'k')).b;
}

// All bits of a short one; of a long one those of its head and end, and some between, by chance.
function bitsOf(random, bytes) {
  const all = bytes.length * 8;
  if (bytes.length <= 150) {
    return Array.from({ length: all }, (_, i) => i);
  }
  const ends = Array.from({ length: 640 }, (_, i) => (i < 400 ? i : all - 640 + i));
  return [...new Set([...ends, ...Array.from({ length: 600 }, () => random.below(all))])];
}

function flipped(bytes, bit) {
  const out = Buffer.from(bytes);
  out[bit >> 3] ^= 1 << (bit & 7);
  return out;
}

async function walk(client) {
  const type = await client.cmd('TYPE', 'v');
  const replies = await client.pipeline(WALKS[type]);
  const again = await client.call('DUMP', 'v');
  if (again.t === '$') {
    assert.equal(show(await client.call('RESTORE', 'w', '0', again.b, 'REPLACE')), '+OK', 'it dumps what it restores');
  }
  return replies;
}

test('every flipped bit of a payload is noticed', async (t) => {
  const random = seeded(t);
  const server = await startServer(t);
  const client = await server.client(t);

  for (const [name, commands] of Object.entries(VALUES)) {
    const bytes = await payload(client, commands);
    if (!bytes) {
      continue; // redis-server, which has no such type
    }
    const bits = bitsOf(random, bytes);
    const replies = await client.pipeline(bits.map((bit) => ['RESTORE', 'v', '0', flipped(bytes, bit)]));
    replies.forEach((reply, i) => assert.equal(show(reply), WRONG_CHECKSUM, `${name}, bit ${bits[i]}`));
    for (const cut of [0, 1, 9, 10, bytes.length - 1]) {
      const reply = await client.call('RESTORE', 'v', '0', bytes.subarray(0, cut));
      assert.equal(show(reply), WRONG_CHECKSUM, `${name}, cut at ${cut}`);
    }
    assert.equal(await client.cmd('EXISTS', 'v'), 0);
    assert.equal(show(await client.call('RESTORE', 'v', '0', bytes)), '+OK', name);
    await client.cmd('DEL', 'v');
  }
});

test('with a right checksum it is refused or restored, and what is restored can be used', godwitOnly, async (t) => {
  const random = seeded(t);
  // At its end it applies its change log to an empty database, which has to give the same.
  const server = await startServer(t, { env: { GODWIT_CHECK_LOG_AT_EXIT: 'yes' } });
  const client = await server.client(t);
  const bystander = await Bystander.watch(t, server);
  const before = server.rssBytes();

  for (const [name, commands] of Object.entries(VALUES)) {
    const bytes = await payload(client, commands);
    let restored = 0;

    for (const bit of bitsOf(random, bytes)) {
      const damaged = resealed(flipped(bytes, bit));
      const reply = show(await client.call('RESTORE', 'v', '0', damaged, 'REPLACE'));
      if (reply === '+OK') {
        await walk(client).catch((err) => {
          throw new Error(`${name}, bit ${bit}: ${err.message}`);
        });
        restored++;
      } else {
        assert.match(reply, REFUSED, `${name}, bit ${bit}`);
      }
    }
    assert.ok(restored > 0, `${name}: every bit is refused, so the checksum was not right`);
  }
  assert.ok(server.rssBytes() < before + (SLOW > 1 ? 768 : 256) * MB, `${server.rssBytes() - before} bytes more`);
  await bystander.served();
});

// A module's value with a text of our own, as RedisJSON writes it.
function document(text) {
  const head = Buffer.from('0781', 'hex');
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const id = [...'ReJSON-RL'].reduce((n, c) => (n << 6n) | BigInt(letters.indexOf(c)), 0n);
  const length = Buffer.alloc(8 + 1 + 5);
  length.writeBigUInt64BE((id << 10n) | 3n);
  length[8] = 5;
  length[9] = 0x80;
  length.writeUInt32BE(text.length, 10);
  const value = Buffer.concat([head, length, Buffer.from(text), Buffer.from([0, 10, 0])]);
  return Buffer.concat([value, crc64(value)]);
}

test('a payload of a document that is 10,000 deep is refused', godwitOnly, async (t) => {
  const client = await (await startServer(t)).client(t);
  const deep = (n, open = '[', close = ']') => open.repeat(n) + close.repeat(n);

  assert.equal(await client.cmd('RESTORE', 'v', '0', document(deep(128))), 'OK');
  assert.equal(await client.cmd('JSON.GET', 'v'), deep(128));
  for (const text of [deep(129), deep(10000), '['.repeat(1000000), deep(10000, '{"a":', '}'), '', '[1', 'nan']) {
    assert.equal(show(await client.call('RESTORE', 'w', '0', document(text))), '-ERR Bad data format', text.slice(0, 20));
  }
  assert.equal(await client.cmd('EXISTS', 'w'), 0);
});
