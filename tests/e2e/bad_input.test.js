// Every command with what it must refuse (promise 8): arguments too few or too many, keys of every other type,
// numbers that are none or too large. Where redis-server 7.0 has the command it decides what the answer is.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Bystander } from '../lib/bystander.js';
import { passTime } from '../lib/eventually.js';
import { forms, isNumeric, readCommands, readDocs, texts } from '../lib/forms.js';
import { show } from '../lib/resp.js';
import { godwitOnly, KIND, startServer } from '../lib/server.js';
import { disagreement } from './differences.js';

const MB = 1 << 20;
// UNLINK with no keys is the REST service's, the others are as 7.2 has them.
const OTHER_ARITY = new Set(['unlink', 'command|getkeys', 'command|getkeysandflags', 'zrank', 'zrevrank']);
const DISCARDED = 'EXECABORT Transaction discarded because of:';

// What may not be called at random: it ends, pauses or reconfigures the server, other clients or the connection,
// or changes how this one is answered. WAIT and WAITAOF wait for replicas that there are none of.
const APART = new RegExp(
  `^(${[
    'acl\\|(deluser|load|save|setuser)',
    'auth|hello|quit|reset|asking|readonly|readwrite|shutdown|debug|monitor',
    '[ps]?(un)?subscribe|multi|exec|discard|waitaof|wait',
    'client\\|(caching|kill|list|no-evict|no-touch|pause|reply|setinfo|setname|unpause)',
    'cluster|config|module|script|function|pfdebug|pfselftest',
    'flushall|flushdb|save|bgsave|bgrewriteaof|lastsave|info|command',
    'failover|migrate|psync|replconf|replicaof|restore-asking|role|slaveof|sync',
  ].join('|')})(\\||$)`,
);

// A key of each type, by the name of the commands' group.
const KEYS = {
  string: [['SET', 'k', '5']],
  list: [['RPUSH', 'k', 'a', 'b', 'c']],
  hash: [['HSET', 'k', 'a', '1', 'b', '2']],
  set: [['SADD', 'k', 'a']],
  'sorted-set': [['ZADD', 'k', '1', 'a', '2', 'b']],
  stream: [
    ['XADD', 'k', '1-1', 'a', 'b'],
    ['XGROUP', 'CREATE', 'k', 'a', '0'],
  ],
  hyperloglog: [['PFADD', 'k', 'a']],
  geo: [['GEOADD', 'k', '13.361389', '38.115556', 'a']],
  json: [['JSON.SET', 'k', '$', '[1,"a"]']],
};
// Of Godwit's own commands: who takes a key of any type, or answers null for one.
const OF_ANY_TYPE = new Set(['delex', 'json.mget', 'msetex']);
const isOwn = (docs, key) =>
  key === keyFor(docs) || (docs.group === 'string' && key === KEYS.hyperloglog);
const CLEAR = ['DEL', 'k', 'd', 'a', '1'];

function keyFor(docs) {
  return KEYS[docs.group === 'bitmap' ? 'string' : docs.group] ?? KEYS.string;
}

// Godwit, and redis-server beside it.
async function both(t) {
  const args = ['--databases', 1]; // as Godwit has
  const redis = await startServer(t, { kind: 'redis', args });
  const server = await startServer(t, KIND === 'redis' ? { args } : {});
  const admins = [await redis.client(t), await server.client(t)];
  const [theirs, ours] = await Promise.all(admins.map(readDocs));
  for (const admin of admins) {
    await admin.cmd('CONFIG', 'SET', 'slowlog-log-slower-than', '-1'); // one may have been slow to tell
    await admin.cmd('SLOWLOG', 'RESET');
  }
  return { redis, server, admins, theirs, ours, commands: await readCommands(admins[1]) };
}

// Each case [key, command] on a key of its own making. One that blocks is unblocked and counts as such.
async function ask(server, admin, cases, blocks) {
  const client = await server.connect();
  const id = blocks ? await client.cmd('CLIENT', 'ID') : 0;
  const out = [];
  const run = async (list) => {
    const commands = list.flatMap(([key, command]) => [CLEAR, ...key, command]);
    const replies = await client.pipeline(commands);
    let at = -1;
    for (const [key] of list) {
      at += key.length + 2;
      out.push(replies[at]);
    }
  };
  const unblock = async (promise) => {
    let done = false;
    promise.finally(() => (done = true)).catch(() => {});
    for (let ms = 0; !done; ms += 5) {
      await passTime(5);
      if (ms > 200) {
        await admin.cmd('CLIENT', 'UNBLOCK', id);
      }
    }
    await promise;
  };
  try {
    if (blocks) {
      for (const one of cases) {
        await unblock(run([one]));
      }
    } else {
      for (let at = 0; at < cases.length; at += 50) {
        await run(cases.slice(at, at + 50));
      }
    }
  } finally {
    await client.close();
  }
  return out;
}

test('a wrong number of arguments, of every command', async (t) => {
  const { admins, commands } = await both(t);
  const theirs = new Map((await readCommands(admins[0])).map((c) => [c.name, c]));
  const wrong = [];

  assert.ok(commands.length > 360);
  for (const { name, arity } of commands) {
    const words = name.split('|');
    const call = (count) => [...words, ...Array(Math.max(count - words.length, 0)).fill('a')];
    const counts = [Math.abs(arity) - 1, ...(arity > 0 ? [arity + 1] : [])];
    const text = `-ERR wrong number of arguments for '${name}' command`;
    for (const count of counts.filter((n) => n >= words.length)) {
      const got = show(await admins[1].call(...call(count)));
      // Clients of the REST service send it with no keys (differences.js).
      const isDiscarded = name === 'exec' && got === text.replace('ERR', DISCARDED);
      const isRest = name === 'unlink' && got === ':0';
      if (got !== text && !isDiscarded && !isRest) {
        wrong.push(`${call(count).join(' ')}: ${got}`);
      }
      if (theirs.get(name)?.arity === arity && name !== 'unlink') {
        assert.equal(show(await admins[0].call(...call(count))), got, name);
      }
    }
    if (theirs.has(name) && theirs.get(name).arity !== arity && !OTHER_ARITY.has(name)) {
      wrong.push(`${name}: arity ${arity}, of redis-server ${theirs.get(name).arity}`);
    }
  }
  assert.deepEqual(wrong, []);
});

// What the two answer to each case, if they have to agree; else what Godwit answers, if it may not.
async function compare(pair, name, cases, mayAnswer) {
  const { redis, server, admins, theirs } = pair;
  const blocks = pair.commands.find((c) => c.name === name).flags.includes('blocking');
  const isTheirs = theirs[name] !== undefined;
  // redis-server has no JSON: instead of that a value that is not the command's either.
  const other = theirs[name]?.group === 'stream' ? KEYS.list : KEYS.stream;
  const stand = ([key, command]) => [key === KEYS.json ? other : key, command];
  const ours = await ask(server, admins[1], KIND === 'redis' ? cases.map(stand) : cases, blocks);
  const others = isTheirs ? await ask(redis, admins[0], cases.map(stand), blocks) : [];
  return cases.flatMap(([key, command], i) => {
    const isOpen = isTheirs && key === KEYS.json && !/^WRONGTYPE/.test(others[i].s);
    const why = isOpen
      ? null
      : isTheirs
      ? disagreement(command, others[i], ours[i])
      : mayAnswer(key, command, ours[i])
        ? null
        : 'an error was due';
    const words = command.map((w) => JSON.stringify(w)).join(' ');
    return why === null ? [] : [`${words}: ${isTheirs ? show(others[i]) : ''} | ${show(ours[i])} ${why}`];
  });
}

const called = (commands, docs) => commands.filter((c) => !APART.test(c.name) && docs[c.name]);

test('a key of every other type, of every command with a key', async (t) => {
  const pair = await both(t);
  const bystander = await Bystander.watch(t, pair.server);
  const wrong = [];
  let count = 0;

  for (const { name } of called(pair.commands, pair.ours)) {
    const docs = pair.theirs[name] ?? pair.ours[name];
    const cases = forms(name, docs).flatMap((form) =>
      form.some((w) => w.type === 'key') ? Object.values(KEYS).map((key) => [key, texts(form)]) : [],
    );
    const own = (key, command, reply) =>
      isOwn(docs, key) || OF_ANY_TYPE.has(name) || /^(WRONGTYPE|ERR) /.test(reply.s);
    wrong.push(...(await compare(pair, name, cases, own)));
    count += cases.length;
  }
  t.diagnostic(`${count} cases`);
  assert.deepEqual(wrong, []);
  await bystander.served();
});

const NO_INTEGERS = [
  ...['abc', '', ' 1', '1 ', '+1', '0x10', '1.0', 'nan', 'inf', '-inf', '1e400'],
  ...['9223372036854775808', '-9223372036854775809'],
];
const INTEGERS = [
  ...['0', '-1', '4294967296', '4611686018427387904'],
  ...['9223372036854775807', '-9223372036854775808'],
];

test('numbers that are none, or too large, in every place for one', async (t) => {
  const pair = await both(t);
  const bystander = await Bystander.watch(t, pair.server);
  const before = pair.server.rssBytes();
  const wrong = [];
  let count = 0;

  for (const { name } of called(pair.commands, pair.ours)) {
    const docs = pair.theirs[name] ?? pair.ours[name];
    const cases = [];
    for (const form of forms(name, docs)) {
      form.forEach((word, i) => {
        if (isNumeric(word)) {
          for (const text of [...NO_INTEGERS, ...INTEGERS]) {
            cases.push([keyFor(docs), texts(form).with(i, text)]);
          }
        }
      });
    }
    const own = (key, command, reply) => reply.t === '-' || !command.some((w) => NO_INTEGERS.includes(w));
    wrong.push(...(await compare(pair, name, cases, own)));
    count += cases.length;
  }
  t.diagnostic(`${count} cases`);
  assert.deepEqual(wrong, []);
  assert.ok(pair.server.rssBytes() < before + 128 * MB);
  await bystander.served();
});

// Redis draws without end and fills its memory; here a million is the most (node/cmd/set.c).
test('elements drawn again and again, without end', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const bystander = await Bystander.watch(t, server);

  await client.cmd('SADD', 's', 'a', 'b');
  await client.cmd('HSET', 'h', 'a', '1');
  await client.cmd('ZADD', 'z', '1', 'a');
  const before = server.rssBytes();
  for (const command of [
    ['SRANDMEMBER', 's'],
    ['HRANDFIELD', 'h'],
    ['ZRANDMEMBER', 'z'],
  ]) {
    for (const count of ['-9223372036854775807', '-4611686018427387903', '-2000000000', '-1048577']) {
      assert.equal(show(await client.call(...command, count)), '-ERR value is out of range', count);
    }
    assert.equal((await client.call(...command, '-1000000')).a.length, 1000000);
  }
  assert.ok(server.rssBytes() < before + 128 * MB, `${server.rssBytes() - before} bytes more`);
  await bystander.served();
});
