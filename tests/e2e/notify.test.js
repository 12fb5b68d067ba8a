// Keyspace notifications: every command's events beside redis-server's, expiry, eviction, and that
// nothing is told of what did not happen.
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually } from '../lib/eventually.js';
import { godwitOnly, startServer } from '../lib/server.js';

async function watch(t, server, ...patterns) {
  const client = await server.client(t, { proto: 3 });
  const got = [];
  client.on('push', (reply) => got.push(reply.a.slice(-2).map((x) => x.b?.toString('latin1'))));
  client.socket.write(`PSUBSCRIBE ${patterns.join(' ')}\r\n`);
  await eventually(() => got.length === patterns.length);
  got.length = 0;
  return got;
}

const COMMANDS = [
  'SET k v', 'SET k v EX 100', 'SET k v KEEPTTL', 'SET k v XX GET', 'SET k v NX', 'GET none', 'SETNX k w',
  'SETNX n w', 'SETEX k 100 v', 'PSETEX k 100000 v', 'GETSET k w', 'GETDEL k', 'GETDEL k', 'MSET a 1 b 2',
  'MSETNX a 1 c 2', 'MSETNX c 1 d 2', 'APPEND a 5', 'APPEND new x', 'SETRANGE a 1 zz', 'SETRANGE a 1 ""',
  'INCR i', 'DECRBY i 3', 'INCRBYFLOAT i 1.5', 'INCR a', 'SETBIT bits 7 1', 'SETBIT bits 7 1', 'SETBIT bits 7 0',
  'BITFIELD bits SET u8 0 200', 'BITFIELD bits GET u8 0', 'BITOP NOT dest bits', 'BITOP AND dest x y',
  'EXPIRE a 100', 'PERSIST a', 'PERSIST a', 'EXPIRE a -1', 'PEXPIREAT b 1', 'GETEX c EX 100', 'GETEX c PERSIST',
  'GETEX c', 'GETEX d PXAT 1', 'SET r1 v', 'RENAME r1 r2', 'SET r3 v', 'RENAME r3 r2', 'RENAMENX r2 r3', 'COPY r3 r4',
  'COPY r3 r4', 'COPY r3 r4 REPLACE', 'DEL r3 r4 none', 'UNLINK i', 'HSET h a 1 b 2', 'HSET h a 3', 'HSETNX h a 1',
  'HSETNX h c 1', 'HMSET h d 1', 'HINCRBY h a 2', 'HINCRBYFLOAT h a 0.5', 'HDEL h none', 'HDEL h a b', 'HDEL h c d',
  'MGET none n', 'EXISTS none', 'STRLEN none', 'HGET none f', 'TOUCH none', 'TYPE none', 'TTL none', 'FLUSHALL',
];

// Without misses: Redis counts some of the sources of a STORE command, others not. XREADGROUP that gets nothing
// makes its consumer since 7.2, so each gets something here.
const COLLECTIONS = [
  'LPUSH l a b c', 'RPUSH l d', 'LPUSHX l x', 'RPUSHX none x', 'LPOP l', 'RPOP l 2', 'LPOP l 0', 'LPOP none', 'LSET l 0 z',
  'LINSERT l BEFORE z y', 'LINSERT l AFTER none y', 'LREM l 0 none', 'LREM l 0 y', 'LREM l 0 z', 'RPUSH l a b c d', 'LTRIM l 1 2',
  'LTRIM l 0 -1', 'LMOVE l m LEFT RIGHT', 'RPOPLPUSH l m', 'RPOPLPUSH m m', 'LMPOP 2 none m LEFT COUNT 5', 'RPUSH l 1 2', 'LTRIM l 5 6',
  'LMPOP 1 none LEFT', 'RPUSH l 3 1 2', 'SORT l STORE sorted', 'SORT l STORE sorted', 'SORT l LIMIT 9 9 STORE sorted', 'DEL l',
  'BLPOP none2 0.01', 'RPUSH l 1 2 3', 'BLPOP l 0', 'BRPOP l 0', 'BLMOVE l m LEFT LEFT 0', 'BLMPOP 0 1 m LEFT',
  'SADD s a b c', 'SADD s a', 'SREM s none', 'SREM s a', 'SREM s b c', 'SADD s a b', 'SMOVE s t a', 'SMOVE s t none', 'SADD t b',
  'SMOVE s t b', 'SPOP t', 'SPOP t 0', 'SPOP t 5', 'SADD s a b c d', 'SPOP s 2', 'SPOP s 1', 'SADD s x y', 'SADD t y z', 'SINTERSTORE d s t',
  'SUNIONSTORE d s t', 'SDIFFSTORE d s t', 'SINTERSTORE d s s', 'SDIFFSTORE d s s', 'SDIFFSTORE d s s',
  'ZADD z 1 a 2 b', 'ZADD z 1 a', 'ZADD z CH 3 a', 'ZADD z NX 9 a', 'ZADD z INCR 1 a', 'ZINCRBY z 0 a', 'ZINCRBY z 2 n', 'ZREM z none', 'ZREM z a',
  'ZPOPMIN z', 'ZPOPMAX z 5', 'ZPOPMIN z', 'ZADD z 1 a 2 b 3 c 4 d', 'ZPOPMAX z 0', 'ZREMRANGEBYRANK z 0 0', 'ZREMRANGEBYSCORE z 2 2',
  'ZREMRANGEBYSCORE z 9 9', 'ZREMRANGEBYLEX z [c [c', 'ZREMRANGEBYRANK z 0 -1', 'ZADD z 1 a 2 b', 'ZADD y 1 b', 'ZUNIONSTORE e 2 z y',
  'ZINTERSTORE e 2 z y', 'ZDIFFSTORE e 2 z y', 'ZDIFFSTORE e 2 z z', 'ZDIFFSTORE e 2 z z', 'ZRANGESTORE e z 0 -1', 'ZRANGESTORE e z 5 6',
  'ZMPOP 1 z MIN', 'ZMPOP 1 z MAX COUNT 3', 'ZADD z 1 a 2 b', 'BZPOPMIN z 0', 'BZPOPMAX z 0',
  'GEOADD g 13.361389 38.115556 p 15.087269 37.502669 c', 'GEOADD g 13.361389 38.115556 p', 'GEOSEARCHSTORE h g FROMMEMBER p BYRADIUS 9 km',
  'GEOSEARCHSTORE h g FROMLONLAT 0 0 BYRADIUS 9 km', 'GEORADIUS g 15 37 200 km STORE h', 'GEORADIUS g 0 0 1 km STORE h',
  'XADD x 1-1 f v', 'XADD x NOMKSTREAM 1-2 f v', 'XADD x MAXLEN 2 1-3 f v', 'XADD none3 NOMKSTREAM 1-2 f v', 'XTRIM x MAXLEN 5', 'XTRIM x MAXLEN 1',
  'XDEL x 9-9', 'XDEL x 1-3', 'XSETID x 5-5', 'XGROUP CREATE x g 0', 'XGROUP CREATE w g $ MKSTREAM', 'XGROUP SETID x g 0', 'XADD x 6-1 f v',
  'XGROUP CREATECONSUMER x g c', 'XGROUP CREATECONSUMER x g c', 'XREADGROUP GROUP g c STREAMS x >',
  'XACK x g 6-1', 'XADD x 7-1 f v', 'XREADGROUP GROUP g c STREAMS x >', 'XCLAIM x g e 0 7-1', 'XAUTOCLAIM x g f 0 0', 'XGROUP DELCONSUMER x g c',
  'XGROUP DELCONSUMER x g none', 'XGROUP DESTROY x g', 'XGROUP DESTROY x g',
  'PFADD p a b', 'PFADD p a', 'PFADD q', 'PFMERGE r p q', 'PFCOUNT p',
  'LLEN none4', 'LRANGE none4 0 1', 'SCARD none4', 'SMEMBERS none4', 'ZSCORE none4 a', 'ZRANGE none4 0 1', 'XLEN none4', 'XRANGE none4 - +',
];

const split = (text) => text.split(' ').map((word) => (word === '""' ? '' : word));

async function eventsOf(t, server, commands, classes) {
  const client = await server.client(t);
  const all = [];

  await client.cmd('FLUSHALL');
  await client.cmd('CONFIG', 'SET', 'notify-keyspace-events', classes);
  const got = await watch(t, server, '__key*');
  const ask = async (text, lines) => {
    const replies = await client.pipeline(lines);
    await client.cmd('PUBLISH', '__key-end', text);
    await eventually(() => got.at(-1)?.[0] === '__key-end', { everyMs: 1 });
    got.pop();
    all.push({ text, events: got.splice(0).map((e) => e.join(' ')) });
    return replies;
  };
  for (const text of commands) {
    await ask(text, [split(text)]);
  }
  const dump = await ask('DUMP', [['SET', 'k', 'v'], ['DUMP', 'k']]);
  for (const rest of [[], ['REPLACE'], ['REPLACE', 'ABSTTL']]) {
    await ask('RESTORE', [['RESTORE', 'k2', rest.length > 1 ? 1 : 0, dump[1].b, ...rest]]);
  }
  return all;
}

test('every command tells what redis-server tells', async (t) => {
  const redis = await startServer(t, { kind: 'redis' });
  const godwit = await startServer(t, { kind: 'godwit', workers: 2 });
  for (const [commands, classes] of [[COMMANDS, 'KEAnm'], [COLLECTIONS, 'KEAn']]) {
    const should = await eventsOf(t, redis, commands, classes);
    assert.deepEqual(await eventsOf(t, godwit, commands, classes), should);
  }
});

test('a transaction tells at its end, and a section that fails nothing', async (t) => {
  const server = await startServer(t, { workers: 2, args: ['--notify-keyspace-events', 'KA'] });
  const client = await server.client(t);
  const got = await watch(t, server, '__key*');

  await client.pipeline([
    ['MULTI'], ['RPUSH', 'l', 1], ['PUBLISH', '__key-mid', ''], ['LPOP', 'l'], ['EXEC'],
    ['SET', 'k', 1], ['WATCH', 'k'], ['SET', 'k', 2], ['MULTI'], ['SADD', 's', 1], ['EXEC'], ['PUBLISH', '__key-end', ''],
  ]);
  await eventually(() => got.at(-1)?.[0] === '__key-end');
  assert.deepEqual(got.map((e) => e.join(' ').trim()), [
    '__keyspace@0__:l rpush', '__key-mid', '__keyspace@0__:l lpop', '__keyspace@0__:l del',
    '__keyspace@0__:k set', '__keyspace@0__:k set', '__key-end',
  ]);
});

test('the setting', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);
  const got = await watch(t, server, '__key*');

  await client.cmd('SET', 'k', 1);
  await assert.rejects(client.cmd('CONFIG', 'SET', 'notify-keyspace-events', 'Kq'), /Invalid event class/);
  for (const [letters, events] of [
    ['K$', ['__keyspace@0__:k set']],
    ['E$', ['__keyevent@0__:set k']],
    ['$', []],
    ['KEg', ['__keyspace@0__:k expire', '__keyevent@0__:expire k']],
    ['KA', ['__keyspace@0__:k set', '__keyspace@0__:k expire']],
    ['', []],
  ]) {
    await client.cmd('CONFIG', 'SET', 'notify-keyspace-events', letters);
    await client.pipeline([['SET', 'k', 1, 'EX', 100], ['GET', 'none'], ['PUBLISH', '__key-end', '']]);
    await eventually(() => got.at(-1)?.[0] === '__key-end');
    assert.deepEqual(got.splice(0).slice(0, -1).map((e) => e.join(' ')), events, letters);
  }
});

test('expiry and eviction', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 2, args: ['--notify-keyspace-events', 'EA'] });
  const client = await server.client(t);
  const got = await watch(t, server, '__keyevent@0__:*expired', '__keyevent@0__:evicted', '__keyevent@0__:del');

  await client.cmd('SET', 'k', 'v', 'PX', 20); // the janitor's
  await eventually(() => got.length === 1);
  assert.deepEqual(got.splice(0), [['__keyevent@0__:expired', 'k']]);
  await client.cmd('HSET', 'h', 'a', 1, 'b', 2);
  await client.cmd('HPEXPIRE', 'h', 20, 'FIELDS', 1, 'a');
  await eventually(() => got.length === 1);
  assert.deepEqual(got.splice(0), [['__keyevent@0__:hexpired', 'h']]);
  await client.cmd('HPEXPIRE', 'h', 20, 'FIELDS', 1, 'b');
  await eventually(() => got.length === 2);
  assert.deepEqual(got.splice(0).sort(), [['__keyevent@0__:del', 'h'], ['__keyevent@0__:hexpired', 'h']]);
  await client.cmd('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-random');
  await client.cmd('MSET', ...Array.from({ length: 200 }, (_, i) => [`e${i}`, 'x'.repeat(1000)]).flat());
  await client.cmd('CONFIG', 'SET', 'maxmemory', 1);
  await client.cmd('SET', 'one', 'more').catch(() => {});
  await eventually(() => got.length > 0);
  assert.match(got[0].join(' '), /^__keyevent@0__:evicted e\d+$/);
});

// Writers on all workers change one key; its events come in the order of its changes.
test('events of one key come in the order of its changes', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 2, args: ['--notify-keyspace-events', 'KA'] });
  const got = await watch(t, server, '__keyspace@0__:k');
  const writers = await Promise.all(Array.from({ length: 4 }, () => server.connect()));
  t.after(() => writers.forEach((w) => w.close()));
  const rounds = 300;

  await Promise.all(
    writers.map((w) => w.pipeline(Array.from({ length: rounds * 2 }, (_, i) => (i % 2 ? ['DEL', 'k'] : ['SETNX', 'k', 1])))),
  );
  await writers[0].pipeline([['DEL', 'k'], ['SET', 'k', 'end'], ['APPEND', 'k', 'x']]);
  await eventually(() => got.at(-1)?.[1] === 'append');
  // SETNX tells of a key that is not there, DEL of one that is: so they take turns, always.
  const events = got.map((e) => e[1]).slice(0, -2);
  assert.ok(events.length > 2);
  events.forEach((event, i) => assert.equal(event, i % 2 ? 'del' : 'set'));
});
