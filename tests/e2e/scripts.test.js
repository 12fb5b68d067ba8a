// Scripts: what clients do with them, that one is all or nothing, and that none can hold the server.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Redis } from 'ioredis';
import { createClient, defineScript } from 'redis';
import { SLOW } from '../lib/eventually.js';
import { show } from '../lib/resp.js';
import { KIND, godwitOnly, startServer } from '../lib/server.js';

const PASSWORD = 'swordfish';
const BUDGET_MS = 300;

const WINDOW = `
  local now = tonumber(ARGV[1])
  local n = redis.call('INCR', KEYS[1])
  if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return {n, n <= tonumber(ARGV[3]) and 1 or 0, now}`;

test('ioredis: defineCommand sends EVALSHA, and EVAL once', async (t) => {
  const server = await startServer(t);
  const redis = new Redis({ port: server.port, password: PASSWORD });
  t.after(() => redis.disconnect());
  redis.defineCommand('window', { numberOfKeys: 1, lua: WINDOW });
  assert.deepEqual(await redis.window('w', 7, 60000, 2), [1, 1, 7]);
  assert.deepEqual(await redis.window('w', 8, 60000, 2), [2, 1, 8]);
  assert.deepEqual(await redis.window('w', 9, 60000, 2), [3, 0, 9]);
  assert.ok((await redis.pttl('w')) > 50000);
  const piped = await redis.pipeline().window('v', 1, 60000, 2).get('v').exec();
  assert.deepEqual(piped, [
    [null, [1, 1, 1]],
    [null, '1'],
  ]);
  await redis.script('FLUSH');
  assert.deepEqual(await redis.window('w', 9, 60000, 2), [4, 0, 9]);
});

test('node-redis: defined scripts', async (t) => {
  const server = await startServer(t);
  const client = createClient({
    socket: { port: server.port, host: '127.0.0.1' },
    password: PASSWORD,
    RESP: 3,
    scripts: {
      add: defineScript({
        SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
        NUMBER_OF_KEYS: 1,
        parseCommand(parser, key, n) {
          parser.pushKey(key);
          parser.push(String(n));
        },
        transformReply: (reply) => reply,
      }),
    },
  });
  client.on('error', () => {}); // the server may end first
  await client.connect();
  t.after(() => client.destroy());
  assert.equal(await client.add('k', 3), 3);
  assert.equal(await client.add('k', 4), 7);
  await assert.rejects(client.eval("return redis.call('LPUSH','k','x')"), /^.*WRONGTYPE/);
});

// What is kept from one run for the next (its coroutine, its globals, its memory) shows in nothing.
test('runs share nothing', async (t) => {
  const server = await startServer(t, { workers: 1 });
  const client = await server.connect();
  const clean = async () => assert.deepEqual(
    await client.cmd('EVAL', "return {#KEYS,#ARGV,KEYS[1],ARGV[1],type(_G),_G.KEYS==KEYS and 1 or 0,tostring(rawget(_G,'seen'))}", '1', 'k', 'v'),
    [1, 1, 'k', 'v', 'table', 1, 'nil'],
  );
  await clean();
  for (const text of ['KEYS=7', 'ARGV=nil', '_G=3', 'redis=nil', '_G.KEYS=7']) {
    await assert.rejects(client.cmd('EVAL', text, '1', 'k', 'v'), /readonly table/);
    await clean();
  }
  assert.equal(await client.cmd('EVAL', "KEYS[2]='x' KEYS.y=1 setmetatable(ARGV,{__len=7}) return #KEYS", '1', 'k', 'v'), 2);
  await clean();
  for (const text of ['KEYS[1]=nil', 'KEYS.y=1', 'KEYS[2]=1 KEYS[3]=2 KEYS[2]=nil', 'setmetatable(KEYS,{__index=ARGV}) ARGV[1]={}']) {
    await client.cmd('EVAL', text, '1', 'k', 'v');
    await clean();
    assert.deepEqual(await client.cmd('EVAL', 'local n=0 for _ in pairs(KEYS) do n=n+1 end return {n,getmetatable(KEYS) or 0}', '1', 'k'), [1, 0]);
  }
  assert.deepEqual(await client.cmd('EVAL', 'return {#KEYS,#ARGV}', '0'), [0, 0]);
  await assert.rejects(client.cmd('EVAL', "local a,b,c=1,2,3 error('x')", '1', 'k'), /x/);
  await clean();
  await assert.rejects(client.cmd('EVAL', 'local function f() return 1+f() end return f()', '0'), /stack overflow/);
  await clean();
  await assert.rejects(client.cmd('EVAL', "rawset(_G,'seen',1)", '0'), /readonly table/);
  await clean();
  assert.deepEqual(
    await client.cmd('EVAL', 'return {tostring(coroutine.running()),coroutine.wrap(function() return type(coroutine.running()) end)()}', '0'),
    ['nil', 'thread'],
  );
  await assert.rejects(client.cmd('EVAL', 'return (coroutine.wrap(function() while true do coroutine.yield(error()) end end))()', '0'));
  await clean();
});

test('numbers of texts, and tables that are arrays or are not', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const text = "local t={} for i,a in ipairs(ARGV) do t[i]=string.format('%.17g',tonumber(a) or -1) end return t";
  assert.deepEqual(
    await client.cmd('EVAL', text, '0', '0', '007', '-5', '+5', '1e3', '0x10', ' 12 ', '', ' ', '1 2', '1.5', '999999999999999', '9007199254740993', '123456789012345678901', '12a', '1\0', '/', ':'),
    ['0', '7', '-5', '5', '1000', '16', '12', '-1', '-1', '-1', '1.5', '999999999999999', '9007199254740992', '1.2345678901234568e+20', '-1', '1', '-1', '-1'],
  );
  const value = (lua) => client.cmd('EVAL', `return ${lua}`, '0');
  assert.deepEqual(await value("{tonumber('10',2),tonumber('z',36),tonumber('10',10),tonumber(7),type(tonumber({}))}"), [2, 35, 10, 7, 'nil']);
  await assert.rejects(value('tonumber()'), /bad argument #1 to 'tonumber'/);
  assert.deepEqual(await value('{1,2,nil,4}'), [1, 2]);
  assert.deepEqual(await value('{nil,2}'), []);
  assert.deepEqual(await value('{}'), []);
  assert.deepEqual(await value('{1,{2,{3,{}}},x=1}'), [1, [2, [3, []]]]);
  assert.deepEqual(await value("(function() local t={} t[2]='b' t[1]='a' t.n=2 return t end)()"), ['a', 'b']);
  assert.equal(await value("{1,2,ok='FINE'}"), 'FINE');
  assert.equal(await value("{ok='FINE'}"), 'FINE');
  await assert.rejects(value("{1,err='CODE bad'}"), /CODE bad/);
  await client.cmd('SET', 'n', '1');
  assert.deepEqual(await client.cmd('EVAL', "redis.call('MSET','a',1,'b',-2.5,'c',1e15,'d',2^53,'e',0.1,'f',3,'g',4,'h',5,'i',6.25) return redis.call('MGET','a','b','c','d','e','f','g','h','i')", '0'),
    ['1', '-2.5', '1000000000000000', '9007199254740992', KIND === 'godwit' ? '0.1' : '0.10000000000000001', '3', '4', '5', '6.25']);
});

test('SCRIPT LOAD, EXISTS, FLUSH, KILL', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const sha = await client.cmd('SCRIPT', 'LOAD', 'return ARGV[1]');
  assert.equal(sha, '098e0f0d1448c0a81dafe820f66d460eb09263da');
  assert.equal(await client.cmd('EVALSHA', sha.toUpperCase(), '0', 'x'), 'x');
  assert.equal(await client.cmd('EVALSHA_RO', sha, '0', 'x'), 'x');
  assert.deepEqual(await client.cmd('SCRIPT', 'EXISTS', sha, 'nosuch'), [1, 0]);
  assert.equal(await client.cmd('SCRIPT', 'FLUSH', 'ASYNC'), 'OK');
  assert.deepEqual(await client.cmd('SCRIPT', 'EXISTS', sha), [0]);
  await assert.rejects(client.cmd('EVALSHA', sha, '0'), /NOSCRIPT No matching script/);
  await assert.rejects(client.cmd('SCRIPT', 'KILL'), /NOTBUSY No scripts in execution/);
});

test('a script that fails has changed nothing', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.cmd('SET', 'k', '1');
  const write = "redis.call('SET','k','2') redis.call('RPUSH','l','a') ";
  await assert.rejects(client.cmd('EVAL', `${write} error('no')`, '2', 'k', 'l'), /user_script:1: no/);
  await assert.rejects(client.cmd('EVAL', `${write} redis.call('INCR','l')`, '2', 'k', 'l'), /WRONGTYPE/);
  assert.equal(await client.cmd('GET', 'k'), '1');
  assert.equal(await client.cmd('EXISTS', 'l'), 0);
  // What it catches, or returns, is no failure.
  await client.cmd('EVAL', `${write} return pcall(redis.call,'INCR','l')`, '2', 'k', 'l');
  assert.equal(await client.cmd('GET', 'k'), '2');
});

test('undeclared keys: the script runs again over the whole database', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const script = "for i=1,50 do redis.call('INCR','k'..i) end return redis.call('DBSIZE')";
  assert.equal(await client.cmd('EVAL', script, '0'), 50);
  assert.equal(await client.cmd('EVAL', script, '1', 'k1'), 50);
  assert.equal(await client.cmd('GET', 'k50'), '2');
  // Not even pcall keeps it from that.
  const caught = "local ok = pcall(redis.call,'INCR','other') return {tostring(ok)}";
  assert.deepEqual(await client.cmd('EVAL', caught, '1', 'k1'), ['true']);
  assert.equal(await client.cmd('GET', 'other'), '1');
});

test('nobody sees half of a script', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 2 });
  const writer = await server.connect();
  const reader = await server.connect();
  const script = "redis.call('INCR',KEYS[1]) for i=1,200 do end redis.call('INCR',KEYS[2])";
  await writer.cmd('MSET', 'a', '0', 'b', '0');
  const writes = (async () => {
    for (let i = 0; i < 40; i++) {
      await writer.pipeline(Array.from({ length: 10 }, () => ['EVAL', script, '2', 'a', 'b']));
    }
    return true;
  })();
  let done = false;
  writes.then(() => (done = true));
  while (!done) {
    const [a, b] = await reader.cmd('MGET', 'a', 'b');
    assert.equal(a, b);
  }
  await writes;
  assert.deepEqual(await reader.cmd('MGET', 'a', 'b'), ['400', '400']);
});

test('in MULTI', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.cmd('MULTI');
  await client.cmd('SET', 'a', '1');
  await client.cmd('EVAL', "return redis.call('INCR','a')", '0');
  await client.cmd('GET', 'a');
  assert.deepEqual(await client.cmd('EXEC'), ['OK', 2, '2']);
});

test('a script that fails in MULTI has changed nothing, and EXEC goes on', godwitOnly, async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.cmd('FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('bad', function(k) redis.call('SET', k[1], 'f') error('no') end)");
  await client.cmd('RPUSH', 'l', ...Array.from({ length: 1000 }, (_, i) => `value ${i}`));
  await client.cmd('MULTI');
  await client.cmd('SET', 'a', '1');
  await client.cmd('LPOP', 'l');
  await client.cmd('EVAL', "redis.call('SET','a','2') redis.call('LPOP','l') redis.call('SET','b','2') redis.call('FLUSHALL') error('x')", '0');
  await client.cmd('FCALL', 'bad', '1', 'a');
  await client.cmd('EVAL', "redis.call('SET','c','3') return redis.call('GET','a')", '0');
  await client.cmd('EVAL', "redis.call('SET','d','4') return redis.call('INCR','l')", '0');
  await client.cmd('LPOP', 'l');
  const [exec] = await client.pipeline([['EXEC']]);
  assert.deepEqual(exec.a.map((r) => r.t), ['+', '$', '-', '-', '$', '-', '$']);
  assert.equal(exec.a[6].b.toString(), 'value 1');
  assert.deepEqual(await client.cmd('MGET', 'a', 'b', 'c', 'd'), ['1', null, '3', null]);
  assert.equal(await client.cmd('LLEN', 'l'), 998);
});

const ENDS = /ran for longer than busy-reply-threshold/;
const HOSTILE = [
  ['while true do end', ENDS],
  ['while true do pcall(function() while true do end end) end', ENDS],
  ["while true do xpcall(function() error('x') end, function() while true do end end) end", ENDS],
  ['local function f() return pcall(f) end f() while true do end', ENDS],
  ['local function f() xpcall(error, f) end f() while true do end', ENDS],
  ['return (("a"):rep(170)):find((".-"):rep(4).."b")', ENDS],
  ['return (("a"):rep(300000)):find(("a?"):rep(300000))', /pattern too complex/],
  ['local f f=function() return coroutine.wrap(f)() end return f()', /C stack overflow/],
  ['local f f=function() return (("x"):gsub(".",f)) end return f()', /C stack overflow/],
  ['local s="x" while true do s=s..s end', /not enough memory|longer/],
  ['return ("x"):rep(1e9)', /resulting string too large/],
  ['while true do pcall(coroutine.wrap(function() while true do end end)) end', ENDS],
  ['table.sort({1,2,3,4},function() while true do end end)', ENDS],
  ['return load(function() while true do end end)', ENDS],
  ['local t={} for i=1,1e6 do t[i]=i end while true do table.insert(t,1,1) table.remove(t,1) end', ENDS],
  ['local s=("x"):rep(2^23) while true do local b=s.."y" end', ENDS],
  ['local t=setmetatable({},{__index=function() while true do end end}) return t.x', ENDS],
  ['local t=setmetatable({},{__lt=function() while true do end end}) local function f() return t<t end local x=f()', ENDS],
  ['local t=setmetatable({},{__concat=function() while true do end end}) local function f() local s=t.."" end f()', ENDS],
  ['local function it() while true do end end local function f() for k in it do end end f()', ENDS],
  ['for k in function() while true do end end do end', ENDS],
  ['local function f() return f() end return f()', ENDS],
  ['return coroutine.wrap(function() local function f() while true do end end f() end)()', ENDS],
  ['("x"):gsub(".",function() local function f() while true do end end f() end)', ENDS],
  ['while true do newproxy(true) end', /nonexistent global variable/],
  ['local t={1} for i=1,40 do t={t,t} end return #cjson.encode(t)', /too large|longer/],
  ['local t={} t[1]=t return t', /reached lua stack limit/],
  ['return loadstring("\\27Lua")()', /attempt to call a nil value/],
  ['x=1', /Attempt to modify a readonly table/],
  ['return x', /nonexistent global variable 'x'/],
  ['string.x=1', /Attempt to modify a readonly table/],
  ...['table', 'math', 'coroutine', 'os', 'redis', 'cjson', 'cmsgpack', 'bit', 'struct'].map((name) => [
    `${name}.x=1`,
    /Attempt to modify a readonly table/,
  ]),
  ['cjson.encode=1', /Attempt to modify a readonly table/],
  ['("").x.y=1', /attempt to index a nil value|attempt to index field/],
  ['rawset(redis,"x",1)', /Attempt to modify a readonly table/],
  ['table.insert(redis,1)', /Attempt to modify a readonly table/],
  ['setmetatable(redis,{})', /protected metatable/],
  ['getmetatable("").__index=1', /attempt to index a boolean/],
  ['return cmsgpack.pack(print)', /./],
  ['local t={} for i=1,7000 do t[i]=i end local co={} for i=1,9 do co[i]=coroutine.create(function() end) end local k={} local function go(...) pcall(coroutine.resume,co[9],...) for s=17,3,-1 do while pcall(function() k[#k+1]=tostring(#k)..("x"):rep(2^s) end) do end end for i=1,8 do pcall(coroutine.resume,co[i],...) end error("no") end go(unpack(t))', /./],
  ...['io', 'debug', 'require', 'dofile', 'loadfile', 'newproxy', 'collectgarbage', 'gcinfo', 'setfenv', 'getfenv', 'package', 'print', 'module'].map(
    (name) => [`return ${name}`, /nonexistent global variable/],
  ),
];

test('hostile scripts end in an error', godwitOnly, async (t) => {
  const args = ['--busy-reply-threshold', String(BUDGET_MS)];
  const server = await startServer(t, { args, workers: 1 });
  const client = await server.connect({ timeoutMs: 30000 });
  for (const [script, error] of HOSTILE) {
    await t.test(script.slice(0, 60), async () => {
      const begun = Date.now();
      await assert.rejects(client.cmd('EVAL', script, '0'), error);
      assert.ok(Date.now() - begun < (BUDGET_MS + 2000) * SLOW, `${Date.now() - begun} ms`);
    });
  }
  assert.equal(await client.cmd('EVAL', 'return string.dump == nil and #KEYS', '0'), 0);
  assert.equal(await client.cmd('DBSIZE'), 0);
});

test('what scripts find, and what `redis` has, outside of a debugger', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const value = (text) => client.cmd('EVAL', `return ${text}`, '0');
  assert.deepEqual(await value("{type(cjson.encode),type(cmsgpack.pack),type(bit.band),type(struct.pack)}"), Array(4).fill('function'));
  assert.equal(await value('cjson.decode(cjson.encode({a={1,"x",true}})).a[2]'), 'x');
  assert.equal(await value('cmsgpack.unpack(cmsgpack.pack({7}))[1]'), 7);
  assert.equal(await value('bit.bor(1,bit.lshift(1,4))'), 17);
  assert.equal(await value('(struct.unpack("<I2",struct.pack("<I2",513)))'), 513);
  assert.deepEqual(await value('{redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING}'), [0, 1, 2, 3]);
  assert.deepEqual(await value('{redis.REPL_NONE,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_ALL}'), [0, 1, 2, 2, 3]);
  assert.match(await value('redis.REDIS_VERSION'), /^7\.\d+\.\d+$/);
  assert.ok((await value('redis.REDIS_VERSION_NUM')) >= 0x70000);
  assert.equal(await value('redis.sha1hex("")'), 'da39a3ee5e6b4b0d3255bfef95601890afd80709');
  assert.equal(await value('redis.status_reply("FINE")'), 'FINE');
  assert.equal(await value('redis.call("ECHO", tonumber("-0"))'), '-0');
  const said = { 'CODE text': 'CODE text', '-CODE text': 'CODE text', word: 'ERR word', '': 'ERR ', '\n word': '  word',
    '\nword\r\n': 'ERR word', 'CODE \r\n two words\n': 'CODE  two words', 'CODE ': 'CODE ' }; // as redis-server 7.0
  for (const [text, error] of Object.entries(said)) {
    const reply = await client.call('EVAL', 'return redis.error_reply(ARGV[1])', '0', text);
    assert.equal(show(reply), `-${error}`, JSON.stringify(text));
  }
  assert.equal(await value('redis.breakpoint()'), null);
  assert.equal(await value('redis.debug("x")'), null);
  assert.equal(await value('redis.replicate_commands()'), 1);
  assert.equal(await value('redis.acl_check_cmd("set","k","v")'), 1);
  await assert.rejects(value('redis.acl_check_cmd("nosuch")'), /Invalid command passed to redis.acl_check_cmd/);
  assert.equal(await value('redis.set_repl(redis.REPL_ALL)'), null);
  await assert.rejects(value('redis.set_repl(9)'), /Invalid replication flags/);
  await assert.rejects(value('redis.setresp(4)'), /RESP version must be 2 or 3/);
  await assert.rejects(value('redis.log("x")'), /redis.log\(\) requires two arguments or more/);
  assert.equal(await value('redis.log(redis.LOG_DEBUG,"text")'), null);
});

test('a client that leaves its script takes it along', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const other = await server.connect({ timeoutMs: 30000 });
  await other.cmd('FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('f', function(k) redis.call('SET',k[1],'x') while true do end end)");
  for (const command of [
    ['EVAL', "redis.call('SET',KEYS[1],'x') local function f() while true do end end f()", '1', 'k'],
    ['FCALL', 'f', '1', 'k'],
  ]) {
    const busy = await server.connect();
    busy.cmd(...command).catch(() => {});
    let runs = false;
    while (!runs) { // until it has the key's lock
      const [info] = await other.pipeline([['CLIENT', 'LIST']]);
      runs = new RegExp(`cmd=${command[0].toLowerCase()}`).test(info.b.toString());
    }
    busy.socket.destroy();
    assert.equal(await other.cmd('SET', 'k', 'mine'), 'OK');
    assert.equal(await other.cmd('GET', 'k'), 'mine');
    await assert.rejects(other.cmd(command[0] === 'EVAL' ? 'SCRIPT' : 'FUNCTION', 'KILL'), /NOTBUSY/);
  }
});

// What runs long may not keep others from its worker, wherever its loop is.
const LONG = [
  'while true do end',
  'local function f() while true do end end f()',
  'local t = {} function t.g() while true do end end local function f() t.g() end f()',
  "local t = setmetatable({}, {__call = function() while true do end end}) local function f() t() end f()",
  'local function f(n) if n == 0 then while true do end end f(n - 1) return 1 end f(50)',
  'for i = 1, 1e18 do local s = tostring(i) end',
  'local function f() for k, v in pairs({1, 2, 3}) do while true do end end end f()',
];

test('others are served while a script loops in its functions', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const busy = await server.connect({ timeoutMs: 30000 });
  const other = await server.connect();
  for (const text of LONG) {
    const script = `redis.call('SET',KEYS[1],'x') ${text}`;
    const running = assert.rejects(busy.cmd('EVAL', script, '1', 'k'), /Script killed by user/, text);
    let killed = false;
    while (!killed) {
      killed = await other.cmd('SCRIPT', 'KILL').then(
        () => true,
        (err) => (assert.match(String(err), /NOTBUSY/), false),
      );
    }
    await running;
    assert.equal(await other.cmd('EXISTS', 'k'), 0);
  }
});

test('SCRIPT KILL ends a long script on the same worker, and undoes it', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 1 });
  const busy = await server.connect({ timeoutMs: 30000 });
  const other = await server.connect();
  const script = "redis.call('SET',KEYS[1],'x') while true do end";
  const running = assert.rejects(busy.cmd('EVAL', script, '1', 'k'), /Script killed by user/);
  await other.cmd('SET', 'unrelated', 'served meanwhile');
  let killed = false;
  while (!killed) {
    killed = await other.cmd('SCRIPT', 'KILL').then(
      () => true,
      (err) => (assert.match(String(err), /NOTBUSY/), false),
    );
  }
  await running;
  assert.equal(await other.cmd('EXISTS', 'k'), 0);
});
