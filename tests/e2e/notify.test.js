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

const split = (text) => text.split(' ').map((word) => (word === '""' ? '' : word));

async function eventsOf(t, server) {
  const client = await server.client(t);
  const all = [];

  await client.cmd('FLUSHALL');
  await client.cmd('CONFIG', 'SET', 'notify-keyspace-events', 'KEAnm');
  const got = await watch(t, server, '__key*');
  for (const text of COMMANDS) {
    await client.pipeline([split(text)]);
    await client.cmd('PUBLISH', '__key-end', text);
    await eventually(() => got.at(-1)?.[0] === '__key-end', { everyMs: 1 });
    got.pop();
    all.push({ text, events: got.splice(0).map((e) => e.join(' ')) });
  }
  const dump = await client.pipeline([['SET', 'k', 'v'], ['DUMP', 'k']]);
  got.length = 0;
  for (const rest of [[], ['REPLACE'], ['REPLACE', 'ABSTTL']]) {
    await client.pipeline([['RESTORE', 'x', rest.length > 1 ? 1 : 0, dump[1].b, ...rest]]);
  }
  await client.cmd('PUBLISH', '__key-end', '');
  await eventually(() => got.at(-1)?.[0] === '__key-end');
  all.push({ text: 'RESTORE', events: got.splice(0).map((e) => e.join(' ')) });
  return all;
}

test('every command tells what redis-server tells', async (t) => {
  const redis = await startServer(t, { kind: 'redis' });
  const godwit = await startServer(t, { kind: 'godwit', workers: 2 });
  assert.deepEqual(await eventsOf(t, godwit), await eventsOf(t, redis));
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
