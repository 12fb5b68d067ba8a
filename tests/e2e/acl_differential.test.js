// Random rules for random users, then random commands tried out (ACL DRYRUN) on redis-server 7.0 and on
// Godwit: what one allows the other must allow, and what is refused must be refused for the same argument.
// Categories and what a command does with its keys are compared for every command that both know.
//
//   SEED=n ITERATIONS=1   those users again     ACL_SECONDS=n   how long without ITERATIONS (8)
import assert from 'node:assert/strict';
import test from 'node:test';
import { plain, show } from '../lib/resp.js';
import { chooseSeed, Random } from '../lib/seed.js';
import { KIND, startServer } from '../lib/server.js';
import { Arguments, randomCommand } from './commands.js';
import { aclCommand, aclRules } from './commands/acl.js';
import { disagreement } from './differences.js';

const SECONDS = Number(process.env.ACL_SECONDS || 8);
const ITERATIONS = Number(process.env.ITERATIONS || 0);
const TRIES = 120;

async function pair(t, proto = 2) {
  const redis = await startServer(t, { kind: 'redis' });
  const godwit = await startServer(t, { workers: 2 });
  const clients = await Promise.all([redis, godwit].map((s) => s.client(t, { proto })));
  return async (commands) => {
    const [a, b] = await Promise.all(clients.map((c) => c.pipeline(commands)));
    return commands.map((command, i) => ({ command, a: a[i], b: b[i] }));
  };
}

const isUnknown = (reply) => reply.t === '-' && /^ERR Command '.*' not found/.test(reply.s);

function assertAgree(rounds, context) {
  for (const { command, a, b } of rounds) {
    if (isUnknown(a) || isUnknown(b)) {
      continue; // of another release
    }
    const why = disagreement(command, a, b);
    assert.equal(
      why,
      null,
      `${context}\n${command.map((x) => JSON.stringify(String(x))).join(' ')}\nredis  ${show(a)}\ngodwit ${show(b)}`,
    );
  }
}

test('random rules allow what they allow in redis-server', async (t) => {
  const both = await pair(t);
  const first = chooseSeed();
  const end = Date.now() + SECONDS * 1000;
  let count = 0;

  t.diagnostic(`SEED=${first}`);
  while (ITERATIONS ? count < ITERATIONS : Date.now() < end) {
    const seed = (first + count) >>> 0;
    const g = new Arguments(new Random(seed), Date.now());
    const user = `u${g.random.below(3)}`;
    const setup = [
      ['ACL', 'SETUSER', user, 'reset', ...aclRules(g)],
      ['ACL', 'SETUSER', user, ...aclRules(g)],
      ['ACL', 'GETUSER', user],
    ];
    const context = () => `SEED=${seed} ITERATIONS=1\n${setup.map((c) => c.join(' ')).join('\n')}`;
    assertAgree(await both(setup), context());
    const tried = Array.from({ length: TRIES }, () => [
      'ACL',
      'DRYRUN',
      user,
      ...(g.random.chance(0.6) ? randomCommand(g) : aclCommand(g)),
    ]).filter((c) => c.length > 3);
    assertAgree(await both(tried), context());
    count++;
  }
  t.diagnostic(`${count} users, each tried with ${TRIES} commands, agree`);
});

function byName(infos) {
  const out = new Map();
  const walk = (e) => {
    const [name, , , , , , categories, , specs, subs] = plain(e);
    out.set(name, { categories: categories.map(String), specs: specs.map((s) => flagsOf(s)) });
    e.a[9].a.forEach(walk);
  };
  infos.a.filter((e) => e.a).forEach(walk);
  return out;
}

// What ACL makes of a key specification's flags.
function flagsOf(spec) {
  const flags = (Array.isArray(spec) ? spec[spec.indexOf('flags') + 1] : spec.flags).map(String);
  const writes = flags.some((f) => ['insert', 'update', 'delete'].includes(f));
  return (flags.includes('access') ? 'R' : '') + (writes ? 'W' : '');
}

// Where Godwit follows 7.2, or says less: get_keys finds the rest.
const OTHER_CATEGORIES = { wait: 'blocking since 7.2' };
const OTHER_SPECS = {
  sort: 'STORE is found by its word, and DRYRUN above compares it',
  sort_ro: 'BY and GET look at any key, which no specification says',
  georadius: 'STORE and STOREDIST, the same',
  georadiusbymember: 'the same',
};

test("categories and keys' access are redis-server's", async (t) => {
  const both = await pair(t);
  const [{ a, b }] = await both([['COMMAND']]);
  const [redis, godwit] = [byName(a), byName(b)];
  let compared = 0;

  for (const [name, theirs] of redis) {
    const ours = godwit.get(name);
    if (!ours) {
      continue;
    }
    compared++;
    if (!(name in OTHER_CATEGORIES)) {
      assert.deepEqual(ours.categories.sort(), theirs.categories.sort(), name);
    }
    if (!(name in OTHER_SPECS)) {
      assert.deepEqual(ours.specs, theirs.specs, name);
    }
  }
  assert.ok(compared > 250, `${compared} commands`);
  for (const category of plain((await both([['ACL', 'CAT']]))[0].a)) {
    const [{ a: theirs, b: ours }] = await both([['ACL', 'CAT', category]]);
    const known = (list, of) => plain(list).filter((n) => of.has(n) && !(n in OTHER_CATEGORIES)).sort();
    assert.deepEqual(known(ours, redis), known(theirs, godwit), category);
  }
});

// The test above is worth what it finds: a rule that one server has not must be noticed.
test('the differential test notices one rule more', { skip: KIND === 'redis' }, async (t) => {
  const both = await pair(t);

  await both([['ACL', 'SETUSER', 'u0', 'reset', '+get', '~s1']]);
  const godwit = await (await startServer(t, {})).client(t);
  await godwit.cmd('ACL', 'SETUSER', 'u0', '+get', '~s2');
  const [{ command, a }] = await both([['ACL', 'DRYRUN', 'u0', 'GET', 's1']]);
  assert.notEqual(disagreement(command, a, await godwit.call(...command)), null);
});
