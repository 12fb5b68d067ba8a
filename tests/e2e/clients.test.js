// The published clients and tools, unmodified: what a newcomer points at Godwit on the first day.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { eventually, SLOW, within } from '../lib/eventually.js';
import { encode } from '../lib/resp.js';
import { freePort, godwitOnly, run, startServer } from '../lib/server.js';

const PASSWORD = 'swordfish';

function ioredis(t, server, options = {}) {
  const client = new Redis({ port: server.port, password: PASSWORD, ...options });
  client.on('error', () => {}); // a lost connection is part of some tests; commands still reject
  t.after(() => client.disconnect());
  return client;
}

async function nodeRedis(t, server, options = {}) {
  const client = createClient({
    socket: { port: server.port, host: '127.0.0.1', reconnectStrategy: 20 },
    password: PASSWORD,
    ...options,
  });
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.destroy());
  return client;
}

function cli(server, args, options = {}) {
  const all = ['-h', '127.0.0.1', '-p', server.port, '-a', PASSWORD, '--no-auth-warning', ...args];
  return run('redis-cli', all, options);
}

test('ioredis', async (t) => {
  const server = await startServer(t);
  const redis = ioredis(t, server, { connectionName: 'ours' });

  await t.test('strings, hashes, expiry', async () => {
    assert.equal(await redis.set('k', 'snow ☃', 'EX', 60), 'OK');
    assert.equal(await redis.get('k'), 'snow ☃');
    assert.ok((await redis.ttl('k')) > 50);
    assert.equal(await redis.get('absent'), null);
    assert.equal(await redis.hset('h', { a: 1, b: 2 }), 2);
    assert.deepEqual(await redis.hgetall('h'), { a: '1', b: '2' });
    assert.deepEqual(await redis.hmget('h', 'b', 'none'), ['2', null]);
    await redis.set('bin', Buffer.from([0, 255, 13, 10]));
    assert.deepEqual(await redis.getBuffer('bin'), Buffer.from([0, 255, 13, 10]));
    await assert.rejects(redis.incr('k'), /not an integer/);
  });

  await t.test('a pipeline answers in order, errors in their places', async () => {
    const got = await redis.pipeline().set('p', 1).incr('p').hget('p', 'f').get('p').exec();
    assert.deepEqual(got[0], [null, 'OK']);
    assert.deepEqual(got[1], [null, 2]);
    assert.match(got[2][0].message, /^WRONGTYPE/);
    assert.deepEqual(got[3], [null, '2']);
    const many = await Promise.all(
      Array.from({ length: 5000 }, (_, i) => redis.set(`many:${i}`, i)),
    );
    assert.equal(many.length, 5000);
  });

  await t.test('autopipelining', async (t) => {
    const auto = ioredis(t, server, { enableAutoPipelining: true });
    const values = await Promise.all(Array.from({ length: 1000 }, (_, i) => auto.get(`many:${i}`)));
    assert.deepEqual(
      values,
      Array.from({ length: 1000 }, (_, i) => String(i)),
    );
  });

  await t.test('scanStream and hscanStream see every element', async () => {
    const seen = new Set();
    for await (const keys of redis.scanStream({ match: 'many:*', count: 100 })) {
      keys.forEach((key) => seen.add(key));
    }
    assert.equal(seen.size, 5000);
    await redis.hset('big', ...Array.from({ length: 2000 }, (_, i) => [`f${i}`, i]).flat());
    const fields = new Set();
    for await (const flat of redis.hscanStream('big')) {
      flat.forEach((text, i) => i % 2 || fields.add(text));
    }
    assert.equal(fields.size, 2000);
  });

  await t.test('the connection has the name that was asked for', async () => {
    assert.equal(await redis.client('GETNAME'), 'ours');
    assert.match(await redis.client('LIST'), /name=ours /);
  });

  await t.test('it reconnects after being killed', async (t) => {
    const other = ioredis(t, server);
    const id = await redis.client('ID');
    assert.equal(await other.client('KILL', 'ID', id), 1);
    await eventually(async () => (await redis.client('ID')) !== id);
    assert.equal(await redis.get('k'), 'snow ☃');
  });

  await t.test('a wrong password is refused', async (t) => {
    const wrong = ioredis(t, server, { password: 'wrong', retryStrategy: null, lazyConnect: true });
    await assert.rejects(async () => {
      await wrong.connect();
      await wrong.get('k');
    });
  });
});

test('ioredis: field expiry', godwitOnly, async (t) => {
  const redis = ioredis(t, await startServer(t));

  await redis.hset('h', 'a', 1, 'b', 2);
  assert.deepEqual(await redis.hexpire('h', 100, 'FIELDS', 2, 'a', 'none'), [1, -2]);
  assert.deepEqual(await redis.call('HPERSIST', 'h', 'FIELDS', 1, 'a'), [1]);
  assert.deepEqual(await redis.call('HTTL', 'h', 'FIELDS', 2, 'a', 'b'), [-1, -1]);
});

for (const RESP of [2, 3]) {
  test(`node-redis over RESP${RESP}`, async (t) => {
    const server = await startServer(t);
    const redis = await nodeRedis(t, server, { RESP, name: 'theirs' });

    await t.test('strings, hashes, numbers', async () => {
      assert.equal(await redis.set('k', 'v', { expiration: { type: 'EX', value: 60 } }), 'OK');
      assert.equal(await redis.get('k'), 'v');
      assert.equal(await redis.get('absent'), null);
      assert.equal(await redis.hSet('h', { a: '1', b: '2' }), 2);
      assert.deepEqual({ ...(await redis.hGetAll('h')) }, { a: '1', b: '2' });
      assert.deepEqual({ ...(await redis.hGetAll('none')) }, {});
      assert.equal(await redis.exists(['k', 'none']), 1);
      assert.equal(String(await redis.hIncrByFloat('h', 'a', 0.5)), '1.5');
      await assert.rejects(redis.hGet('k', 'f'), /WRONGTYPE/);
      assert.deepEqual(await redis.hRandFieldCountWithValues('none', 2), []);
      assert.equal((await redis.hRandFieldCountWithValues('h', 2)).length, 2);
    });

    await t.test('commands sent at once are answered in order', async () => {
      const sent = Array.from({ length: 5000 }, (_, i) => redis.set(`many:${i}`, String(i)));
      assert.equal(new Set(await Promise.all(sent)).size, 1);
      const got = await Promise.all([redis.get('many:7'), redis.mGet(['many:8', 'none'])]);
      assert.deepEqual(got, ['7', ['8', null]]);
    });

    await t.test('scanIterator and hScanIterator see every element', async () => {
      const seen = new Set();
      for await (const keys of redis.scanIterator({
        MATCH: 'many:*',
        COUNT: 100,
        TYPE: 'string',
      })) {
        keys.forEach((key) => seen.add(key));
      }
      assert.equal(seen.size, 5000);
      const pairs = Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`f${i}`, `${i}`]));
      await redis.hSet('big', pairs);
      const fields = new Map();
      for await (const page of redis.hScanIterator('big')) {
        page.forEach(({ field, value }) => fields.set(field, value));
      }
      assert.deepEqual(Object.fromEntries(fields), pairs);
    });

    await t.test('CLIENT INFO, LIST, ID', async () => {
      const info = await redis.clientInfo();
      assert.equal(info.name, 'theirs');
      assert.equal(info.id, await redis.clientId());
      assert.ok((await redis.clientList()).some((c) => c.name === 'theirs'));
    });

    await t.test('it reconnects after being killed', async (t) => {
      const other = await nodeRedis(t, server, { RESP });
      const id = await redis.clientId();
      await other.clientKill({ filter: 'ID', id });
      await eventually(async () => (await redis.clientId()) !== id);
      assert.equal(await redis.get('k'), 'v');
    });
  });

  test(`node-redis over RESP${RESP}: field expiry and newer commands`, godwitOnly, async (t) => {
    const redis = await nodeRedis(t, await startServer(t), { RESP });
    const info = await redis.clientInfo();

    assert.equal(info.libName, 'node-redis');
    await redis.hSet('h', { a: '1', b: '2', c: '3' });
    assert.deepEqual(await redis.hExpire('h', ['a', 'none'], 100), [1, -2]);
    assert.deepEqual(await redis.hTTL('h', ['b', 'none']), [-1, -2]);
    assert.ok((await redis.hpTTL('h', ['a']))[0] > 50000);
    assert.deepEqual(await redis.hPersist('h', ['a', 'b']), [1, -1]);
    assert.deepEqual(await redis.hGetDel('h', ['c', 'none']), ['3', null]);
    assert.equal(await redis.hSetEx('h', { d: '4' }, { expiration: { type: 'EX', value: 50 } }), 1);
    assert.deepEqual(await redis.hGetEx('h', ['d'], { expiration: 'PERSIST' }), ['4']);
    assert.deepEqual(await redis.hTTL('h', ['d']), [-1]);
  });
}

test('redis-cli', async (t) => {
  const server = await startServer(t);

  await t.test('one command by -a, --pass and the environment', async () => {
    assert.equal((await cli(server, ['SET', 'k', 'v'])).out, 'OK\n');
    const pass = ['-p', server.port, '--pass', PASSWORD, '--no-auth-warning', 'GET', 'k'];
    assert.equal((await run('redis-cli', pass)).out, 'v\n');
    const env = { REDISCLI_AUTH: PASSWORD };
    assert.equal((await run('redis-cli', ['-p', server.port, 'GET', 'k'], { env })).out, 'v\n');
    const none = await run('redis-cli', ['-p', server.port, '-e', 'GET', 'k']);
    assert.match(none.out + none.err, /NOAUTH Authentication required/);
    assert.notEqual(none.code, 0);
  });

  await t.test('RESP3 shows maps', async () => {
    await cli(server, ['HSET', 'h', 'a', '1']);
    const { out, code } = await cli(server, ['-3', '--json', 'HGETALL', 'h']);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out), { a: '1' });
  });

  await t.test('commands from standard input', async () => {
    const { out } = await cli(server, [], {
      input: 'SET a 1\nINCR a\nHELLO 3\nHGETALL none\nPING\n',
    });
    assert.match(out, /^OK\n2\n[\s\S]*\nPONG\n$/);
  });

  await t.test('--pipe loads in bulk', async () => {
    const rows = Array.from({ length: 20000 }, (_, i) => encode(['SET', `bulk:${i}`, i]));
    const { out, code } = await cli(server, ['--pipe'], { input: Buffer.concat(rows) });
    assert.match(out, /errors: 0, replies: 20000/);
    assert.equal(code, 0);
  });

  await t.test('--scan lists every key', async () => {
    const { out, code } = await cli(server, ['--scan', '--pattern', 'bulk:*']);
    assert.equal(code, 0);
    assert.equal(new Set(out.trim().split('\n')).size, 20000);
  });

  await t.test('--bigkeys and --memkeys end with a summary', async () => {
    const big = await cli(server, ['--bigkeys']);
    assert.equal(big.code, 0);
    assert.match(big.out, /Sampled 2\d{4} keys in the keyspace/);
    assert.match(big.out, /Biggest string found/);
    const memory = await cli(server, ['--memkeys']);
    assert.equal(memory.code, 0);
    assert.match(memory.out, /Biggest +hash found/);
    assert.doesNotMatch(big.out + memory.out + big.err + memory.err, /ERR|Error/);
  });

  await t.test('--stat and --latency read what they need', async () => {
    const stat = await bounded(
      server,
      ['--stat', '-i', '0.1'],
      /\d+\s+\d[\d.]*[KMG]?\s+\d+\s+\d+\s+\d+ \(\+\d+\)/,
    );
    assert.doesNotMatch(stat, /ERR/);
    const { out, code } = await cli(server, ['--raw', '--latency', '-i', '1'], { timeoutMs: 8000 });
    assert.equal(code, 0);
    assert.match(out, /^\d+ [\d.]+ [\d.]+ \d+/);
  });
});

// A tool that runs until it is told to stop; ends it once it has printed what is wanted.
async function bounded(server, args, wanted) {
  // Into a pipe it would keep its lines to itself until a page is full.
  const all = ['-oL', 'redis-cli', '-p', server.port, '-a', PASSWORD, '--no-auth-warning', ...args];
  const child = spawn('stdbuf', all.map(String));
  let out = '';
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (out += d));
  try {
    await eventually(() => wanted.test(out), { what: `redis-cli ${args}: ${wanted}` });
  } finally {
    child.kill('SIGTERM');
    await once(child, 'close');
  }
  return out;
}

test('redis-benchmark', async (t) => {
  const server = await startServer(t);
  const base = ['-h', '127.0.0.1', '-p', server.port, '-a', PASSWORD, '-n', 20000, '-P', 16, '-q'];
  const tests = ['-t', 'set,get,hset,incr,mset,ping'];
  const rows = {
    RESP2: [],
    RESP3: ['-3'],
    'two threads': ['--threads', 2],
    'random keys and large values': ['-r', 100000, '-d', 3000],
  };

  for (const [name, more] of Object.entries(rows)) {
    await t.test(name, async () => {
      const { code, out, err } = await run('redis-benchmark', [...base, ...tests, ...more], {
        timeoutMs: 60000,
      });
      assert.equal(code, 0, out + err);
      assert.doesNotMatch(out + err, /ERR|Error|WARNING/i);
      assert.equal(out.match(/requests per second/g).length, 7);
    });
  }
});

// Both ends of the same promise: who uses the wrong port is told, not left hanging.
test('a client that finds nobody is told at once', async () => {
  const client = new Redis({ port: await freePort(), retryStrategy: null, lazyConnect: true });
  client.on('error', () => {});
  await assert.rejects(within(client.connect(), 5000 * SLOW, 'refusal'));
  client.disconnect();
});
