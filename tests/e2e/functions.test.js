// Functions: what clients do with libraries, that payloads go both ways between Godwit and redis-server, and
// that no library can hold the server or reach another's.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { SLOW } from '../lib/eventually.js';
import { plain } from '../lib/resp.js';
import { godwitOnly, startServer } from '../lib/server.js';

const PASSWORD = 'swordfish';
const BUDGET_MS = 300;

const lib = (name, body) => `#!lua name=${name}\n${body}`;
const fn = (name, body) => `redis.register_function('${name}', function(keys, args) ${body} end)\n`;

const COUNTER = lib(
  'counter',
  `local function limit(args) return tonumber(args[1]) end
   ${fn('hit', "local n = redis.call('INCR', keys[1]) return n <= limit(args) and n or -n")}
   redis.register_function{function_name='seen', callback=function(keys) return redis.call('GET', keys[1]) end,
                           flags={'no-writes'}, description='how often'}`,
);

test('ioredis: load, call, list, dump, restore', async (t) => {
  const server = await startServer(t);
  const redis = new Redis({ port: server.port, password: PASSWORD });
  t.after(() => redis.disconnect());
  assert.equal(await redis.function('LOAD', COUNTER), 'counter');
  assert.equal(await redis.fcall('hit', 1, 'k', 1), 1);
  assert.equal(await redis.fcall('hit', 1, 'k', 1), -2);
  assert.equal(await redis.fcall_ro('seen', 1, 'k'), '2');
  await assert.rejects(redis.fcall_ro('hit', 1, 'k', 1), /Can not execute a script with write flag/);
  const dump = await redis.functionBuffer('DUMP');
  assert.equal(await redis.function('FLUSH'), 'OK');
  await assert.rejects(redis.fcall('hit', 1, 'k', 1), /ERR Function not found/);
  assert.equal(await redis.function('RESTORE', dump), 'OK');
  await assert.rejects(redis.function('RESTORE', dump), /ERR Library counter already exists/);
  assert.equal(await redis.function('RESTORE', dump, 'REPLACE'), 'OK');
  assert.equal(await redis.fcall('hit', 1, 'k', 9), 3);
  const piped = await redis.pipeline().fcall('hit', 1, 'k', 9).fcall('nosuch', 0).get('k').exec();
  assert.equal(piped[0][1], 4);
  assert.match(String(piped[1][0]), /Function not found/);
  assert.equal(piped[2][1], '4');
});

test('node-redis: functionLoad, fCall, functionList', async (t) => {
  const server = await startServer(t);
  const client = createClient({
    socket: { port: server.port, host: '127.0.0.1' },
    password: PASSWORD,
    RESP: 3,
  });
  client.on('error', () => {}); // the server may end first
  await client.connect();
  t.after(() => client.destroy());
  assert.equal(await client.functionLoad(COUNTER), 'counter');
  assert.equal(await client.fCall('hit', { keys: ['k'], arguments: ['5'] }), 1);
  assert.equal(await client.fCallRo('seen', { keys: ['k'], arguments: [] }), '1');
  const [only] = await client.functionListWithCode();
  assert.equal(only.library_name, 'counter');
  assert.equal(only.library_code, COUNTER);
  assert.deepEqual(only.functions.map((f) => f.name).sort(), ['hit', 'seen']);
  const stats = await client.functionStats();
  assert.equal(stats.running_script, null);
  assert.equal(await client.functionDelete('counter'), 'OK');
});

test('payloads go both ways', async (t) => {
  const [redis, godwit] = await Promise.all([
    startServer(t, { kind: 'redis' }),
    startServer(t, { kind: 'godwit' }),
  ]);
  const servers = await Promise.all([redis.connect({ proto: 3 }), godwit.connect({ proto: 3 })]);
  const texts = [
    COUNTER,
    lib('short', fn('s', 'return 1')),
    lib('long', `${fn('l', 'return 2')}--${'compressible '.repeat(500)}`),
    lib('binary', `${fn('b', 'return "\\0\\255"')}-- \u00e4\u{1f426}`),
  ];
  const list = (client) =>
    client
      .cmd('FUNCTION', 'LIST', 'WITHCODE')
      .then((libs) => libs.map((l) => `${l.library_name} ${l.library_code} ${l.functions.length}`).sort());
  for (const [from, to] of [servers, [...servers].reverse()]) {
    await from.cmd('FUNCTION', 'FLUSH');
    await to.cmd('FUNCTION', 'FLUSH');
    for (const text of texts) {
      await from.cmd('FUNCTION', 'LOAD', text);
    }
    const [dump] = await from.pipeline([['FUNCTION', 'DUMP']]);
    assert.equal(await to.cmd('FUNCTION', 'RESTORE', dump.b), 'OK');
    assert.deepEqual(await list(to), await list(from));
    assert.equal(await to.cmd('FCALL', 'l', '0'), 2);
    assert.equal(await to.cmd('FCALL', 'hit', '1', 'k', '9'), 1);
    await to.cmd('DEL', 'k');
    await assert.rejects(to.cmd('FUNCTION', 'RESTORE', dump.b, 'APPEND'), /ERR Library \w+ already exists/);
    assert.equal(await to.cmd('FUNCTION', 'RESTORE', dump.b, 'FLUSH'), 'OK');
  }
});

test('all workers know a library, and drop what was replaced', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 2 });
  const clients = await Promise.all(Array.from({ length: 8 }, () => server.connect()));
  for (let version = 1; version <= 20; version++) {
    const loader = clients[version % clients.length];
    await loader.cmd('FUNCTION', 'LOAD', 'REPLACE', lib('v', fn('v', `return ${version}`)));
    const seen = await Promise.all(clients.map((c) => c.cmd('FCALL', 'v', '0')));
    assert.deepEqual(seen, clients.map(() => version));
  }
  await clients[0].cmd('FUNCTION', 'DELETE', 'v');
  for (const client of clients) {
    await assert.rejects(client.cmd('FCALL', 'v', '0'), /ERR Function not found/);
  }
});

// The thread of a call that waits for its next slice was nobody's, and collected under it.
test('calls in slices live through the garbage of others', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const clients = await Promise.all(Array.from({ length: 4 }, () => server.client(t)));
  const waste = "local t for i = 1, 100000 do t = { i, tostring(i) } end return t[1]";
  await clients[0].cmd('FUNCTION', 'LOAD', lib('w', fn('w', waste)));
  for (let round = 0; round < 5; round++) {
    const said = await Promise.all(clients.map((c) => c.cmd('FCALL', 'w', '0')));
    assert.deepEqual(said, clients.map(() => 100000));
  }
});

test('flags: what may run when memory is out; INFO tells of libraries', godwitOnly, async (t) => {
  const server = await startServer(t, { args: ['--maxmemory', '1mb'] });
  const client = await server.connect();
  const flagged = (name, body, flags) =>
    `redis.register_function{function_name='${name}', callback=function(keys) ${body} end, flags={${flags}}}\n`;
  const set = "return redis.call('SET', keys[1], 'x')";
  const get = "return redis.call('GET', keys[1])";
  await client.cmd('FUNCTION', 'LOAD', lib('l',
    flagged('plain', get, '') + flagged('ro', get, "'no-writes'") + flagged('oom', set, "'allow-oom','allow-key-locking'") + flagged('writes', set, "'no-writes'")));
  await assert.rejects(client.cmd('FCALL', 'writes', '1', 'k'), /ERR Write commands are not allowed from read-only scripts/);
  assert.equal(await client.cmd('FCALL', 'oom', '1', 'k'), 'OK');
  const info = (await client.cmd('INFO', 'memory')).toString();
  assert.match(info, /number_of_functions:4\r\nnumber_of_libraries:1\r\n/);
  assert.match(info, /used_memory_vm_eval:[1-9]\d{4,}\r\n/);
  assert.match(info, /used_memory_functions:[1-9]\d\d+\r\n/);
  const [list] = await client.pipeline([['FUNCTION', 'LIST']]);
  assert.match(JSON.stringify(plain(list)), /allow-key-locking/);
  const value = 'v'.repeat(100000);
  for (let i = 0; i < 20; i++) {
    await client.cmd('SET', `key:${i}`, value).catch((err) => assert.match(String(err), /OOM/));
  }
  await assert.rejects(client.cmd('FCALL', 'plain', '1', 'k'), /OOM command not allowed/);
  await assert.rejects(client.cmd('FUNCTION', 'LOAD', lib('m', fn('m', ''))), /OOM command not allowed/);
  assert.equal(await client.cmd('FCALL', 'ro', '1', 'k'), 'x');
  assert.equal(await client.cmd('FCALL', 'oom', '1', 'k'), 'OK');
  assert.equal(await client.cmd('FUNCTION', 'DELETE', 'l'), 'OK');
});

test('a library and its calls are a transaction', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const other = await server.connect();
  await client.cmd('MULTI');
  await client.cmd('FUNCTION', 'LOAD', lib('m', fn('m', "return redis.call('INCR', keys[1])")));
  await client.cmd('FCALL', 'm', '1', 'k');
  await client.cmd('FUNCTION', 'DELETE', 'm');
  await client.cmd('FCALL', 'm', '1', 'k');
  await assert.rejects(other.cmd('FCALL', 'm', '1', 'k'), /Function not found/);
  const [reply] = await client.pipeline([['EXEC']]);
  assert.deepEqual(reply.a.map((r) => r.t), ['$', ':', '+', '-']);
  assert.equal(await client.cmd('GET', 'k'), '1');
  // Scripts may neither load nor call.
  for (const command of ["'FUNCTION','LOAD','x'", "'FUNCTION','FLUSH'", "'FCALL','m',0"]) {
    await assert.rejects(client.cmd('EVAL', `return redis.call(${command})`, '0'), /not allowed from script/);
  }
});

test('a function that fails has changed nothing', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const write = "redis.call('SET', keys[1], 'x') redis.call('SET', 'undeclared', 'x') ";
  await client.cmd('FUNCTION', 'LOAD', lib('w', fn('bad', `${write} error('no')`) + fn('good', write)));
  await assert.rejects(client.cmd('FCALL', 'bad', '1', 'k'), /ERR user_function:2: no script: bad, on @user_function:2\./);
  assert.equal(await client.cmd('EXISTS', 'k', 'undeclared'), 0);
  await client.cmd('FCALL', 'good', '1', 'k');
  assert.equal(await client.cmd('EXISTS', 'k', 'undeclared'), 2);
});

const HOSTILE_LOADS = [
  ['while true do end', /ERR FUNCTION LOAD timeout/],
  ['local function f() return f() end f()', /ERR FUNCTION LOAD timeout/],
  ['local s = "x" while true do s = s .. s end', /not enough memory|timeout|too large/],
  ['local t = {} for i = 1, 1e9 do t[i] = {} end', /not enough memory|timeout/],
  ['local function f() return 1 + f() end f()', /stack overflow/],
  ['for i = 1, 1e6 do redis.register_function("f" .. i, function() end) end', /too many functions|not enough memory|timeout/],
  ['redis.register_function(("x").rep("x", 1e9), function() end)', /./],
  ['\x1bLua', /bytecode is not loaded|unexpected symbol/],
];

test('hostile libraries end in an error', godwitOnly, async (t) => {
  const args = ['--busy-reply-threshold', String(BUDGET_MS)];
  const server = await startServer(t, { args, workers: 1 });
  const client = await server.connect({ timeoutMs: 30000 });
  for (const [body, error] of HOSTILE_LOADS) {
    await t.test(body.slice(0, 60), async () => {
      const begun = Date.now();
      await assert.rejects(client.cmd('FUNCTION', 'LOAD', lib('h', body)), error);
      assert.ok(Date.now() - begun < (500 + 2000) * SLOW, `${Date.now() - begun} ms`);
    });
  }
  assert.deepEqual(await client.cmd('FUNCTION', 'LIST'), []);
  // Nothing reaches what libraries and scripts share.
  const reaches = ['_G.redis = 1', "rawset(_G, 'redis', 1)", 'redis.call = 1', "loadstring('redis = 1')()",
    'coroutine.wrap(function() redis = 1 end)()', 'setmetatable(_G, {})', 'string.rep = 1', 'getmetatable("").__index.rep = 1'];
  await client.cmd('FUNCTION', 'LOAD', lib('r', reaches.map((body, i) => fn(`r${i}`, body)).join('')));
  for (let i = 0; i < reaches.length; i++) {
    await assert.rejects(client.cmd('FCALL', `r${i}`, '0'), /readonly table|protected metatable|index a boolean/);
  }
  assert.equal(plain((await client.pipeline([['EVAL', "return redis.call('PING')", '0']]))[0]), 'PONG');
  // A budget is a function's as it is a script's.
  await client.cmd('FUNCTION', 'LOAD', lib('b', fn('b', "redis.call('SET', keys[1], 'x') while true do end")));
  await assert.rejects(client.cmd('FCALL', 'b', '1', 'k'), /ran for longer than busy-reply-threshold/);
  assert.equal(await client.cmd('EXISTS', 'k'), 0);
});

test('FUNCTION STATS names what runs, FUNCTION KILL ends it', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const busy = await server.connect({ timeoutMs: 30000 });
  const other = await server.connect();
  await other.cmd('FUNCTION', 'LOAD', lib('s', fn('spin', "redis.call('SET', keys[1], 'x') while true do end")));
  await assert.rejects(other.cmd('FUNCTION', 'KILL'), /NOTBUSY No scripts in execution right now/);
  const running = assert.rejects(busy.cmd('FCALL', 'spin', '1', 'k', 'arg'), /Script killed by user with FUNCTION KILL/);
  let stats;
  do {
    stats = plain((await other.pipeline([['FUNCTION', 'STATS']]))[0]);
  } while (stats[1] === null);
  assert.deepEqual(stats[1].slice(0, 4), ['name', 'spin', 'command', ['FCALL', 'spin', '1', 'k', 'arg']]);
  await assert.rejects(other.cmd('SCRIPT', 'KILL'), /NOTBUSY/); // it is no script
  assert.equal(await other.cmd('FUNCTION', 'KILL'), 'OK');
  await running;
  assert.equal(await other.cmd('EXISTS', 'k'), 0);
  // A library that loads for long lets others pass, and may be ended.
  const loading = assert.rejects(
    busy.cmd('FUNCTION', 'LOAD', lib('long', 'local function f() while true do end end f()')),
    /FUNCTION LOAD timeout|Script killed by user with FUNCTION KILL/,
  );
  let killed = false; // or timed out, on a machine that is busy
  loading.finally(() => (killed = true));
  while (!killed) {
    killed = await other.cmd('FUNCTION', 'KILL').then(
      () => true,
      (err) => (assert.match(String(err), /NOTBUSY/), killed),
    );
  }
  await loading;
  assert.equal(plain((await other.pipeline([['FUNCTION', 'STATS']]))[0])[1], null);
});
