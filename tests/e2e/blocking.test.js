// Commands that wait for data: who is served, in which order, and what everybody else sees. Each is also true of
// redis-server (E2E_SERVER=redis).
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, within } from '../lib/eventually.js';
import { plain } from '../lib/resp.js';
import { startServer } from '../lib/server.js';

async function world(t, { workers = 2, proto = 2 } = {}) {
  const server = await startServer(t, { workers });
  const control = await server.connect();
  const clients = [];
  t.after(async () => {
    for (const client of clients) {
      await client.close();
    }
  });
  return {
    server,
    control,
    async client(options = {}) {
      const client = await server.connect({ proto, ...options });
      clients.push(client);
      return client;
    },
    // So many clients wait.
    blocked: (n) =>
      eventually(
        async () => new RegExp(`blocked_clients:${n}\r`).test(await control.cmd('INFO', 'clients')),
        { what: `${n} blocked clients` },
      ),
  };
}

// Asks, and sees to it that it waits before anybody goes on.
async function waitsFor(w, client, n, ...command) {
  const reply = client.cmd(...command);
  reply.catch(() => {});
  await w.blocked(n);
  return { reply };
}

for (const [name, push, pop, got] of [
  ['BLPOP', ['RPUSH', 'k', 'a', 'b'], ['BLPOP', 'other', 'k', '0'], ['k', 'a']],
  ['BRPOP', ['RPUSH', 'k', 'a', 'b'], ['BRPOP', 'k', '0'], ['k', 'b']],
  ['BLMPOP', ['RPUSH', 'k', 'a', 'b'], ['BLMPOP', '0', '2', 'x', 'k', 'RIGHT', 'COUNT', '5'], ['k', ['b', 'a']]],
  ['BLMOVE', ['RPUSH', 'k', 'a', 'b'], ['BLMOVE', 'k', 'to', 'LEFT', 'LEFT', '0'], 'a'],
  ['BRPOPLPUSH', ['RPUSH', 'k', 'a', 'b'], ['BRPOPLPUSH', 'k', 'to', '0'], 'b'],
  ['BZPOPMIN', ['ZADD', 'k', '2', 'b', '1', 'a'], ['BZPOPMIN', 'z', 'k', '0'], ['k', 'a', '1']],
  ['BZPOPMAX', ['ZADD', 'k', '2', 'b', '1', 'a'], ['BZPOPMAX', 'k', '0'], ['k', 'b', '2']],
  ['BZMPOP', ['ZADD', 'k', '2', 'b', '1', 'a'], ['BZMPOP', '0', '1', 'k', 'MAX'], ['k', [['b', '2']]]],
  ['XREAD', ['XADD', 'k', '5-1', 'f', 'v'], ['XREAD', 'BLOCK', '0', 'STREAMS', 'k', '$'], [['k', [['5-1', ['f', 'v']]]]]],
]) {
  test(`${name} waits for what another brings, and answers at once when it is there`, async (t) => {
    const w = await world(t);
    const client = await w.client();
    const { reply } = await waitsFor(w, client, 1, ...pop);
    await w.control.cmd(...push);
    assert.deepEqual(await within(reply, 5000, name), got);
    await w.blocked(0);
    if (name !== 'XREAD') {
      await w.control.cmd('FLUSHALL');
      await w.control.cmd(...push);
      assert.deepEqual(await within(client.cmd(...pop), 5000, name), got);
    }
    assert.equal(await client.cmd('PING'), 'PONG');
  });
}

test('first come first served, and what is pushed at once goes to as many as it serves', async (t) => {
  const w = await world(t);
  const waiting = [];
  for (let i = 0; i < 6; i++) {
    waiting.push(await waitsFor(w, await w.client(), i + 1, 'BLPOP', 'k', '0'));
  }
  await w.control.cmd('RPUSH', 'k', 'a', 'b', 'c', 'd');
  const first = await within(Promise.all(waiting.slice(0, 4).map((r) => r.reply)), 5000, 'four');
  assert.deepEqual(first, [['k', 'a'], ['k', 'b'], ['k', 'c'], ['k', 'd']]);
  await w.blocked(2);
  await w.control.cmd('RPUSH', 'k', 'e', 'f', 'g');
  assert.deepEqual(await within(Promise.all(waiting.slice(4).map((r) => r.reply)), 5000, 'two'), [['k', 'e'], ['k', 'f']]);
  assert.deepEqual(await w.control.cmd('LRANGE', 'k', 0, -1), ['g']);
});

test('who pushes and then looks finds gone what somebody waited for', async (t) => {
  const w = await world(t);
  for (let i = 0; i < 50; i++) {
    const client = await w.client();
    const { reply } = await waitsFor(w, client, 1, 'BLPOP', 'k', '0');
    const replies = await w.control.pipeline([['RPUSH', 'k', `v${i}`], ['LLEN', 'k'], ['EXISTS', 'k']]);
    assert.deepEqual(replies.map(plain), [1, 0, 0]);
    assert.deepEqual(await within(reply, 5000, 'BLPOP'), ['k', `v${i}`]);
    await client.close();
  }
});

test('a transaction serves who waits when it is whole', async (t) => {
  const w = await world(t);
  const { reply } = await waitsFor(w, await w.client(), 1, 'BLPOP', 'k', '0');
  const replies = await w.control.pipeline([
    ['MULTI'], ['RPUSH', 'k', 'a'], ['LPUSH', 'k', 'z'], ['DEL', 'k'], ['RPUSH', 'k', 'last'], ['LLEN', 'k'], ['EXEC'], ['LLEN', 'k'],
  ]);
  assert.deepEqual(plain(replies[6]), [1, 2, 1, 1, 1]);
  assert.equal(plain(replies[7]), 0);
  assert.deepEqual(await within(reply, 5000, 'BLPOP'), ['k', 'last']);
});

test('in a transaction nothing waits', async (t) => {
  const { control } = await world(t);
  const replies = await control.pipeline([
    ['MULTI'], ['BLPOP', 'k', '0'], ['BLMOVE', 'a', 'b', 'LEFT', 'LEFT', '0'], ['BZPOPMIN', 'z', '0'], ['XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'], ['EXEC'],
  ]);
  assert.deepEqual(plain(replies[5]), [null, null, null, null]);
});

test('a chain of moves is served in one go', async (t) => {
  const w = await world(t);
  const a = await waitsFor(w, await w.client(), 1, 'BLMOVE', 'one', 'two', 'LEFT', 'RIGHT', '0');
  const b = await waitsFor(w, await w.client(), 2, 'BLMOVE', 'two', 'three', 'LEFT', 'RIGHT', '0');
  const c = await waitsFor(w, await w.client(), 3, 'BLPOP', 'three', '0');
  assert.equal(await w.control.cmd('LPUSH', 'one', 'x'), 1);
  assert.deepEqual(await within(Promise.all([a.reply, b.reply, c.reply]), 5000, 'the chain'), ['x', 'x', ['three', 'x']]);
  assert.equal(await w.control.cmd('DBSIZE'), 0);
});

test('a time-out is neither early nor missed, and null', async (t) => {
  const w = await world(t);
  const client = await w.client();
  for (const [command, none] of [
    [['BLPOP', 'k', '0.15'], null], [['BLMOVE', 'a', 'b', 'LEFT', 'LEFT', '0.15'], null], [['BZMPOP', '0.15', '1', 'z', 'MIN'], null],
    [['XREAD', 'BLOCK', '150', 'STREAMS', 's', '$'], null],
  ]) {
    const begun = process.hrtime.bigint();
    assert.equal(await within(client.cmd(...command), 5000, command[0]), none);
    assert.ok(process.hrtime.bigint() - begun >= 149000000n, `${command[0]} came early`);
  }
  await w.control.cmd('RPUSH', 'k', 'kept');
  await w.blocked(0);
  assert.equal(await w.control.cmd('LLEN', 'k'), 1, 'who gave up took nothing');
});

test('CLIENT UNBLOCK ends a wait, by a time-out or an error', async (t) => {
  const w = await world(t);
  const client = await w.client();
  const id = await client.cmd('CLIENT', 'ID');
  const a = await waitsFor(w, client, 1, 'BLPOP', 'k', '0');
  assert.equal(await w.control.cmd('CLIENT', 'UNBLOCK', id), 1);
  assert.equal(await within(a.reply, 5000, 'unblocked'), null);
  const b = await waitsFor(w, client, 1, 'BLPOP', 'k', '0');
  assert.equal(await w.control.cmd('CLIENT', 'UNBLOCK', id, 'ERROR'), 1);
  await assert.rejects(within(b.reply, 5000, 'unblocked'), /^Error: UNBLOCKED|UNBLOCKED client unblocked/);
  assert.equal(await w.control.cmd('CLIENT', 'UNBLOCK', id), 0);
  await w.control.cmd('RPUSH', 'k', 'v');
  assert.equal(await w.control.cmd('LLEN', 'k'), 1);
});

test('a client that vanishes is noticed at once and takes nothing', async (t) => {
  const w = await world(t);
  const gone = await w.client();
  await waitsFor(w, gone, 1, 'BLPOP', 'k', '0');
  const stays = await waitsFor(w, await w.client(), 2, 'BLPOP', 'k', '0');
  gone.socket.destroy();
  await w.blocked(1);
  await w.control.cmd('RPUSH', 'k', 'v');
  assert.deepEqual(await within(stays.reply, 5000, 'BLPOP'), ['k', 'v']);
});

test('another type serves nobody, and a key that becomes right does', async (t) => {
  const w = await world(t);
  const { reply } = await waitsFor(w, await w.client(), 1, 'BLPOP', 'k', '0');
  await w.control.cmd('SET', 'k', 'text');
  await w.control.cmd('DEL', 'k');
  await w.control.cmd('ZADD', 'k', '1', 'm');
  await w.blocked(1);
  await w.control.cmd('DEL', 'k');
  await w.control.cmd('RPUSH', 'src', 'v');
  await w.control.cmd('RENAME', 'src', 'k');
  assert.deepEqual(await within(reply, 5000, 'BLPOP'), ['k', 'v']);
  await w.control.cmd('SET', 'text', 'v');
  await assert.rejects(w.control.cmd('BLPOP', 'text', '0'), /WRONGTYPE/);
});

test('every reader of a stream gets an entry, one of a group does', async (t) => {
  const w = await world(t);
  await w.control.cmd('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM');
  const all = [];
  for (let i = 0; i < 3; i++) {
    all.push(await waitsFor(w, await w.client(), all.length + 1, 'XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'));
  }
  const one = await waitsFor(w, await w.client(), 4, 'XREADGROUP', 'GROUP', 'g', 'c1', 'BLOCK', '0', 'STREAMS', 's', '>');
  const two = await waitsFor(w, await w.client(), 5, 'XREADGROUP', 'GROUP', 'g', 'c2', 'BLOCK', '0', 'STREAMS', 's', '>');
  await w.control.cmd('XADD', 's', '7-1', 'f', 'v');
  const entry = [['s', [['7-1', ['f', 'v']]]]];
  assert.deepEqual(await within(Promise.all(all.map((r) => r.reply)), 5000, 'XREAD'), [entry, entry, entry]);
  assert.deepEqual(await within(one.reply, 5000, 'the first XREADGROUP'), entry);
  await w.blocked(1);
  await w.control.cmd('DEL', 's');
  await assert.rejects(within(two.reply, 5000, 'the second XREADGROUP, whose group is gone'), /NOGROUP|UNBLOCKED/);
});

test('many producers and consumers over several workers lose nothing and double nothing', async (t) => {
  const w = await world(t, { workers: 3 });
  const COUNT = 3000;
  const seen = [];
  const consumers = Array.from({ length: 20 }, async () => {
    const client = await w.client();
    for (;;) {
      const got = await client.cmd('BLPOP', 'q1', 'q2', '0');
      if (got[1] === 'end') {
        return;
      }
      seen.push(got[1]);
    }
  });
  const producers = Array.from({ length: 4 }, async (_, p) => {
    const client = await w.client();
    for (let i = 0; i < COUNT / 4; i += 5) {
      await client.pipeline(
        Array.from({ length: 5 }, (_x, k) => [k % 2 ? 'RPUSH' : 'LPUSH', `q${1 + (k % 2)}`, `${p}:${i + k}`]),
      );
    }
  });
  await within(Promise.all(producers), 60000, 'the producers');
  await eventually(() => seen.length === COUNT, { timeoutMs: 60000, what: 'all taken' });
  await w.control.cmd('RPUSH', 'q1', ...Array(20).fill('end'));
  await within(Promise.all(consumers), 60000, 'the consumers');
  assert.equal(new Set(seen).size, COUNT);
  assert.equal(await w.control.cmd('DBSIZE'), 0);
});
