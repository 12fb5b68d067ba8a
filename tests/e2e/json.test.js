// JSON documents through the published client, unmodified, and what a server does with any key.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from 'redis';
import { SLOW } from '../lib/eventually.js';
import { godwitOnly, startServer } from '../lib/server.js';

const PASSWORD = 'swordfish';
const opts = { timeout: 60000 * SLOW, ...godwitOnly };

async function connect(t, server) {
  const client = createClient({
    socket: { port: server.port, host: '127.0.0.1', reconnectStrategy: 20 },
    password: PASSWORD,
  });
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.destroy());
  return client;
}

test('node-redis: every JSON method', opts, async (t) => {
  const server = await startServer(t);
  const client = await connect(t, server);
  const { json } = client;
  const doc = { name: 'Ann', age: 7, tags: ['a', 'b'], deep: { age: 1.5, ok: true, none: null } };

  assert.equal(await json.set('d', '$', doc), 'OK');
  assert.equal(await json.set('d', '$', doc, { condition: 'NX' }), null);
  assert.deepEqual(await json.get('d'), doc);
  assert.deepEqual(await json.get('d', { path: '$..age' }), [1.5, 7]);
  assert.deepEqual(await json.get('d', { path: ['$.name', '$.age'] }), {
    '$.name': ['Ann'],
    '$.age': [7],
  });
  assert.equal(await json.get('none'), null);
  assert.deepEqual(await json.type('d', { path: '$.*' }), [
    'string',
    'integer',
    'array',
    'object',
  ]);
  assert.equal(await json.type('d'), 'object');
  assert.deepEqual(await json.numIncrBy('d', '$..age', 2), [3.5, 9]);
  assert.deepEqual(await json.numMultBy('d', '$.age', 2), [18]);
  assert.deepEqual(await json.strAppend('d', 'a', { path: '$.name' }), [4]);
  assert.deepEqual(await json.strLen('d', { path: '$.name' }), [4]);
  assert.deepEqual(await json.toggle('d', '$.deep.ok'), [0]);
  assert.deepEqual(await json.arrAppend('d', '$.tags', 'c', { x: 1 }), [4]);
  assert.deepEqual(await json.arrIndex('d', '$.tags', 'c'), [2]);
  assert.deepEqual(await json.arrInsert('d', '$.tags', 0, 'z'), [5]);
  assert.deepEqual(await json.arrLen('d', { path: '$.tags' }), [5]);
  assert.deepEqual(await json.arrPop('d', { path: '$.tags' }), [{ x: 1 }]);
  assert.deepEqual(await json.arrTrim('d', '$.tags', 1, 2), [2]);
  assert.deepEqual(await json.get('d', { path: '$.tags' }), [['a', 'b']]);
  assert.deepEqual(await json.objKeys('d'), ['name', 'age', 'tags', 'deep']);
  assert.deepEqual(await json.objLen('d', { path: '$.deep' }), [3]);
  assert.equal(await json.merge('d', '$.deep', { ok: null, more: [1] }), 'OK');
  assert.deepEqual(await json.get('d', { path: '$.deep' }), [{ age: 3.5, none: null, more: [1] }]);
  const pair = [
    { key: 'd', path: '$.age', value: 1 },
    { key: 'e', path: '$', value: { age: 2 } },
  ];
  assert.equal(await json.mSet(pair), 'OK');
  assert.deepEqual(await json.mGet(['d', 'none', 'e'], '$.age'), [[1], null, [2]]);
  assert.equal(await json.clear('d', { path: '$.deep' }), 1);
  assert.ok((await json.debugMemory('d')) > 20);
  assert.deepEqual(await client.sendCommand(['JSON.RESP', 'e']), ['{', 'age', 2]);
  assert.equal(await json.del('d', { path: '$.deep' }), 1);
  assert.equal(await json.forget('d'), 1);
  assert.equal(await client.exists('d'), 0);
});

test('DUMP, RESTORE and a broken payload', opts, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const text = JSON.stringify({ a: [1, 2.5, 'x'.repeat(30000), null], b: { c: true } });

  await client.cmd('JSON.SET', 'd', '$', text);
  const payload = await client.call('DUMP', 'd');
  assert.equal(await client.cmd('RESTORE', 'e', '0', payload.b), 'OK');
  assert.equal(await client.cmd('JSON.GET', 'e'), text);
  assert.equal(payload.b[0], 7); // a module's value
  // A length of 64 bits: the module's name in nine characters of six bits, and its version.
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const id = [...'ReJSON-RL'].reduce((n, c) => (n << 6n) | BigInt(letters.indexOf(c)), 0n);
  assert.equal(payload.b[1], 0x81);
  assert.equal(payload.b.readBigUInt64BE(2), (id << 10n) | 3n);
  const broken = Buffer.from(payload.b);
  broken[broken.length - 1] ^= 1;
  await assert.rejects(client.cmd('RESTORE', 'f', '0', broken), /checksum/);
});

test('a document keeps nothing behind', opts, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const used = async () => Number(/used_memory_dataset:(\d+)/.exec(await client.cmd('INFO', 'memory'))[1]);
  const value = JSON.stringify(Array.from({ length: 20000 }, (_, i) => ({ i, s: `value ${i}` })));

  await client.cmd('JSON.SET', 'd', '$', value);
  for (let i = 0; i < 50; i++) {
    await client.cmd('JSON.NUMINCRBY', 'd', `$[${i * 300}].i`, '1');
  }
  const usage = Number(await client.cmd('MEMORY', 'USAGE', 'd'));
  assert.ok(usage > value.length / 2 && usage < value.length * 2, `${usage} for ${value.length}`);
  assert.equal(await client.cmd('FLUSHDB'), 'OK');
  assert.equal(await client.cmd('DBSIZE'), 0);
});

test('what is deep, huge or hostile is refused, and the server goes on', opts, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  await assert.rejects(
    client.cmd('JSON.SET', 'd', '$', '['.repeat(10000) + ']'.repeat(10000)),
    /recursion limit exceeded/,
  );
  await assert.rejects(client.cmd('JSON.SET', 'd', '$', '['.repeat(1000000)), /recursion limit/);
  await client.cmd('JSON.SET', 'd', '$', '['.repeat(128) + ']'.repeat(128));
  await assert.rejects(
    client.cmd('JSON.SET', 'd', `$${'[0]'.repeat(127)}`, '[[]]'),
    /recursion|range|static/,
  );
  await assert.rejects(client.cmd('JSON.GET', 'd', '$' + '..*'.repeat(40)), /matches too much/);
  await assert.rejects(client.cmd('JSON.GET', 'd', '$' + '[0]'.repeat(300)), /too many steps/);
  await assert.rejects(client.cmd('JSON.GET', 'd', '$.' + 'x'.repeat(70000)), /too long/);
  await assert.rejects(client.cmd('JSON.GET', 'd', `$[?(${'('.repeat(100)}@.a`), /too deeply/);
  await assert.rejects(client.cmd('JSON.ARRINSERT', 'd', '$', '99999999999', '1'), /out of bounds/);
  await client.cmd('JSON.SET', 's', '$', JSON.stringify([`${'a'.repeat(50000)}!`]));
  assert.equal(await client.cmd('JSON.GET', 's', "$[?(@ =~ '^(a*)*(a|a)*$')]"), '[]');
  assert.equal(await client.cmd('PING'), 'PONG');
});
