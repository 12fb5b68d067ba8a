// What a client can make deep, many or endless: documents, tables of scripts, memory of scripts, watched keys.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Bystander } from '../lib/bystander.js';
import { SLOW } from '../lib/eventually.js';
import { cpuMs } from '../lib/proc.js';
import { show } from '../lib/resp.js';
import { godwitOnly, startServer } from '../lib/server.js';

const MB = 1 << 20;
// The sanitizers keep what was freed, up to 256 MB.
const KEPT = SLOW > 1 ? 512 * MB : 0;
const deep = (n, open = '[', close = ']') => open.repeat(n) + close.repeat(n);
const objects = (n) => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`;

test('a document 10,000 deep, by every command that takes one', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const bystander = await Bystander.watch(t, server);
  const before = server.rssBytes();
  const refused = async (pattern, ...command) => assert.match(show(await client.call(...command)), pattern, command.join(' ').slice(0, 60));
  const LIMIT = /^-ERR recursion limit exceeded/;

  await client.cmd('JSON.SET', 'd', '$', '{"a":[1],"o":{}}');
  const whole = await client.cmd('JSON.GET', 'd');
  for (const text of [deep(10000), objects(10000), deep(129), objects(129), '['.repeat(1000000), '{"a":'.repeat(300000)]) {
    await refused(LIMIT, 'JSON.SET', 'd', '$', text);
    await refused(LIMIT, 'JSON.SET', 'd', '$.o', text);
    await refused(LIMIT, 'JSON.SET', 'new', '$', text);
    await refused(LIMIT, 'JSON.MSET', 'd', '$.o', '1', 'new', '$', text);
    await refused(LIMIT, 'JSON.MERGE', 'd', '$', text);
    await refused(LIMIT, 'JSON.MERGE', 'd', '$.o', text);
    await refused(LIMIT, 'JSON.ARRAPPEND', 'd', '$.a', '1', text);
    await refused(LIMIT, 'JSON.ARRINSERT', 'd', '$.a', '0', text);
    await refused(LIMIT, 'JSON.ARRINDEX', 'd', '$.a', text);
  }
  assert.equal(await client.cmd('JSON.GET', 'd'), whole);
  assert.equal(await client.cmd('EXISTS', 'new'), 0);
  assert.ok(server.rssBytes() < before + 64 * MB + KEPT);
  await bystander.served();
});

test('a document does not grow past its depth where it is deep already', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  await client.cmd('JSON.SET', 'd', '$', objects(100));
  await client.cmd('JSON.SET', 'l', '$', deep(100));
  const [d, l] = [await client.cmd('JSON.GET', 'd'), await client.cmd('JSON.GET', 'l')];
  for (const command of [
    ['JSON.SET', 'd', `$${'.a'.repeat(100)}`, deep(100)],
    ['JSON.SET', 'd', `$${'.a'.repeat(99)}.new`, objects(100)],
    ['JSON.MERGE', 'd', `$${'.a'.repeat(90)}`, objects(100)],
    ['JSON.ARRAPPEND', 'l', `$${'[0]'.repeat(99)}`, deep(100)],
    ['JSON.ARRINSERT', 'l', `$${'[0]'.repeat(99)}`, '0', deep(100)],
  ]) {
    assert.match(show(await client.call(...command)), /^-ERR recursion limit exceeded/, command.slice(0, 2).join(' '));
  }
  // 128 are no more than there may be, whoever puts them together.
  assert.equal(await client.cmd('JSON.MERGE', 'd', '$', objects(128)), 'OK');
  assert.equal((await client.cmd('JSON.GET', 'd')).length, objects(128).length);
  assert.equal(await client.cmd('JSON.GET', 'l'), l);
  await client.cmd('JSON.SET', 'd', '$', d);
  assert.equal(await client.cmd('JSON.GET', 'd'), d);
});

test('paths that are deep, long or match too much', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const bystander = await Bystander.watch(t, server);

  await client.cmd('JSON.SET', 'd', '$', deep(128));
  await client.cmd('JSON.SET', 'w', '$', JSON.stringify(Array.from({ length: 2000 }, (_, i) => ({ a: [i, [i]] }))));
  for (const path of [
    `$${'[0]'.repeat(10000)}`,
    `$${'.a'.repeat(10000)}`,
    `$${'..a'.repeat(10000)}`,
    `$${'..*'.repeat(100)}`,
    `$${'[*]'.repeat(10000)}`,
    `$[?${'('.repeat(10000)}@.a${')'.repeat(10000)}]`,
    `$[?(${'!'.repeat(10000)}@.a)]`,
    `$[?(@.a${' && @.a'.repeat(10000)})]`,
    `$[?(@${'[?(@'.repeat(5000)}`,
    `$[${'0,'.repeat(30000)}0]`,
    `$[?(@.a == "${'x'.repeat(70000)}")]`,
  ]) {
    for (const [name, ...rest] of [['JSON.GET'], ['JSON.DEL'], ['JSON.SET', '1'], ['JSON.MERGE', '1'], ['JSON.TYPE']]) {
      for (const key of ['d', 'w', 'none']) {
        const reply = await client.call(name, key, path, ...rest);
        assert.ok(reply.t === '-' || name !== 'JSON.GET' || reply.b === undefined || reply.b.length < 16 * MB, `${name} ${path.slice(0, 30)}: ${reply.t}`);
      }
    }
  }
  assert.equal(await client.cmd('PING'), 'PONG');
  await bystander.served();
});

// What Godwit says where it means to differ: 200 levels of cmsgpack are enough, and a reply that is too deep is an
// error as a whole, not one in its depth.
const MEANT = [/^-ERR too many levels in input$/, /^-ERR reached lua stack limit$/];
const DEEP_SCRIPTS = [
  'local t={} for i=1,998 do t={t} end return #cjson.encode(t)',
  'local t={} for i=1,1000 do t={t} end return #cjson.encode(t)',
  'local t={} for i=1,10000 do t={t} end return #cjson.encode(t)',
  'local t={} for i=1,10000 do t={a=t} end return #cjson.encode(t)',
  'local t={} t[1]=t return cjson.encode(t)',
  'local t={} t.x=t return cjson.encode(t)',
  'local a,b={},{} a[1]=b b.x=a return cjson.encode({a,b})',
  'return cjson.encode({[1]=1,[100000000]=1})',
  'return cjson.encode({[{}]=1})',
  'return cjson.encode(print)',
  'return cjson.encode({1/0})',
  'return cjson.encode({0/0})',
  'local t=cjson.decode(("["):rep(999)..("]"):rep(999)) return type(t)',
  'return cjson.decode(("["):rep(1001)..("]"):rep(1001))',
  'return cjson.decode(("["):rep(10000)..("]"):rep(10000))',
  'return cjson.decode((\'{"a":\'):rep(10000).."1"..("}"):rep(10000))',
  'return cjson.decode(("["):rep(1000000))',
  'return cjson.decode("")',
  'return cjson.decode("[1,2")',
  'return cjson.decode("nul")',
  'return cjson.decode("1e400x")',
  'return cjson.decode(("1"):rep(100000))',
  'local t={} t[1]=t return #cmsgpack.pack(t)',
  'local t={} t.x=t return #cmsgpack.pack(t)',
  'local t={} for i=1,10000 do t={t} end return #cmsgpack.pack(t)',
  'return type(cmsgpack.unpack(("\\145"):rep(1000).."\\1"))',
  'return type(cmsgpack.unpack(("\\145"):rep(100000)))',
  'return type(cmsgpack.unpack(("\\129\\1"):rep(100000)))',
  'return cmsgpack.unpack("\\221\\255\\255\\255\\255")',
  'return cmsgpack.unpack("\\223\\255\\255\\255\\255")',
  'return cmsgpack.unpack("\\219\\255\\255\\255\\255")',
  'return cmsgpack.unpack("\\193")',
  'return cmsgpack.unpack("")',
  'return cmsgpack.unpack_limit(cmsgpack.pack(1),-1)',
  'return cmsgpack.unpack_one(cmsgpack.pack(1),100)',
  'return struct.unpack("i99","x")',
  'return struct.pack("i33",1)',
  'return struct.unpack("c2147483647","x")',
  'return struct.unpack("c2147483648","x")',
  'return struct.pack("i16",-1)..struct.pack(">I32",258)..struct.pack("!4Bi3d",1,2,3)',
  'return {struct.unpack(">i16",struct.pack(">i16",-2)),struct.unpack("I24",struct.pack("I24",70000)),struct.size("!64bdi3h")}',
  'return struct.pack("!3d",1)',
  'return struct.unpack("s","x")',
  'return struct.pack("!64d",1)',
  'local t={} for i=1,10000 do t={t} end return t',
  'local t={} t[1]=t return t',
  'return {err={}}',
  'return {double={},map=1}',
  'return unpack({},1,1e8)',
  'return string.format("%99999d",1)',
  'return ("x"):rep(-1)',
  'return select(-1)',
  'return table.concat({},",",1,1e8)',
];

test('scripts with deep, cyclic and lying values, as redis-server answers them', async (t) => {
  const [redis, server] = [await startServer(t, { kind: 'redis' }), await startServer(t)];
  const [a, b] = [await redis.client(t), await server.client(t)];
  const bystander = await Bystander.watch(t, server);
  const wrong = [];
  // Where in which script it happened is Redis' own way to say.
  const depth = (reply) => {
    let n = 0;
    for (let at = reply; at?.a; at = at.a[0]) {
      n++;
    }
    return n;
  };
  const plainly = (reply) => depth(reply) > 100 ? `${depth(reply)} deep` : show(reply).replace(/ script: \w+, on @user_script:\d+\.$/, '').replace(/user_script:\d+: /g, '');

  for (const script of DEEP_SCRIPTS) {
    const [theirs, ours] = [await a.call('EVAL', script, '0'), await b.call('EVAL', script, '0')];
    if (plainly(theirs) !== plainly(ours) && !MEANT.some((text) => text.test(plainly(ours)))) {
      wrong.push(`${script}: ${plainly(theirs).slice(0, 150)} | ${plainly(ours).slice(0, 150)}`);
    }
  }
  assert.deepEqual(wrong, []);
  await bystander.served();
});

// Each keeps all that it makes; 64 MiB is what the scripts of a worker may have (lua-memory-limit).
const GREEDY = [
  'local t={} while true do t[#t+1]={} end',
  'local t={} for i=1,1e9 do t[i]=i end',
  'local t={} while true do t[#t+1]=("x"):rep(100)..#t end',
  'local s="x" while true do s=s..s end',
  'local t={} while true do local n=#t t[n+1]=function() return n end end',
  'local t={} while true do t[#t+1]=coroutine.create(function() end) end',
  'local t={} while true do t[#t+1]=redis.call("GET",KEYS[1])..#t end',
  'local t={} while true do t[#t+1]=redis.call("LRANGE",KEYS[2],0,-1) end',
  'local t={} while true do t[#t+1]=cjson.decode("[[],[],{}]") end',
  'local s="[1]" while true do s=cjson.encode({s,s}) end',
  'local s="x" while true do s=cmsgpack.pack(s,s) end',
  'local t={} while true do pcall(function() t[#t+1]=("x"):rep(1e6)..#t end) end',
  'local function f(...) return f(1,...) end return f()',
  'local function f() return 1+f() end return f()',
  'return ("x"):rep(2^31)',
  'local t={1} for i=1,40 do t={t,t} end return t',
  'local s=("x"):rep(2^20) local t={} for i=1,1e5 do t[i]=s end return t',
  'local s=("x"):rep(2^20) for i=1,1e6 do redis.call("SET",KEYS[3]..i,s) end',
  'while true do redis.call("APPEND",KEYS[3],("x"):rep(1e6)) end',
  'while true do redis.call("RPUSH",KEYS[4],("x"):rep(1e5)) end',
  'while true do redis.call("PUBLISH","c",("x"):rep(1e6)) end',
];

test('scripts that allocate without end are ended, and give it back', godwitOnly, async (t) => {
  const server = await startServer(t, { args: ['--busy-reply-threshold', '2000', '--maxmemory', '64mb'], workers: 1 });
  const client = await server.connect({ timeoutMs: 30000 });
  t.after(() => client.close());
  const bystander = await Bystander.watch(t, server, { longestMs: 3000 });

  await client.cmd('SET', 's', 'x'.repeat(100000));
  await client.cmd('RPUSH', 'l', ...Array.from({ length: 1000 }, (_, i) => `element ${i}`));
  const before = server.rssBytes();
  let most = 0;
  for (const script of GREEDY) {
    server.forgetPeak();
    const said = await client.call('EVAL', script, '4', 's', 'l', 'grown', 'long');
    const more = server.peakRssBytes() - before;
    most = Math.max(most, more);
    assert.ok(said.t === '-', `${script}: ${show(said).slice(0, 100)}`);
    // Publications are held to 512 MB (SECTION_BYTES_MAX), where time does not end them first; what is written, to maxmemory.
    assert.ok(more < 600 * MB + KEPT, `${script}: ${more / MB} MB more`);
    assert.equal(await client.cmd('EXISTS', 'grown', 'long'), 0, 'what it wrote is undone');
  }
  t.diagnostic(`${Math.round(most / MB)} MB at most`);
  assert.equal(await client.cmd('EVAL', 'return 1', '0'), 1);
  await bystander.served();
});

test('a hundred thousand watched keys are refused at a bound', godwitOnly, async (t) => {
  const server = await startServer(t);
  const admin = await server.client(t);
  const bystander = await Bystander.watch(t, server, { longestMs: 5000 }); // this process is as busy
  const keys = Array.from({ length: 100000 }, (_, i) => `watched:${i}`);
  const refusal = '-ERR this connection watches too many keys';
  const before = server.rssBytes();

  const at = await server.client(t);
  const cpu = async (name) => {
    const begun = cpuMs(server.pid);
    const reply = show(await at.call(name, ...keys));
    return [reply, cpuMs(server.pid) - begun];
  };
  await cpu('EXISTS'); // its connection's buffers have grown
  const [, looking] = await cpu('EXISTS');
  const [told, watching] = await cpu('WATCH');
  assert.equal(told, refusal);
  // It took a walk through all of them for each: five times as long as this.
  assert.ok(watching < 4 * looking + 60 * SLOW, `WATCH took ${watching} ms, EXISTS ${looking} ms`);
  const one = await server.client(t);
  const said = [];
  for (let i = 0; i < keys.length; i += 2000) {
    const commands = keys.slice(i, i + 2000).map((key) => ['WATCH', key]);
    said.push(...(await one.pipeline(commands)).map(show));
  }
  assert.equal(said.indexOf(refusal), 65536);
  assert.ok(said.every((text, i) => text === (i < 65536 ? '+OK' : refusal)));
  // The same key again is no other one, and what is watched counts.
  assert.equal(show(await one.call('WATCH', keys[0])), '+OK');
  await admin.cmd('SET', keys[65535], '1');
  assert.deepEqual((await one.pipeline([['MULTI'], ['PING'], ['EXEC']])).map(show), ['+OK', '+QUEUED', '*-1']);
  assert.equal(show(await one.call('WATCH', ...keys.slice(0, 65536))), '+OK');
  await admin.cmd('SET', 'other', '1');
  assert.deepEqual((await one.pipeline([['MULTI'], ['PING'], ['EXEC']])).map(show), ['+OK', '+QUEUED', '*[+PONG]']);
  assert.ok(server.rssBytes() < before + 64 * MB + KEPT, `${server.rssBytes() - before} bytes more`);
  await bystander.served();
});

test('watched keys of many connections are given back', godwitOnly, async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const keys = Array.from({ length: 60000 }, (_, i) => `watched:${i}`);
  let first = 0;

  for (let round = 0; round < 4; round++) {
    const clients = await Promise.all([1, 2, 3, 4].map(() => server.connect()));
    await Promise.all(clients.map((c) => c.cmd('WATCH', ...keys)));
    await Promise.all(clients.map((c) => c.close()));
    first ||= server.rssBytes();
  }
  assert.ok(server.rssBytes() < first + 32 * MB + KEPT, `${server.rssBytes() - first} bytes more`);
  await bystander.served();
});
