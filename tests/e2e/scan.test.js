// SCAN and HSCAN return every element that was present throughout, while the table grows and
// shrinks beneath them, and their cursors fit in a double.
import assert from 'node:assert/strict';
import test from 'node:test';
import { plain } from '../lib/resp.js';
import { seeded } from '../lib/seed.js';
import { godwitOnly, startServer } from '../lib/server.js';

const STAY = 3000;

async function each(client, count, command) {
  for (let at = 0; at < count; at += 1000) {
    const n = Math.min(1000, count - at);
    await client.pipeline(Array.from({ length: n }, (_, i) => command(at + i)));
  }
}

// Walks to the end; between calls `meanwhile` may change other elements. Returns all that was seen.
async function walk(client, head, { count, tail = [], meanwhile = async () => {} }) {
  const seen = [];
  let cursor = '0';
  let calls = 0;

  do {
    const [next, items] = await client.cmd(...head, cursor, 'COUNT', count, ...tail);
    assert.match(next, /^\d+$/);
    assert.ok(BigInt(next) < 1n << 53n, `cursor ${next} does not fit in a double`);
    seen.push(...items);
    cursor = next;
    await meanwhile(++calls);
  } while (cursor !== '0' && calls < 100000);
  assert.equal(cursor, '0', 'it never ended');
  return { seen, calls };
}

function assertAll(seen, prefix, count) {
  const set = new Set(seen);
  for (let i = 0; i < count; i++) {
    assert.ok(set.has(`${prefix}${i}`), `${prefix}${i} was there all the time and was not seen`);
  }
}

for (const [name, change] of Object.entries({
  'nothing changes': () => async () => {},
  'the table grows': (client) => async (n) => {
    if (n < 60) {
      await each(client, 1000, (i) => ['SET', `more:${n}:${i}`, 1]);
    }
  },
  'the table shrinks': (client) => async (n) => {
    if (n < 60) {
      await each(client, 1000, (i) => ['UNLINK', `less:${(n - 1) * 1000 + i}`]);
    }
  },
  'keys come and go and are overwritten': (client, random) => async (n) => {
    if (n > 200) {
      return;
    }
    const commands = Array.from({ length: 300 }, () => {
      const i = random.below(5000);
      return random.pick([
        ['SET', `stay:${i % STAY}`, i],
        ['EXPIRE', `stay:${i % STAY}`, 1000 + i],
        ['SET', `come:${i}`, i],
        ['DEL', `come:${i}`],
        ['RENAME', `come:${i}`, `come:${i + 1}`],
      ]);
    });
    await client.pipeline(commands);
  },
})) {
  test(`SCAN returns all that was there throughout, while ${name}`, async (t) => {
    const random = seeded(t);
    const server = await startServer(t, { workers: 2 });
    const client = await server.client(t);
    const other = await server.client(t);

    await each(client, 60000, (i) => ['SET', `less:${i}`, 1]);
    await each(client, STAY, (i) => ['SET', `stay:${i}`, 1]);
    const meanwhile = change(other, random);
    const { seen } = await walk(client, ['SCAN'], { count: random.between(50, 1200), meanwhile });
    assertAll(seen, 'stay:', STAY);
  });
}

test('without changes nothing is returned twice, and COUNT bounds a call', async (t) => {
  const client = await (await startServer(t)).client(t);

  await each(client, 20000, (i) => ['SET', `k${i}`, 1]);
  const { seen, calls } = await walk(client, ['SCAN'], { count: 100 });
  assert.equal(seen.length, 20000);
  assert.equal(new Set(seen).size, 20000);
  assert.ok(calls > 20, `only ${calls} calls`);
  assert.ok(calls < 2000, `${calls} calls of 100`);
});

test('MATCH and TYPE choose', async (t) => {
  const client = await (await startServer(t)).client(t);

  await each(client, 2000, (i) => (i % 2 ? ['SET', `s:${i}`, 1] : ['HSET', `h:${i}`, 'f', 1]));
  const hashes = await walk(client, ['SCAN'], { count: 100, tail: ['TYPE', 'hash'] });
  assert.equal(new Set(hashes.seen).size, 1000);
  assert.ok(hashes.seen.every((key) => key.startsWith('h:')));
  const matched = await walk(client, ['SCAN'], { count: 100, tail: ['MATCH', 's:1?1'] });
  assert.deepEqual(
    matched.seen.sort(),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((d) => `s:1${d}1`),
  );
  const none = await walk(client, ['SCAN'], { count: 100, tail: ['TYPE', 'list'] });
  assert.deepEqual(none.seen, []);
});

test('two walks at once do not disturb each other', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const clients = await Promise.all([1, 2, 3].map(() => server.client(t)));

  await each(clients[0], 10000, (i) => ['SET', `k${i}`, 1]);
  const walks = await Promise.all(clients.map((c, i) => walk(c, ['SCAN'], { count: 10 + 50 * i })));
  walks.forEach(({ seen }) => assert.equal(new Set(seen).size, 10000));
});

test('HSCAN returns every field that was there throughout', async (t) => {
  const random = seeded(t);
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);
  const other = await server.client(t);

  for (const size of [5, 100, 5000]) {
    await client.cmd('FLUSHALL');
    await each(client, size, (i) => ['HSET', 'h', `stay:${i}`, i]);
    const { seen } = await walk(client, ['HSCAN', 'h'], {
      count: random.between(5, 200),
      meanwhile: async (n) => {
        if (n < 30) {
          await each(other, 500, (i) => ['HSET', 'h', `more:${n}:${i}`, 1]);
          await each(other, 250, (i) => ['HDEL', 'h', `more:${n}:${i}`]);
        }
      },
    });
    assertAll(
      seen.filter((_, i) => i % 2 === 0),
      'stay:',
      size,
    );
    const at = seen.indexOf('stay:3');
    assert.equal(seen[at + 1], '3');
  }
});

test('a cursor that was never given out is answered, not obeyed', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  await each(client, 1000, (i) => ['SET', `k${i}`, 1]);
  for (const cursor of [
    '1',
    '4294967296',
    '9007199254740991',
    '18446744073709551615',
    '123456789',
  ]) {
    const reply = await client.call('SCAN', cursor, 'COUNT', 10);
    assert.ok(reply.t === '-' || (reply.t === '*' && reply.a.length === 2));
  }
  assert.match((await client.call('SCAN', 'x')).s, /^ERR invalid cursor/);
  assert.match((await client.call('SCAN', '-1x')).s, /^ERR invalid cursor/);
});

// The hash seed is kept with the data, so the same keys stand in the same places after a restart
// and a cursor from before goes on.
test('a cursor survives a restart', godwitOnly, async (t) => {
  const first = await startServer(t);
  const before = await first.client(t);
  const fill = (client) => each(client, 5000, (i) => ['SET', `k${i}`, 1]);

  await fill(before);
  const seen = [];
  let cursor = '0';
  for (let i = 0; i < 10; i++) {
    const [next, keys] = await before.cmd('SCAN', cursor, 'COUNT', 200);
    seen.push(...keys);
    cursor = next;
  }
  assert.notEqual(cursor, '0');
  await first.stop();

  const second = await startServer(t, { dir: first.dir });
  const after = await second.client(t);
  await fill(after); // nothing is kept on disk yet, but for the seed
  while (cursor !== '0') {
    const [next, keys] = await after.cmd('SCAN', cursor, 'COUNT', 200);
    seen.push(...keys);
    cursor = next;
  }
  assertAll(seen, 'k', 5000);
  assert.ok(seen.length < 5500, `${seen.length} keys: it began anew`);
});

test('KEYS and DBSIZE agree with a walk', async (t) => {
  const client = await (await startServer(t)).client(t);

  await each(client, 5000, (i) => ['SET', `k${i}`, 1]);
  const [keys, size] = (await client.pipeline([['KEYS', '*'], ['DBSIZE']])).map(plain);
  assert.equal(new Set(keys).size, 5000);
  assert.equal(size, 5000);
});
