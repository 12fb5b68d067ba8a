// Promise 1, isolation, from the outside: no client sees half of a command, and what one client has
// seen no later read misses, whoever asks, on whichever worker, while the table grows under it all.
//
// All parts run at once, for a minute of wall time together, on some fifty connections.
//
//   ISOLATION_SECONDS=n   how long (60)
import assert from 'node:assert/strict';
import test from 'node:test';
import { passTime, SLOW } from '../lib/eventually.js';
import { encode, plain } from '../lib/resp.js';
import { seeded } from '../lib/seed.js';
import { startServer } from '../lib/server.js';

const SECONDS = Number(process.env.ISOLATION_SECONDS || 60);
const WORKERS = 4;
// Connections that read alike: they are on different workers, and see different moments.
const READERS = 3;
// Commands in one write: the more, the more of the time the server's workers run against each other.
const DEPTH = 10;

const numbered = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

// Many keys written at once. A value says who wrote it and when: `writer:n`. One reader must never
// see two values in one MGET, and nobody may see n fall behind what anyone had seen, or been told
// was written, before the read was sent.
class ManyAtOnce {
  constructor(name, { keyCount, writers }) {
    this.keys = numbered(`{${name}}`, keyCount / 2).concat(numbered(`${name}:`, keyCount / 2));
    this.sent = Array(writers).fill(0);
    this.floor = Array(writers).fill(0);
    this.reads = 0;
  }

  async begin(client) {
    await client.cmd('MSET', ...this.keys.flatMap((key) => [key, '0:0']));
  }

  writers() {
    return this.sent.map((_, w) => async (client, { broken }) => {
      const set = (n) => this.keys.flatMap((key) => [key, `${w}:${n}`]);
      if (broken) {
        const pairs = set(++this.sent[w]);
        for (let i = 0; i < pairs.length; i += 2) {
          await client.cmd('SET', pairs[i], pairs[i + 1]);
        }
      } else {
        const batch = Array.from({ length: DEPTH }, () => ['MSET', ...set(++this.sent[w])]);
        (await client.pipeline(batch)).forEach((r) => assert.equal(r.s, 'OK'));
      }
      this.floor[w] = Math.max(this.floor[w], this.sent[w]);
    });
  }

  #judge(value, floor) {
    const [w, n] = value.split(':').map(Number);
    assert.ok(n >= floor[w], `saw ${value} after ${w}:${floor[w]} had been seen`);
    this.floor[w] = Math.max(this.floor[w], n);
    this.reads++;
  }

  // Reads one after another on a connection; a later one must not fall behind an earlier one either.
  async #read(client, batch) {
    const floor = [...this.floor];
    for (const reply of await client.pipeline(batch)) {
      const values = [plain(reply)].flat();
      assert.equal(new Set(values).size, 1, `a mixture: ${values.join(' ')}`);
      this.#judge(values[0], floor);
      const [w, n] = values[0].split(':').map(Number);
      floor[w] = n;
    }
  }

  #together(client, random) {
    const some = () => random.shuffle(this.keys).slice(0, random.between(2, this.keys.length));
    return this.#read(
      client,
      Array.from({ length: DEPTH }, () => ['MGET', ...some()]),
    );
  }

  #oneByOne(client, random) {
    return this.#read(
      client,
      Array.from({ length: DEPTH }, () => ['GET', random.pick(this.keys)]),
    );
  }

  readers() {
    return [
      (client, random) => this.#together(client, random),
      (client, random) => this.#together(client, random),
      (client, random) => this.#oneByOne(client, random),
      (client, random) => this.#oneByOne(client, random),
    ];
  }
}

// One writer sets a, then b. Nobody may see b ahead of a.
class InOrder {
  constructor() {
    this.n = 0;
    this.reads = 0;
  }

  async begin(client) {
    await client.cmd('MSET', 'order:a', 0, 'order:b', 0);
  }

  writers() {
    return [
      async (client, { broken }) => {
        const names = broken ? ['order:b', 'order:a'] : ['order:a', 'order:b'];
        const both = () => names.map((name) => ['SET', name, this.n]);
        if (broken || this.n % 3 === 0) {
          this.n++;
          for (const command of both()) {
            await client.call(...command);
          }
        } else {
          await client.pipeline(
            Array.from({ length: DEPTH }, () => {
              this.n++;
              return both();
            }).flat(),
          );
        }
      },
    ];
  }

  #judge(a, b) {
    assert.ok(Number(b) <= Number(a), `b is ${b} while a is ${a}`);
    this.reads++;
  }

  async #read(client, commands, judge) {
    const batch = Array.from({ length: DEPTH }, () => commands).flat();
    const values = (await client.pipeline(batch)).map(plain).flat();
    for (let i = 0; i < values.length; i += 2) {
      judge(values[i], values[i + 1]);
    }
  }

  readers() {
    const ab = (a, b) => this.#judge(a, b);
    const ba = (b, a) => this.#judge(a, b);
    const single = [
      ['GET', 'order:b'],
      ['GET', 'order:a'],
    ];
    return [
      (client) => this.#read(client, [['MGET', 'order:a', 'order:b']], ab),
      (client) => this.#read(client, [['MGET', 'order:b', 'order:a']], ba),
      (client) => this.#read(client, single, ba),
    ];
  }
}

// A key that moves between two names: at any time exactly one of them exists.
class ExactlyOne {
  constructor() {
    this.reads = 0;
    this.names = ['one:here', 'one:there'];
  }

  async begin(client) {
    await client.cmd('SET', this.names[0], 'v');
  }

  writers() {
    return [
      async (client, { broken }) => {
        const [from, to] = this.names;
        if (broken) {
          await client.cmd('DEL', from);
          await client.cmd('SET', to, 'v');
          this.names = [to, from];
          return;
        }
        const both = [
          ['RENAME', from, to],
          ['RENAME', to, from],
        ];
        const batch = Array.from({ length: DEPTH }, () => both).flat();
        (await client.pipeline(batch)).forEach((r) => assert.equal(r.s, 'OK'));
      },
    ];
  }

  readers() {
    const names = ['one:there', 'one:here'];
    return ['EXISTS', 'MGET', 'TOUCH'].map((name) => async (client) => {
      const batch = Array.from({ length: DEPTH }, (_, i) => [
        name,
        names[i % 2],
        names[1 - (i % 2)],
      ]);
      for (const reply of (await client.pipeline(batch)).map(plain)) {
        const count = Array.isArray(reply) ? reply.filter((v) => v !== null).length : reply;
        assert.equal(count, 1, `${count} of the two names exist`);
        this.reads++;
      }
    });
  }
}

// Makes the table grow and shrink beneath the others.
async function growAndShrink(client, state) {
  const batch = Array.from({ length: 200 }, () => ['SET', `grow:${state.next++}`, 'x']);
  await client.pipeline(batch);
  if (state.next - state.first > 100000) {
    while (state.first < state.next) {
      const some = numbered('', 500).map(() => `grow:${state.first++}`);
      await client.cmd('UNLINK', ...some);
    }
  }
}

// Runs every writer and reader on a connection of its own until the time is up or one of them
// fails.
async function contend(t, server, parts, { seconds, broken = false, random, grow = true }) {
  const end = Date.now() + seconds * 1000;
  let failure = null;
  const jobs = [];
  const table = { first: 0, next: 0 };

  async function repeat(step) {
    const client = await server.client(t);
    while (Date.now() < end && !failure) {
      try {
        await step(client);
      } catch (err) {
        failure ??= err;
      }
    }
  }

  const first = await server.client(t);
  for (const part of parts) {
    await part.begin(first);
  }
  for (const part of parts) {
    part.writers().forEach((write) => jobs.push(repeat((c) => write(c, { broken }))));
    for (let i = 0; i < READERS; i++) {
      part.readers().forEach((read) => jobs.push(repeat((c) => read(c, random))));
    }
  }
  if (grow) {
    jobs.push(repeat((client) => growAndShrink(client, table)));
  }
  await Promise.all(jobs);
  return failure;
}

// Hostile in its way: a request that takes as long to arrive as all the others contend. It holds up none
// of them, and is answered when it is there.
async function trickle(client, seconds) {
  const bytes = encode(['SET', 'trickled', 'x'.repeat(50)]);
  for (const byte of bytes) {
    client.write(Buffer.from([byte]));
    await passTime((seconds * 1000) / bytes.length);
  }
  return client.next();
}

function allParts() {
  return {
    'many keys by one writer': new ManyAtOnce('single', { keyCount: 16, writers: 1 }),
    'the same keys by three writers': new ManyAtOnce('shared', { keyCount: 8, writers: 3 }),
    'a, then b': new InOrder(),
    'exactly one of two': new ExactlyOne(),
  };
}

test('no mixture and no step back in time is ever seen (promise 1)', async (t) => {
  const server = await startServer(t, { workers: WORKERS });
  const parts = allParts();
  const trickled = trickle(await server.client(t), SECONDS);
  const failure = await contend(t, server, Object.values(parts), {
    seconds: SECONDS,
    random: seeded(t),
  });

  if (failure) {
    throw failure;
  }
  assert.equal((await trickled).s, 'OK', 'the request that took as long as all this');
  for (const [name, part] of Object.entries(parts)) {
    t.diagnostic(`${name}: ${part.reads} reads`);
    assert.ok(
      part.reads > (100 * Math.min(SECONDS, 10)) / SLOW,
      `${name}: only ${part.reads} reads`,
    );
  }
});

// Each part must be able to fail: the same readers over writers that take several steps where one
// command was promised to be one step.
test('each part of the isolation test sees what it looks for', async (t) => {
  const server = await startServer(t, { workers: WORKERS });

  for (const [name, part] of Object.entries(allParts())) {
    await t.test(name, async (t) => {
      const options = { seconds: 10, broken: true, random: seeded(t), grow: false };
      const failure = await contend(t, server, [part], options);
      assert.ok(failure instanceof assert.AssertionError, 'nothing was noticed');
    });
  }
});
