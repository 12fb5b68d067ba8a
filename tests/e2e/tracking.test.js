// Client-side caching: word for word as redis-server, and never a stale copy under fire.
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually } from '../lib/eventually.js';
import { Line, play } from '../lib/line.js';
import { godwitOnly, startServer } from '../lib/server.js';

const DIALOGUES = {
  'the default mode': [
    ['a', 'CLIENT', 'TRACKING', 'ON'],
    ['a', 'CLIENT', 'TRACKINGINFO'],
    ['a', 'CLIENT', 'GETREDIR'],
    ['a', 'GET', 'k'],
    ['p', 'SET', 'k', 1],
    ['p', 'SET', 'k', 2],
    ['a', 'MGET', 'k', 'l', 'm'],
    ['p', 'DEL', 'k', 'l'],
    ['p', 'SET', 'm', 1],
    ['a', 'SET', 'n', 1],
    ['a', 'GET', 'n'],
    ['a', 'SET', 'n', 2],
    ['a', 'GET', 'n'],
    ['a', 'HGETALL', 'h'],
    ['p', 'HSET', 'h', 'f', 'v'],
    ['p', 'FLUSHALL'],
    ['a', 'CLIENT', 'TRACKING', 'OFF'],
    ['a', 'CLIENT', 'TRACKINGINFO'],
    ['a', 'GET', 'k'],
    ['p', 'SET', 'k', 3],
    ['a', 'CLIENT', 'GETREDIR'],
  ],
  'optin, optout, noloop': [
    ['a', 'CLIENT', 'CACHING', 'YES'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'OPTIN', 'NOLOOP'],
    ['a', 'GET', 'k'],
    ['p', 'SET', 'k', 1],
    ['a', 'CLIENT', 'CACHING', 'NO'],
    ['a', 'CLIENT', 'CACHING', 'MAYBE'],
    ['a', 'CLIENT', 'CACHING', 'YES'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'OPTOUT'],
    ['a', 'CLIENT', 'TRACKING', 'OFF'],
    ['b', 'CLIENT', 'TRACKING', 'ON', 'OPTOUT'],
    ['b', 'GET', 'k'],
    ['p', 'SET', 'k', 3],
    ['b', 'CLIENT', 'CACHING', 'YES'],
    ['b', 'CLIENT', 'TRACKINGINFO'],
    ['b', 'CLIENT', 'CACHING', 'NO'],
    ['b', 'GET', 'k'], // not registered
    ['p', 'SET', 'k', 3],
    ['b', 'GET', 'k'], // CACHING was for one command
    ['p', 'SET', 'k', 3],
    ['b', 'CLIENT', 'TRACKING', 'OFF'],
    ['b', 'CLIENT', 'TRACKING', 'ON', 'NOLOOP'],
    ['b', 'GET', 'k'],
    ['b', 'SET', 'k', 4],
    ['b', 'GET', 'k'],
    ['p', 'SET', 'k', 5],
  ],
  'CACHING is for the next command, whatever it is': [
    ['a', 'CLIENT', 'TRACKING', 'ON', 'OPTOUT'],
    ['a', ['CLIENT', 'CACHING', 'NO'], ['GET', 'k']],
    ['p', 'SET', 'k', 1],
    ['a', ['CLIENT', 'CACHING', 'NO'], ['CLIENT', 'GETNAME'], ['GET', 'k']],
    ['p', 'SET', 'k', 2],
    ['a', ['CLIENT', 'CACHING', 'NO'], ['PUBSUB', 'NUMPAT'], ['GET', 'k']],
    ['p', 'SET', 'k', 3],
    ['a', ['CLIENT', 'CACHING', 'NO'], ['UNSUBSCRIBE', 'x'], ['GET', 'k']],
    ['p', 'SET', 'k', 4],
    ['a', ['CLIENT', 'CACHING', 'NO'], ['NOSUCH'], ['GET', 'k']],
    ['p', 'SET', 'k', 5],
  ],
  'in a transaction': [
    ['a', 'CLIENT', 'TRACKING', 'ON'],
    ['a', ['MULTI'], ['GET', 'k'], ['SET', 'j', 1], ['GET', 'l'], ['EXEC']],
    ['p', ['MULTI'], ['SET', 'k', 1], ['SET', 'j', 2], ['EXEC']],
    ['p', 'SET', 'l', 1],
    ['p', 'SET', 'l', 2],
    ['b', 'CLIENT', 'TRACKING', 'ON', 'OPTIN'],
    ['b', ['CLIENT', 'CACHING', 'YES'], ['MULTI'], ['GET', 'k'], ['GET', 'l'], ['EXEC'], ['GET', 'm']],
    ['p', 'SET', 'k', 3],
    ['p', 'SET', 'l', 3],
    ['p', 'SET', 'm', 3],
    ['p', 'RPUSH', 'list', 1],
    ['a', 'LRANGE', 'list', 0, 1],
    ['p', 'LPOP', 'list'],
  ],
  'prefixes longer than a key': [
    ['a', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'x\r\n', 'PREFIX', 'y\r\n$'], // as on the wire behind it
    ['p', 'SET', 'x', 1],
    ['p', 'SET', 'y', 1],
    ['p', 'SET', 'x\r\n', 1],
    ['a', 'CLIENT', 'TRACKING', 'OFF'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'z:'], // as in the entry
    ['p', 'SET', 'z', ':1'],
  ],
  broadcast: [
    ['a', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'x:', 'PREFIX', 'y:'],
    ['p', 'SET', 'x:1', 1],
    ['p', 'SET', 'z:1', 1],
    ['p', 'SET', 'y:', 1],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'x:1'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'q', 'PREFIX', 'qq'],
    ['a', 'CLIENT', 'TRACKING', 'ON'],
    ['a', 'CLIENT', 'TRACKING', 'OFF'],
    ['b', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'NOLOOP'],
    ['b', 'SET', 'k', 1],
    ['p', 'SET', 'k', 2],
    ['b', 'CLIENT', 'TRACKINGINFO'],
    ['b', 'RESET'],
    ['p', 'SET', 'k', 3],
  ],
  errors: [
    ['a', 'CLIENT', 'TRACKING', 'MAYBE'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'WHAT'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'PREFIX'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'PREFIX', 'x'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'REDIRECT', 'x'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'REDIRECT', '999999'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'BCAST', 'OPTIN'],
    ['a', 'CLIENT', 'TRACKING', 'ON', 'OPTIN', 'OPTOUT'],
    ['a', 'CLIENT', 'TRACKINGINFO'],
    ['a', 'CLIENT', 'GETREDIR'],
  ],
};

test('word for word as redis-server', async (t) => {
  const redis = await startServer(t, { kind: 'redis', password: 'swordfish' });
  const godwit = await startServer(t, { kind: 'godwit', password: 'swordfish', workers: 2 });
  // In Redis a client's own invalidation may stand before or behind its next reply.
  const even = (step) => ({ ...step, a: [...step.a].sort(), b: [...step.b].sort() });

  for (const [name, steps] of Object.entries(DIALOGUES)) {
    await t.test(name, async (t) => {
      const want = await play(t, redis, 3, steps);
      const got = await play(t, godwit, 3, steps);
      assert.deepEqual(got.map(even), want.map(even));
    });
  }
});

test('redirection to a subscriber that speaks RESP2', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const [to, a, p] = [await Line.open(t, server, 2), await Line.open(t, server, 3), await Line.open(t, server, 2)];

  to.send('CLIENT', 'ID');
  const id = Number((await to.settled())[0].slice(1));
  a.send('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id);
  a.send('GET', 'k');
  await a.settled();
  p.send('SET', 'k', 0);
  await p.settled();
  assert.deepEqual(await to.settled(), [], 'it has not subscribed');
  p.send('DEL', 'k');
  await p.settled();
  // RESP2 has no pushes: who tracks for itself is told of nothing, subscribed or not.
  const itself = await Line.open(t, server, 2);
  itself.send('CLIENT', 'TRACKING', 'ON', 'BCAST');
  itself.send('SUBSCRIBE', '__redis__:invalidate');
  await itself.settled();
  p.send('SET', 'other', 1);
  await p.settled();
  assert.deepEqual(await itself.settled(), []);
  to.send('SUBSCRIBE', '__redis__:invalidate');
  await to.settled();
  a.send('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id);
  a.send('CLIENT', 'GETREDIR');
  a.send('GET', 'k');
  assert.deepEqual(await a.settled(), ['+OK', `:${id}`, '_']);
  p.send('SET', 'k', 1);
  await p.settled();
  assert.deepEqual(await to.settled(), ['*[$"message" $"__redis__:invalidate" *[$"k"]]']);
  a.send('GET', 'k');
  await a.settled();
  p.send('FLUSHALL');
  await p.settled();
  assert.deepEqual(await to.settled(), ['*[$"message" $"__redis__:invalidate" *-1]']);
  a.send('GET', 'k');
  await a.settled();
  to.socket.destroy();
  await eventually(async () => {
    p.send('SET', 'k', 2);
    await p.settled();
    a.send('GET', 'k');
    return (await a.settled()).includes(`>[$"tracking-redir-broken" :${id}]`);
  });
  a.send('CLIENT', 'INFO');
  assert.match((await a.settled())[0], / flags=tR .* redir=\d+ /);
});

test('the table is bounded, and what is dropped is told', async (t) => {
  const server = await startServer(t, { workers: 2, args: ['--tracking-table-max-keys', 100] });
  const a = await Line.open(t, server, 3);

  a.send('CLIENT', 'TRACKING', 'ON');
  for (let i = 0; i < 2000; i++) {
    a.send('GET', `k${i}`);
  }
  const told = (await a.settled()).filter((x) => x.startsWith('>[$"invalidate"')).length;
  const info = await server.info();
  assert.equal(info.tracking_clients, '1');
  assert.equal(Number(info.tracking_total_keys), 2000 - told);
  assert.ok(Number(info.tracking_total_keys) <= 200);
  a.send('CLIENT', 'TRACKING', 'OFF');
  await a.settled();
  assert.equal((await server.info()).tracking_clients, '0');
});

// A cache that believes what it was told: once the last write and its invalidation are through, no copy
// that it still holds differs from the server's.
test('no stale copy is kept', async (t) => {
  const server = await startServer(t, { workers: 2, args: ['--hash-max-listpack-entries', 2] });
  const [a, w] = [await Line.open(t, server, 3), await server.client(t)];
  const cache = new Map();
  const asked = [];
  let next = 0;
  let stop = false;

  a.send('CLIENT', 'TRACKING', 'ON');
  await a.settled();
  a.send('HSET', 'h', 'a', 1, 'b', 2, 'c', 3); // large: it is changed in place
  await a.settled();
  const take = () => {
    for (const text of a.got.splice(0)) {
      if (text.startsWith('>')) {
        [...text.matchAll(/\*\[\$"(\w+)"\]/g)].forEach((m) => cache.delete(m[1]));
      } else {
        cache.set(asked.shift(), text);
      }
    }
  };
  const reader = (async () => {
    while (!stop) {
      for (let i = 0; i < 20; i++) {
        const key = ['s0', 's1', 's2', 'h'][next++ % 4];
        if (!cache.has(key) && !asked.includes(key)) {
          asked.push(key);
          a.send(...(key === 'h' ? ['HGET', 'h', 'a'] : ['GET', key]));
        }
      }
      await new Promise((resolve) => setImmediate(resolve));
      take();
    }
  })();
  for (let i = 0; i < 1500; i++) {
    await w.cmd('SET', `s${i % 3}`, i);
    await w.cmd('HSET', 'h', 'a', i);
  }
  stop = true;
  await reader;
  await eventually(() => {
    take();
    return asked.length === 0;
  });
  a.send('PING');
  await eventually(() => a.got.includes('+PONG'));
  a.got = a.got.filter((x) => x !== '+PONG');
  take();
  for (const [key, copy] of cache) {
    const now = key === 'h' ? await w.cmd('HGET', 'h', 'a') : await w.cmd('GET', key);
    assert.equal(copy, `$"${now}"`, key);
  }
});

// T1 and T2: a read that takes turns was overtaken by a write. Its reply is of the value before, so the
// invalidation has to come behind it, also if one went out before.
for (const mode of [[], ['BCAST']]) {
  test(`a read that was overtaken is told of it behind its reply ${mode}`, godwitOnly, async (t) => {
    const server = await startServer(t, { workers: 1 });
    const [a, p] = [await Line.open(t, server, 3), await server.client(t)];
    let overtaken = 0; // several times: DEL's own notice may come late enough by itself

    a.send('CLIENT', 'TRACKING', 'ON', ...mode);
    await a.settled();
    for (let i = 0; i < 60 && overtaken < 8; i++) {
      await p.cmd('SETRANGE', 'long', 64 << 20, 'x');
      await a.settled();
      a.send('STRLEN', 'long');
      a.send('BITCOUNT', 'long');
      await eventually(() => a.got.length > 0, { everyMs: 1 }); // it is under way
      await p.cmd('DEL', 'long');
      const all = await a.settled();
      const [at, told] = [all.indexOf(':4'), all.lastIndexOf('>[$"invalidate" *[$"long"]]')];

      if (at >= 0) { // it counted what is gone by now
        overtaken++;
        assert.ok(told > at, `${all}`);
      }
    }
    assert.ok(overtaken);
  });
}
