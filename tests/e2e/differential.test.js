// The same seeded random commands to Debian's redis-server 7.0 and to Godwit: every reply is
// compared type for type, in RESP2 and RESP3, pipelined and not, and so is the data at the end.
//
//   SEED=n ITERATIONS=1   that sequence again      ITERATIONS=n   as many sequences as that
//   DIFF_COMMANDS=n       how many commands without ITERATIONS (200000), however long that takes
//   DIFF_SECONDS=n        instead: how long
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import { SLOW } from '../lib/eventually.js';
import { quote, show } from '../lib/resp.js';
import { chooseSeed, Random } from '../lib/seed.js';
import { KIND, startServer } from '../lib/server.js';
import { APART, Arguments, FAMILY_STATE, KEYS, randomCommand, ROWS } from './commands.js';
import { USERS } from './commands/acl.js';
import { disagreement, comparable } from './differences.js';

const SECONDS = Number(process.env.DIFF_SECONDS || 0);
const LEAST = Number(process.env.DIFF_COMMANDS || (SECONDS > 0 ? 0 : 200000));
const ITERATIONS = Number(process.env.ITERATIONS || 0);
// Of a sequence that goes one by one, and of one that goes in pipelines, which costs no more time.
const COMMANDS = { single: 150, pipelined: 1500 };
// Rows of weight 0: what takes redis-server too long to be asked at random.
const SLOW_ONES = [['PFSELFTEST'], ['PFSELFTEST', 'x']];
const SPECS = new URL('../spec/', import.meta.url);
const SHRINK_RUNS = 400;
const SHRINK_MS = 20000;

// Two servers side by side; `spoil` lets the test damage one reply to see itself fail.
class Pair {
  constructor(redis, godwit, spoil = (command, reply) => reply) {
    this.servers = [redis, godwit];
    this.spoil = spoil;
  }

  async open(proto) {
    this.clients = await Promise.all(this.servers.map((s) => s.connect({ proto })));
    // Libraries, scripts and users are no keys: FLUSHALL leaves them.
    await this.both([['FLUSHALL'], ['FUNCTION', 'FLUSH'], ['SCRIPT', 'FLUSH'], ['ACL', 'DELUSER', ...USERS]]);
  }

  async close() {
    await Promise.all(this.clients.map((c) => c.close()));
  }

  async both(commands) {
    const [a, b] = await Promise.all(this.clients.map((c) => c.pipeline(commands)));
    return commands.map((command, i) => ({ command, a: a[i], b: this.spoil(command, b[i]) }));
  }
}

// What MULTI has queued since, as both servers say: EXEC's replies are those commands'.
class Transaction {
  constructor() {
    this.queue = null;
  }

  // The commands and replies to compare.
  *unfold({ command, a, b }) {
    const name = String(command[0]).toLowerCase();
    const isRun = name === 'exec' && a.t === '*' && b.t === '*' && a.a?.length === b.a?.length;
    if (isRun && a.a && this.queue?.length === a.a.length) {
      for (const [i, queued] of this.queue.entries()) {
        yield { command: queued, a: a.a[i], b: b.a[i] };
      }
    } else {
      yield { command, a, b };
    }
    if (name === 'multi' && a.t === '+') {
      this.queue = [];
    } else if (a.t === '+' && a.s === 'QUEUED') {
      this.queue?.push(command);
    } else if (['exec', 'discard', 'reset'].includes(name) && a.t !== '-') {
      this.queue = null;
    }
  }
}

function firstMismatch(rounds, transaction = new Transaction()) {
  for (const round of rounds) {
    for (const { command, a, b } of transaction.unfold(round)) {
      const why = disagreement(command, a, b);
      if (why !== null) {
        return { command, a: show(a), b: show(b), why };
      }
    }
  }
  return null;
}

// What the keys hold, by commands whose replies are compared like any other.
const STATE = [
  ...KEYS.map((key) => ['GET', key]),
  ...KEYS.map((key) => ['HGETALL', key]),
  ...FAMILY_STATE,
  ...KEYS.map((key) => ['PTTL', key]),
  ...KEYS.map((key) => ['OBJECT', 'ENCODING', key]),
  ['KEYS', '*'],
  ['DBSIZE'],
];

// Runs the batches on fresh connections and an empty database; the first mismatch, or null.
async function play(pair, proto, batches) {
  const transaction = new Transaction();
  await pair.open(proto);
  try {
    for (const batch of batches) {
      const found = firstMismatch(await pair.both(batch), transaction);
      if (found) {
        return found;
      }
    }
    await pair.both([['DISCARD']]);
    return firstMismatch(await pair.both(STATE));
  } finally {
    await pair.close();
  }
}

function cut(random, commands, isPipelined) {
  const out = [];
  for (let at = 0; at < commands.length;) {
    const count = isPipelined ? random.between(1, 40) : 1;
    out.push(commands.slice(at, at + count));
    at += count;
  }
  return out;
}

// Leaves out ever smaller pieces as long as something still differs.
async function shrink(pair, proto, commands) {
  const end = Date.now() + SHRINK_MS * SLOW;
  let runs = 0;
  let found = null;

  for (let size = commands.length >> 1; size >= 1; size = size > 1 ? size >> 1 : 0) {
    for (let at = 0; at < commands.length;) {
      if (++runs > SHRINK_RUNS || Date.now() > end) {
        return { commands, found };
      }
      const fewer = [...commands.slice(0, at), ...commands.slice(at + size)];
      const still = await play(
        pair,
        proto,
        fewer.map((c) => [c]),
      );
      if (still) {
        commands = fewer;
        found = still;
      } else {
        at += size;
      }
    }
  }
  return { commands, found };
}

function text(command) {
  const shown = command.slice(0, 24).map((arg) => {
    const word = String(arg);
    return /^[\w#*-]+$/.test(word) && word.length < 100 ? word : brief(quote(arg));
  });
  return shown.join(' ') + (command.length > 24 ? ` … (${command.length} arguments)` : '');
}

function brief(line) {
  return line.length > 400 ? `${line.slice(0, 400)}… (${line.length} characters)` : line;
}

async function report(pair, { seed, proto, batches, found }) {
  const commands = batches.flat();
  const small = await shrink(pair, proto, commands);
  const shown = small.found ? small.commands : commands.slice(-20);
  const last = small.found || found;
  return [
    `servers differ; again with SEED=${seed} ITERATIONS=1`,
    `(RESP${proto}, ${commands.length} commands)`,
    small.found
      ? 'the shortest sequence found:'
      : 'it did not happen again; the last commands were:',
    ...shown.map((c) => `  ${text(c)}`),
    `at   ${text(last.command)}`,
    `redis  ${brief(last.a)}`,
    `godwit ${brief(last.b)}`,
    last.why,
  ].join('\n');
}

// One sequence, all of it decided by its seed.
async function sequence(pair, seed, sent = { 2: new Set(), 3: new Set() }) {
  const random = new Random(seed);
  const proto = random.pick([2, 3]);
  const isPipelined = random.chance(0.5);
  const g = new Arguments(random, Date.now());
  const length = isPipelined ? COMMANDS.pipelined : COMMANDS.single;
  const commands = comparable(Array.from({ length }, () => randomCommand(g)));
  commands.forEach(([name]) => sent[proto].add(String(name).toLowerCase()));
  const batches = cut(random, commands, isPipelined);
  const found = await play(pair, proto, batches);
  return { count: length, bad: found && { seed, proto, batches, found } };
}

// One limit for both, so that OBJECT ENCODING can be compared; Godwit's limit on the bytes of a
// packed hash, which Redis has not, is out of the way.
async function servers(t) {
  // Small blocks, so that short sequences have many of them.
  const blocks = ['--stream-node-max-entries', 5, '--stream-node-max-bytes', 200];
  const args = ['--hash-max-listpack-entries', 128, ...blocks];
  return Promise.all([
    // It looks so often at what waits with a timeout; 10 times a second took a tenth of the test.
    startServer(t, { kind: 'redis', args: [...args, '--hz', 500] }),
    KIND === 'redis'
      ? startServer(t, { args })
      : startServer(t, { workers: 2, args: [...args, '--packed-max-bytes', '16384'] }),
  ]);
}

test('Godwit answers random commands as redis-server does', async (t) => {
  const pair = new Pair(...(await servers(t)));
  const first = chooseSeed();
  const end = Date.now() + SECONDS * 1000;
  let count = 0;
  let commands = 0;
  const sent = { 2: new Set(), 3: new Set() };

  t.diagnostic(`SEED=${first}`);
  while (ITERATIONS ? count < ITERATIONS : commands < LEAST || Date.now() < end) {
    const played = await sequence(pair, (first + count) >>> 0, sent);
    if (played.bad) {
      assert.fail(await report(pair, played.bad));
    }
    count++;
    commands += played.count;
  }
  t.diagnostic(`${commands} commands in ${count} sequences agree`);
  for (const proto of [2, 3]) {
    assert.equal(await play(pair, proto, [SLOW_ONES]), null);
    const isMissing = ([weight, name]) => weight > 0 && !sent[proto].has(name.toLowerCase());
    const missing = ROWS.filter(isMissing).map(([, name]) => name);
    assert.deepEqual(commands < 200000 ? [] : missing, [], `sent in RESP${proto}`);
  }
});

test('every command of redis-server has a row, or a reason to have none', async (t) => {
  const redis = await startServer(t, { kind: 'redis' });
  const client = await redis.client(t);
  const names = (await client.cmd('COMMAND', 'LIST')).map((name) => name.toLowerCase());
  const rows = new Set(ROWS.map(([, name]) => name.toLowerCase()));
  const wholes = names.filter((name) => !name.includes('|'));

  assert.deepEqual(
    wholes.filter((name) => !rows.has(name) && !APART[name]),
    [],
  );
  assert.deepEqual(
    Object.keys(APART).filter((name) => rows.has(name)),
    [],
  );
});

// A new row is asked at random, or in a transcript, or says why not.
test('every command of Godwit is asked, or has a reason not to be', { skip: KIND === 'redis' }, async (t) => {
  const client = await (await startServer(t)).client(t);
  const names = (await client.cmd('COMMAND', 'LIST')).map((name) => name.toLowerCase());
  const g = new Arguments(new Random(1), Date.now());
  const asked = new Set(ROWS.map(([, name]) => name.toLowerCase()));

  for (let i = 0; i < 100000; i++) {
    asked.add(randomCommand(g).slice(0, 2).join('|').toLowerCase());
  }
  for (const file of fs.readdirSync(SPECS).filter((name) => name.endsWith('.spec'))) {
    for (const [, name, sub] of fs.readFileSync(new URL(file, SPECS), 'utf8').matchAll(/^> (\S+)(?: (\S+))?/gm)) {
      asked.add(name.toLowerCase()).add(`${name}|${sub}`.toLowerCase());
    }
  }
  const isLeftOut = (name) => APART[name] || APART[name.split('|')[0]] || name.endsWith('|help');
  assert.deepEqual(names.filter((name) => !asked.has(name) && !isLeftOut(name)), []);
});

// The first test is worth what it finds: a reply of another type, once, must be found and cut down.
test('the differential test finds a reply of the wrong type and shrinks it', async (t) => {
  const redis = await startServer(t, { kind: 'redis' });
  const spoil = (command, reply) =>
    /^strlen$/i.test(command[0]) && reply.t === ':' ? { t: '+', s: reply.s } : reply;
  const pair = new Pair(redis, redis, spoil);
  pair.both = async (commands) => {
    const replies = await pair.clients[0].pipeline(commands);
    return commands.map((c, i) => ({ command: c, a: replies[i], b: spoil(c, replies[i]) }));
  };
  let bad = null;

  for (let seed = 1; !bad && seed < 200; seed++) {
    ({ bad } = await sequence(pair, seed));
  }
  assert.ok(bad, 'the spoilt reply was not noticed');
  const { commands, found } = await shrink(pair, bad.proto, bad.batches.flat());
  assert.equal(commands.length, 1);
  assert.match(String(found.command[0]), /^strlen$/i);
});
