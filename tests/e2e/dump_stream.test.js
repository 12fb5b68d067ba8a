// Streams go by DUMP and RESTORE between the servers, both ways, with all that XINFO STREAM FULL tells, and trim
// afterwards as they would have at home.
import assert from 'node:assert/strict';
import test from 'node:test';
import { crc64 } from '../lib/crc64.js';
import { show } from '../lib/resp.js';
import { seeded } from '../lib/seed.js';
import { startServer } from '../lib/server.js';

function commands(random, key) {
  const out = [];
  for (let i = 1; i <= 250; i++) {
    const fields = random.pick([['a', 'b'], ['a', 'b'], ['b'], ['other']]);
    const value = () =>
      random.pick([`${i}`, '-1', '4095', '-70000', '99999999999', random.bytes(random.below(90))]);
    out.push(['XADD', key, `${1000 + i * 7}-${random.below(3)}`, ...fields.flatMap((f) => [f, value()])]);
  }
  out.push(['XADD', key, '5000-0', 'long', random.bytes(5000)]);
  out.push(['XGROUP', 'CREATE', key, 'g', '0'], ['XGROUP', 'CREATE', key, 'empty', '$']);
  out.push(['XREADGROUP', 'GROUP', 'g', 'alice', 'COUNT', '40', 'STREAMS', key, '>']);
  out.push(['XREADGROUP', 'GROUP', 'g', 'bob', 'COUNT', '30', 'STREAMS', key, '>']);
  for (let i = 1; i < 250; i += random.between(1, 20)) {
    for (const seq of [0, 1, 2]) {
      out.push(['XDEL', key, `${1000 + i * 7}-${seq}`], ['XACK', key, 'g', `${1000 + i * 7 + 7}-${seq}`]);
    }
  }
  return out;
}

// Without what 7.0 does not know (active-time) and what is the tree's own.
async function told(client, key) {
  const full = show(await client.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0));
  return full.replace(/\$"radix-tree-nodes" :\d+ /g, '').replace(/\$"active-time" :-?\d+ /g, '');
}

test('DUMP and RESTORE exchange streams with redis-server 7.0', async (t) => {
  const random = seeded(t);
  const redis = await (await startServer(t, { kind: 'redis' })).client(t);
  const godwit = await (await startServer(t)).client(t);

  for (const [from, to] of [
    [redis, godwit],
    [godwit, redis],
  ]) {
    await from.cmd('FLUSHALL');
    await to.cmd('FLUSHALL');
    for (const command of [...commands(random, 'x'), ['XGROUP', 'CREATE', 'none', 'g', '5-5', 'MKSTREAM']]) {
      await from.call(...command);
    }
    for (const key of ['x', 'none']) {
      const dump = await from.call('DUMP', key);
      assert.equal(dump.t, '$', show(dump));
      assert.equal(dump.b[0], 19);
      assert.equal(show(await to.call('RESTORE', key, 0, dump.b)), '+OK', key);
      assert.equal(await told(to, key), await told(from, key), key);
    }
    for (const command of [
      ['XTRIM', 'x', 'MAXLEN', '~', 100],
      ['XADD', 'x', '9000-0', 'a', '1'],
      ['XTRIM', 'x', 'MINID', '~', '2500'],
    ]) {
      assert.equal(show(await to.call(...command)), show(await from.call(...command)));
    }
    assert.equal(await told(to, 'x'), await told(from, 'x'));
  }
});

// A valid checksum proves nothing about what stands before it.
test('RESTORE refuses streams whose inside lies', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const random = seeded(t);
  const before = server.rssBytes();

  for (const command of commands(random, 'x')) {
    await client.call(...command);
  }
  const { b } = await client.call('DUMP', 'x');
  for (let i = 0; i < 300; i++) {
    const damaged = Buffer.from(b);
    damaged[random.below(damaged.length - 10)] = random.below(256);
    crc64(damaged.subarray(0, -8)).copy(damaged, damaged.length - 8);
    const reply = await client.call('RESTORE', 'victim', 0, damaged, 'REPLACE');
    assert.ok(reply.t === '+' || /^ERR (Bad data format|DUMP payload)/.test(reply.s), show(reply));
    if (reply.t === '+') {
      await told(client, 'victim');
    }
  }
  assert.ok(server.rssBytes() < before + (256 << 20));
});
