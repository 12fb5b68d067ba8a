'use strict';
// Every value type beside redis-server, pipeline 16, one pinned worker. A row names the load's
// commands with their replies (bench/load_cmd.c), and what has to be there before: `fill` is sent
// once for each key in order, `ask` before it. A group of commands that redis-server does not have (JSON:
// RedisJSON is not in Debian) says { only: ['godwit'] }, which leaves its column empty.
const VALUE = 64;
const CONNS = 50;
const PIPELINE = 16;
const MS = 1000;
const TARGET = 0.7;

const times = (n, word) => Array.from({ length: n }, (_, i) => word(i)).join(' ');

// The sliding window of two fixed ones, as @upstash/ratelimit's limiter decides; our own words.
const SLIDING = `
local limit, now, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local current = tonumber(redis.call('GET', KEYS[1]) or '0')
local before = tonumber(redis.call('GET', KEYS[2]) or '0')
local weighed = math.floor((1 - (now % window) / window) * before)
if cost > 0 and weighed + current >= limit then return {-1, limit} end
local count = redis.call('INCRBY', KEYS[1], cost)
if count == cost then redis.call('PEXPIRE', KEYS[1], window * 2 + 1000) end
return {limit - (count + weighed), limit}`;

const LEADERBOARD = [
  ['ZADD', { keys: 1000000, span: 1000000, commands: [['ZADD board %n m:%k', ':0']] }],
  ['ZRANK', { keys: 1000000, commands: [['ZRANK board m:%k', ':']] }],
  ['ZRANGE 0 9', { commands: [['ZRANGE board 0 9', '*10 $14']] }],
  ['ZRANGE BYSCORE LIMIT 0 10', { span: 900000, commands: [['ZRANGE board %n +inf BYSCORE LIMIT 0 10', '*10 $14']] }],
];

// Some 300 bytes: a number, texts, an object and an array of objects.
const DOCUMENT = '{"id":"%k","name":"%v","visits":100000,"address":{"city":"Wellington","zip":6011,"lines":["Quay","Aro"]},'
  + '"orders":[{"sku":"a-17","count":2,"price":19.9},{"sku":"b-4","count":1,"price":5.5},{"sku":"c-99","count":7,"price":0.25}]}';

const GROUPS = [
  {
    fill: [{ keys: 1, commands: [[`RPUSH q ${times(100, () => '%v')}`, ':']] },
      { keys: 2000, commands: [[`RPUSH l:%k ${times(100, () => '%v')}`, ':100']] }],
    rows: [['LPUSH, RPOP', { commands: [['LPUSH q %v', ':'], ['RPOP q', '$e']] }],
      ['LRANGE 0 99', { keys: 2000, commands: [['LRANGE l:%k 0 99', '*100 $v']] }]],
  },
  {
    fill: [{ keys: 50000, commands: [[`HSET h:%k ${times(10, (i) => `field${i} %v`)}`, ':10']] }],
    rows: [['HSET', { keys: 50000, commands: [['HSET h:%k field3 %v', ':0']] }],
      ['HGET', { keys: 50000, commands: [['HGET h:%k field7', '$v']] }],
      ['HGETALL of 10', { keys: 50000, commands: [['HGETALL h:%k', '*20 $6 $v']] }]],
  },
  {
    fill: [{ keys: 1000000, commands: [['SADD s m:%k', ':1']] }],
    rows: [['SADD to 1 M', { keys: 1000000, commands: [['SADD s m:%k', ':0']] }],
      ['SISMEMBER of 1 M', { keys: 1000000, commands: [['SISMEMBER s m:%k', ':1']] }]],
  },
  { fill: [{ keys: 1000000, span: 1000000, commands: [['ZADD board %n m:%k', ':1']] }], rows: LEADERBOARD },
  {
    ask: [['XGROUP', 'CREATE', 'stream', 'group', '$', 'MKSTREAM']],
    rows: [['XADD', { commands: [['XADD stream MAXLEN ~ 100000 * data %v', '$']] }],
      ['XADD, XREADGROUP', { commands: [['XADD stream MAXLEN ~ 100000 * data %v', '$'],
        ['XREADGROUP GROUP group me COUNT 1 NOACK STREAMS stream >', '*1 *2 $6 *1 *2 $ *2 $4 $e']] }]],
  },
  {
    script: SLIDING,
    rows: [['EVALSHA of a sliding window', { keys: 10000,
      commands: [['EVALSHA %SHA 2 r:{%k}:1 r:{%k}:0 1000000000 1700000012345 60000 1', '*2 : :1000000000']] }]],
  },
  {
    only: ['godwit'],
    fill: [{ keys: 20000, commands: [[`JSON.SET j:%k $ ${DOCUMENT}`, '+OK']] }],
    rows: [['JSON.GET of 300 bytes', { keys: 20000, commands: [['JSON.GET j:%k', '$']] }],
      ['JSON.GET by path', { keys: 20000, commands: [['JSON.GET j:%k $.address.city', '$14']] }],
      ['JSON.GET of a filter', { keys: 20000, commands: [['JSON.GET j:%k $.orders[?(@.count>1)].sku', '$15']] }],
      ['JSON.SET by path, a number', { keys: 20000, span: 900000, commands: [['JSON.SET j:%k $.visits %n', '+OK']] }],
      ['JSON.SET by path, a text', { keys: 20000, commands: [['JSON.SET j:%k $.name "%v"', '+OK']] }]],
  },
];

async function prepare(ctx, server, group) {
  await ctx.ask(server, ['FLUSHALL']);
  for (const command of group.ask || []) await ctx.ask(server, command);
  for (const fill of group.fill || []) {
    await ctx.load(server, [{ op: 'cmd', dist: 'seq', count: fill.keys, value: VALUE, conns: 1,
      pipeline: Math.min(64, fill.keys), ...fill }]);
  }
  return group.script ? ctx.ask(server, ['SCRIPT', 'LOAD', group.script]) : '';
}

async function once(ctx, server, stream, sha) {
  const commands = stream.commands.map(([c, r]) => [c.replace('%SHA', sha), r]);
  const r = await ctx.load(server, [{ op: 'cmd', conns: CONNS, pipeline: PIPELINE, value: VALUE,
    ...stream, commands }], { ms: Math.min(ctx.ms, MS) });
  if (r.streams.cmd.misses > 0) throw new Error(`${server.title}: ${r.streams.cmd.misses} misses`);
  return { perS: r.streams.cmd.per_s, cpuUs: r.cpuUs };
}

exports.about = `the value types, ${VALUE}-byte values, ${CONNS} connections, pipeline ${PIPELINE}, one worker on a core of its own`;
exports.METRICS = [{ key: 'perS', title: 'ops/s', digits: 0 }, { key: 'cpuUs', title: 'µs/op', digits: 2 }];
exports.LEADERBOARD = { fill: GROUPS[3].fill, rows: LEADERBOARD };
exports.prepare = prepare;
exports.once = once;
exports.run = async (ctx) => {
  const list = await ctx.start(['redis', 'godwit']);
  const rows = [];
  for (const group of GROUPS) {
    const shas = new Map();
    const asked = list.filter((s) => !group.only || group.only.includes(s.kind));
    for (const server of asked) shas.set(server, await prepare(ctx, server, group));
    for (const [name, stream] of group.rows) {
      const cells = await ctx.interleave(asked, ctx.rounds, (server) => once(ctx, server, stream, shas.get(server)));
      rows.push({ name, cells, figure: cells.godwit?.cpuUs / cells.redis?.cpuUs, target: group.only ? undefined : TARGET });
    }
  }
  return [{ title: 'types', metrics: exports.METRICS, rows }];
};
