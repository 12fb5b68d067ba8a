// Commands on large values go on in slices: the one worker serves everybody else meanwhile. Judged by the
// server's count of slices, and by what others are answered before the long commands are; not by time.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { eventually } from '../lib/eventually.js';
import { plain, show } from '../lib/resp.js';
import { godwitOnly, startServer } from '../lib/server.js';

const FIELDS = 200000;
const BYTES = 32 << 20;
const GAP = 400 << 20; // zeros, which take no memory
const FEW = 4; // a command in one piece lets one or two answers through: they crossed it on the way

async function fill(client) {
  for (let at = 0; at < FIELDS; at += 2000) {
    const pairs = Array.from({ length: 2000 }, (_, i) => [`field:${at + i}`, `value:${at + i}`]);
    await client.cmd('HSET', '{t}hash', ...pairs.flat());
  }
  for (let at = 0; at < FIELDS; at += 2000) {
    const names = Array.from({ length: 2000 }, (_, i) => `m:${at + i}`);
    await client.cmd('RPUSH', '{t}list', ...names);
    await client.cmd('SADD', '{t}set', ...names);
    await client.cmd('ZADD', '{t}zset', ...names.flatMap((name, i) => [at + i, name]));
  }
  await client.cmd('SET', '{t}bits', Buffer.alloc(BYTES, 0x55));
  await client.cmd('SETRANGE', '{t}gap', GAP, 'x');
  await client.cmd('SET', '{t}small', 'here');
}

// Asks the bystander one thing after another until the first byte of the reply has come, which the server
// sends when the last command of a batch is done.
async function answersDuring(long, bystander, command, times) {
  let isAnswered = false;
  let count = 0;

  const first = once(long.socket, 'data').then(() => (isAnswered = true));
  const reply = long.pipeline(Array.from({ length: times }, () => command));
  while (!isAnswered) {
    assert.equal(await bystander.cmd('GET', '{t}small'), 'here');
    count += isAnswered ? 0 : 1;
  }
  await first;
  return { count, reply: plain((await reply).at(-1)) };
}

// How many slices have begun.
async function slices(server) {
  const { body } = await server.get('/metrics');

  return Number(/^godwit_command_slices_total (\d+)/m.exec(body)[1]);
}

test('while a long command runs, everybody else is served', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const long = await server.client(t, { timeoutMs: 60000 });
  const bystander = await server.client(t, { timeoutMs: 60000 });

  await fill(long);
  let served = 0;
  const cases = [
    [['BITCOUNT', '{t}gap'], (r) => assert.equal(Number(r), 4)],
    [['BITPOS', '{t}gap', 1], (r) => assert.equal(Number(r), GAP * 8 + 1)],
    [['DIGEST', '{t}gap'], (r) => assert.equal(r.length, 16)],
    [['GETRANGE', '{t}gap', 1, 2 * BYTES], (r) => assert.equal(r.length, 2 * BYTES)],
    [['BITOP', 'NOT', '{t}dest', '{t}bits'], (r) => assert.equal(Number(r), BYTES)],
    [['BITCOUNT', '{t}dest'], (r) => assert.equal(Number(r), BYTES * 4)],
    [['SETRANGE', '{t}dest', 5, Buffer.alloc(BYTES)], (r) => assert.equal(Number(r), BYTES + 5)],
    [['HGETALL', '{t}hash'], (r) => assert.equal(r.length, 2 * FIELDS)],
    [['HVALS', '{t}hash'], (r) => assert.equal(new Set(r).size, FIELDS)],
    [['HRANDFIELD', '{t}hash', FIELDS / 2], (r) => assert.equal(new Set(r).size, FIELDS / 2)],
    [['HRANDFIELD', '{t}hash', FIELDS / 8], (r) => assert.equal(new Set(r).size, FIELDS / 8)],
    [['COPY', '{t}hash', '{t}twin'], (r) => assert.equal(Number(r), 1)],
    [['RENAME', '{t}twin', '{t}third'], (r) => assert.equal(r, 'OK')],
    [['DUMP', '{t}third'], (r) => assert.ok(r.length > FIELDS * 10)],
    [['LRANGE', '{t}list', 0, -1], (r) => assert.equal(r[FIELDS - 1], `m:${FIELDS - 1}`), 8],
    [['LPOS', '{t}list', 'none'], (r) => assert.equal(r, null), 8],
    [['SORT', '{t}list', 'ALPHA', 'LIMIT', 0, 1], (r) => assert.deepEqual(r, ['m:0'])],
    [['SMEMBERS', '{t}set'], (r) => assert.equal(new Set(r).size, FIELDS), 8],
    [['SINTERCARD', 2, '{t}set', '{t}set'], (r) => assert.equal(Number(r), FIELDS), 8],
    [['SUNIONSTORE', '{t}dest', '{t}set'], (r) => assert.equal(Number(r), FIELDS), 4],
    [['ZRANGE', '{t}zset', 0, -1], (r) => assert.equal(r[77], 'm:77'), 8],
    [['ZUNIONSTORE', '{t}dest', 1, '{t}zset'], (r) => assert.equal(Number(r), FIELDS), 2],
    [['COPY', '{t}list', '{t}twin2', 'REPLACE'], (r) => assert.equal(Number(r), 1), 8],
    [['DUMP', '{t}set'], (r) => assert.ok(r.length > FIELDS * 5), 8],
    [['ZRANGE', '{t}zset', 0, -1, 'WITHSCORES'], (r) => assert.equal(r[2 * 77 + 1], '77'), 4],
    [
      ['JSON.SET', '{t}json', '$', JSON.stringify(Array.from({ length: FIELDS }, (_, i) => [i]))],
      (r) => assert.equal(r, 'OK'),
    ],
    [['JSON.GET', '{t}json', '$..[0]'], (r) => assert.ok(r.length > FIELDS * 5)],
  ];
  for (const [command, judge, times] of cases) {
    const before = await slices(server);
    const { count, reply } = await answersDuring(long, bystander, command, times ?? 1);

    judge(reply);
    const cut = (await slices(server)) - before;
    assert.ok(cut >= FEW, `${command[0]}: ${cut} slices`);
    served += count;
  }
  // Of a single command few may be seen where this process is not given a processor for the milliseconds that it takes.
  assert.ok(served >= FEW * cases.length, `${served} answers meanwhile`);
  assert.equal(Number(await bystander.cmd('HLEN', '{t}third')), FIELDS);
  assert.equal(await bystander.cmd('HGET', '{t}third', 'field:77'), 'value:77');
});

test('a writer waits for a long command in its partition, and for no more', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const [long, writer, other] = await Promise.all([1, 2, 3].map(() => server.client(t)));
  const answered = [];
  const note = (name) => (reply) => {
    answered.push(name);
    return reply;
  };

  await fill(long);
  const copy = long.cmd('COPY', '{t}hash', '{t}twin').then(note('copy'));
  await eventually(
    async () => {
      // A read of the target sees nothing of it; that it is under way shows in that a write waits.
      assert.ok([0, FIELDS].includes(Number(await other.cmd('HLEN', '{t}twin'))));
      return true;
    },
    { what: 'reading beside it' },
  );
  const hset = writer.cmd('HSET', '{t}hash', 'late', '1').then(note('hset'));
  const set = other.cmd('SET', 'elsewhere', '1').then(note('set'));
  await Promise.all([copy, hset, set]);
  assert.ok(answered.indexOf('copy') < answered.indexOf('hset'), String(answered));
  assert.equal(Number(await other.cmd('HLEN', '{t}twin')), FIELDS);
  assert.equal(Number(await other.cmd('HLEN', '{t}hash')), FIELDS + 1);
});

test('a client that goes away in the middle leaves nothing behind', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);

  await fill(client);
  for (const command of [
    ['COPY', '{t}hash', '{t}twin'],
    ['HGETALL', '{t}hash'],
    ['BITOP', 'NOT', '{t}dest', '{t}bits'],
    ['DIGEST', '{t}bits'],
    ['ZUNIONSTORE', '{t}dest', '1', '{t}zset'],
    ['SORT', '{t}list', 'ALPHA', 'STORE', '{t}dest'],
    ['LRANGE', '{t}list', '0', '-1'],
  ]) {
    const leaving = await server.connect();
    leaving.cmd(...command).catch(() => {});
    await client.cmd('PING');
    leaving.socket.destroy();
    assert.equal(await client.cmd('HSET', '{t}hash', 'field:1', 'value:1'), 0);
    assert.equal(await client.cmd('SET', '{t}small', 'here'), 'OK');
  }
  // Either it was carried out or it was not.
  assert.ok([0, FIELDS].includes(Number(await client.cmd('HLEN', '{t}twin'))));
  switch (await client.cmd('TYPE', '{t}dest')) {
    case 'none':
      break;
    case 'string':
      assert.equal(Number(await client.cmd('STRLEN', '{t}dest')), BYTES);
      break;
    case 'zset':
      assert.equal(Number(await client.cmd('ZCARD', '{t}dest')), FIELDS);
      break;
    default:
      assert.equal(Number(await client.cmd('LLEN', '{t}dest')), FIELDS);
  }
  assert.equal(await client.cmd('FLUSHALL'), 'OK');
});

// What settled a long reply ahead forgot that replies before it in the same transaction were still to be settled:
// the marks in them went out.
test('a long reply in a transaction leaves the others as the protocol has them', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const commands = [
    ['ZMPOP', 1, 'none', 'MAX'],
    ['HGETALL', 'h'],
    ['SORT', 'l', 'BY', 'nosort', 'GET', 'w_*'], // nulls only
    ['SORT', 'l', 'BY', '*', 'ALPHA'],
    ['ZRANGE', 'z', 0, -1, 'WITHSCORES'],
    ['ZMPOP', 1, 'none', 'MAX'],
  ];

  for (const proto of [2, 3]) {
    const client = await server.client(t, { proto });
    await client.cmd('FLUSHALL');
    await client.cmd('HSET', 'h', 'f', 'v');
    await client.cmd('ZADD', 'z', 1, 'a');
    for (let i = 0; i < 20; i++) {
      await client.cmd('RPUSH', 'l', ...Array.from({ length: 400 }, (_, n) => `${i}:${n}:${'x'.repeat(60)}`));
    }
    const one = (await client.pipeline(commands)).map(show);
    for (const order of [[0, 1, 2, 3, 4, 5], [2, 0, 3, 1], [3, 4], [0, 3], [1, 2]]) {
      const replies = await client.pipeline([['MULTI'], ...order.map((i) => commands[i]), ['EXEC']]);
      assert.deepEqual(replies.at(-1).a.map(show), order.map((i) => one[i]), `RESP${proto}: ${order}`);
    }
  }
});
