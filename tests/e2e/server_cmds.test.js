// The commands by which people and tools watch and steer a server: INFO, CLIENT, MONITOR, SLOWLOG,
// LATENCY, MEMORY, COMMAND and kin.
import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, passTime, within } from '../lib/eventually.js';
import { plain, show } from '../lib/resp.js';
import { godwitOnly, KIND, parseInfo, startServer } from '../lib/server.js';

// What redis_exporter, RedisInsight, Datadog's agent and redis-cli --stat read.
const FIELDS = {
  server: [
    'redis_version',
    'redis_mode',
    'os',
    'arch_bits',
    'process_id',
    'run_id',
    'tcp_port',
    'uptime_in_seconds',
    'uptime_in_days',
    'hz',
    'executable',
    'config_file',
    'server_time_usec',
  ],
  clients: ['connected_clients', 'blocked_clients', 'maxclients', 'tracking_clients'],
  memory: [
    'used_memory',
    'used_memory_human',
    'used_memory_rss',
    'used_memory_peak',
    'maxmemory',
    'maxmemory_policy',
    'mem_fragmentation_ratio',
    'mem_allocator',
    'used_memory_dataset',
    'total_system_memory',
    'maxmemory_human',
  ],
  persistence: [
    'loading',
    'rdb_last_save_time',
    'aof_enabled',
    'rdb_changes_since_last_save',
    'rdb_bgsave_in_progress',
    'rdb_last_bgsave_status',
  ],
  stats: [
    'total_connections_received',
    'total_commands_processed',
    'instantaneous_ops_per_sec',
    'total_net_input_bytes',
    'total_net_output_bytes',
    'rejected_connections',
    'expired_keys',
    'evicted_keys',
    'keyspace_hits',
    'keyspace_misses',
    'pubsub_channels',
    'pubsub_patterns',
    'latest_fork_usec',
    'total_error_replies',
  ],
  replication: ['role', 'connected_slaves', 'master_replid', 'master_repl_offset'],
  cpu: ['used_cpu_sys', 'used_cpu_user'],
  cluster: ['cluster_enabled'],
};

function clientFields(line) {
  return Object.fromEntries(
    line
      .trim()
      .split(' ')
      .map((pair) => pair.split(/=(.*)/s).slice(0, 2)),
  );
}

async function clientList(client, ...args) {
  const text = await client.cmd('CLIENT', 'LIST', ...args);
  return text.trim().split('\n').filter(Boolean).map(clientFields);
}

test('INFO has the sections and fields that tools read', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  await client.pipeline([
    ['SET', 'k', 'v', 'EX', 100],
    ['SET', 'l', 'v'],
    ['GET', 'k'],
    ['GET', 'none'],
  ]);
  for (const [section, fields] of Object.entries(FIELDS)) {
    const text = await client.cmd('INFO', section);
    assert.match(text, new RegExp(`^# ${section}\\r\\n`, 'i'));
    const info = parseInfo(text);
    for (const field of fields) {
      assert.ok(
        info[field] !== undefined && (info[field] !== '' || field === 'config_file'),
        `${section}: ${field}`,
      );
    }
  }
  const all = parseInfo(await client.cmd('INFO'));
  assert.match(all.redis_version, /^\d+\.\d+\.\d+$/);
  assert.equal(all.tcp_port, String(server.port));
  assert.equal(all.role, 'master');
  assert.equal(all.keyspace_hits, '1');
  assert.equal(all.keyspace_misses, '1');
  assert.match(all.db0, /^keys=2,expires=1,avg_ttl=\d+/);
  assert.ok(Number(all.used_memory) > 0);
  assert.ok(!('cmdstat_get' in all), 'commandstats only when asked for');

  const several = await client.cmd('INFO', 'clients', 'cpu');
  assert.match(several, /# Clients[\s\S]*# CPU/);
  assert.doesNotMatch(several, /# Memory/);
  const commands = parseInfo(await client.cmd('INFO', 'commandstats'));
  assert.match(
    commands.cmdstat_get,
    /^calls=2,usec=\d+,usec_per_call=[\d.]+,rejected_calls=0,failed_calls=0/,
  );
  assert.equal((await client.cmd('INFO', 'nonsense')).trim(), '');
  const three = await server.client(t, { proto: 3 });
  assert.equal((await three.call('INFO')).t, '=', 'a verbatim string in RESP3');
  assert.match(
    parseInfo(await client.cmd('INFO', 'errorstats')).errorstat_ERR ?? 'count=0',
    /^count=\d+/,
  );
});

test('errors are counted by their first word', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  await client.pipeline([['SET', 'k', 'v'], ['INCR', 'k'], ['HGET', 'k', 'f'], ['NOSUCH']]);
  const errors = parseInfo(await client.cmd('INFO', 'errorstats'));
  assert.equal(errors.errorstat_WRONGTYPE, 'count=1');
  assert.equal(errors.errorstat_ERR, 'count=2');
  assert.equal((await server.info('stats')).total_error_replies, '3');
});

test('HELLO and RESET', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  assert.equal((await client.call('HELLO')).t, '*');
  const hello = await client.call('HELLO', 3);
  assert.equal(hello.t, '%');
  const facts = plain(hello);
  assert.equal(facts.server, 'redis');
  assert.equal(facts.proto, 3);
  assert.equal(facts.mode, 'standalone');
  assert.equal(facts.role, 'master');
  assert.deepEqual(facts.modules, []);
  assert.equal(facts.id, await client.cmd('CLIENT', 'ID'));
  assert.equal(show(await client.call('GET', 'none')), '_');
  await client.cmd('HELLO', 3, 'SETNAME', 'me');
  assert.equal(await client.cmd('CLIENT', 'GETNAME'), 'me');
  assert.equal(show(await client.call('RESET')), '+RESET');
  assert.match(show(await client.call('GET', 'k')), /^-NOAUTH/);
  await client.cmd('AUTH', server.password);
  assert.equal(await client.cmd('CLIENT', 'GETNAME'), null);
  assert.equal(show(await client.call('GET', 'none')), '$-1', 'RESET goes back to RESP2');
  assert.match(show(await client.call('HELLO', 4)), /^-NOPROTO /);
  const fresh = await server.client(t, { password: null });
  assert.match(show(await fresh.call('HELLO', 3)), /^-NOAUTH /);
  assert.equal((await fresh.call('HELLO', 3, 'AUTH', 'default', server.password)).t, '%');
  assert.equal(show(await fresh.call('QUIT')), '+OK');
  await within(fresh.closed, 3000, 'the end after QUIT');
});

test('CLIENT LIST, INFO, names', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);
  const others = await Promise.all([1, 2, 3].map(() => server.client(t, { proto: 3 })));

  assert.equal(await client.cmd('CLIENT', 'SETNAME', 'watcher'), 'OK');
  assert.equal(await client.cmd('CLIENT', 'GETNAME'), 'watcher');
  assert.equal(await others[0].cmd('CLIENT', 'GETNAME'), null);
  assert.match(
    show(await client.call('CLIENT', 'SETNAME', 'a b')),
    /^-ERR Client names cannot contain/,
  );
  const rows = await clientList(client);
  assert.equal(rows.length, 4);
  const mine = rows.find((row) => row.name === 'watcher');
  for (const field of [
    'id',
    'addr',
    'laddr',
    'fd',
    'name',
    'age',
    'idle',
    'flags',
    'db',
    'sub',
    'psub',
    'ssub',
    'multi',
    'qbuf',
    'qbuf-free',
    'argv-mem',
    'multi-mem',
    'rbs',
    'rbp',
    'obl',
    'oll',
    'omem',
    'tot-mem',
    'events',
    'cmd',
    'user',
    'redir',
    'resp',
  ]) {
    assert.ok(field in mine, field);
  }
  assert.equal(mine.laddr, `127.0.0.1:${server.port}`);
  assert.equal(mine.addr, `127.0.0.1:${client.socket.localPort}`);
  assert.equal(mine.cmd, 'client|list');
  assert.equal(mine.user, 'default');
  assert.equal(mine.resp, '2');
  assert.equal(rows.filter((row) => row.resp === '3').length, 3);
  assert.equal(new Set(rows.map((row) => row.id)).size, 4);
  const info = clientFields(await client.cmd('CLIENT', 'INFO'));
  assert.equal(info.id, String(await client.cmd('CLIENT', 'ID')));
  assert.equal(info.cmd, 'client|info');
  assert.equal((await clientList(client, 'ID', mine.id)).length, 1);
  assert.equal((await clientList(client, 'TYPE', 'normal')).length, 4);
  assert.equal((await clientList(client, 'TYPE', 'pubsub')).length, 0);
  assert.match(
    show(await client.call('CLIENT', 'LIST', 'TYPE', 'x')),
    /^-ERR Unknown client type 'x'/,
  );
});

test('CLIENT SETINFO and NO-TOUCH', godwitOnly, async (t) => {
  const client = await (await startServer(t)).client(t);

  assert.equal(await client.cmd('CLIENT', 'SETINFO', 'LIB-NAME', 'ours'), 'OK');
  assert.equal(await client.cmd('CLIENT', 'SETINFO', 'lib-ver', '1.2.3'), 'OK');
  const info = clientFields(await client.cmd('CLIENT', 'INFO'));
  assert.equal(info['lib-name'], 'ours');
  assert.equal(info['lib-ver'], '1.2.3');
  assert.match(
    show(await client.call('CLIENT', 'SETINFO', 'x', 'y')),
    /^-ERR Unrecognized option 'x'/,
  );
  assert.match(
    show(await client.call('CLIENT', 'SETINFO', 'lib-name', 'a b')),
    /^-ERR lib-name cannot contain spaces, newlines or special characters\./,
  );
  assert.equal(await client.cmd('CLIENT', 'NO-TOUCH', 'ON'), 'OK');
  assert.equal(await client.cmd('CLIENT', 'NO-TOUCH', 'OFF'), 'OK');
  assert.match(show(await client.call('CLIENT', 'NO-TOUCH', 'x')), /^-ERR syntax error/);
});

test('CLIENT NO-EVICT and an unknown subcommand', async (t) => {
  const client = await (await startServer(t)).client(t);

  assert.equal(await client.cmd('CLIENT', 'NO-EVICT', 'ON'), 'OK');
  assert.equal(await client.cmd('CLIENT', 'NO-EVICT', 'OFF'), 'OK');
  assert.match(
    show(await client.call('CLIENT', 'NOPE')),
    /^-ERR unknown subcommand 'NOPE'\. Try CLIENT HELP\./,
  );
  assert.match(
    show(await client.call('CLIENT')),
    /^-ERR wrong number of arguments for 'client' command/,
  );
  assert.ok((await client.cmd('CLIENT', 'HELP')).length > 10);
});

test('CLIENT KILL', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);
  const kill = (...args) => client.cmd('CLIENT', 'KILL', ...args);
  const victims = await Promise.all(Array.from({ length: 8 }, () => server.client(t)));

  assert.equal(await kill('ID', await victims[0].cmd('CLIENT', 'ID')), 1);
  assert.equal(await kill(`127.0.0.1:${victims[1].socket.localPort}`), 'OK');
  assert.equal(await kill('ADDR', `127.0.0.1:${victims[2].socket.localPort}`), 1);
  await Promise.all(
    victims.slice(0, 3).map((v) => within(v.closed, 3000, 'the killed client closing')),
  );
  assert.equal(await kill('ID', 999999), 0);
  assert.match(show(await client.call('CLIENT', 'KILL', '1.2.3.4:5')), /^-ERR No such client/);
  assert.match(
    show(await client.call('CLIENT', 'KILL', 'ID', 'x')),
    /^-ERR client-id should be greater than 0/,
  );
  assert.match(show(await client.call('CLIENT', 'KILL', 'NOPE', 'x')), /^-ERR syntax error/);
  assert.equal(await kill('TYPE', 'normal'), 5, 'all but itself');
  await Promise.all(victims.map((v) => within(v.closed, 3000, 'the killed client closing')));
  assert.equal(await client.cmd('PING'), 'PONG');
  const self = await server.client(t);
  assert.equal(
    await self.cmd('CLIENT', 'KILL', 'ID', await self.cmd('CLIENT', 'ID'), 'SKIPME', 'no'),
    1,
  );
  await within(self.closed, 3000, 'the client that killed itself closing');
});

test('CLIENT PAUSE holds commands and loses none', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const admin = await server.client(t);
  const clients = await Promise.all([1, 2, 3, 4].map(() => server.client(t)));

  await admin.cmd('SET', 'k', 0);
  assert.equal(await admin.cmd('CLIENT', 'PAUSE', 60000, 'WRITE'), 'OK');
  assert.equal(await clients[0].cmd('GET', 'k'), '0', 'reads go on');
  const writes = clients.map((c) => c.cmd('INCR', 'k'));
  await passTime(150);
  assert.equal(await admin.cmd('GET', 'k'), '0', 'writes wait');
  assert.equal(await admin.cmd('CLIENT', 'UNPAUSE'), 'OK');
  assert.deepEqual((await Promise.all(writes)).sort(), [1, 2, 3, 4]);

  assert.equal(await admin.cmd('CLIENT', 'PAUSE', 200), 'OK');
  const begun = performance.now();
  assert.equal(await clients[1].cmd('GET', 'k'), '4');
  assert.ok(performance.now() - begun > 100, 'ALL holds reads too');
  assert.match(
    show(await admin.call('CLIENT', 'PAUSE', 'x')),
    /^-ERR timeout is not an integer or out of range/,
  );
  assert.match(
    show(await admin.call('CLIENT', 'PAUSE', 1, 'x')),
    /^-ERR CLIENT PAUSE mode must be WRITE or ALL/,
  );
});

test('CLIENT UNBLOCK of who does not wait answers 0', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  assert.equal(await client.cmd('CLIENT', 'UNBLOCK', 999999), 0);
  assert.equal(await client.cmd('CLIENT', 'UNBLOCK', await client.cmd('CLIENT', 'ID')), 0);
  assert.match(
    show(await client.call('CLIENT', 'UNBLOCK', 1, 'x')),
    /^-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR/,
  );
});

test('CLIENT REPLY', async (t) => {
  const client = await (await startServer(t)).client(t);

  client.write('CLIENT REPLY OFF\r\nSET k 1\r\nSET k 2\r\nNOSUCH\r\nCLIENT REPLY ON\r\nGET k\r\n');
  assert.equal(show(await client.next()), '+OK');
  assert.equal(show(await client.next()), '$"2"');
  client.write('CLIENT REPLY SKIP\r\nSET k 3\r\nGET k\r\n');
  assert.equal(show(await client.next()), '$"3"');
});

test('MONITOR shows what others run, as it was asked', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const monitor = await server.client(t);
  const client = await server.client(t);
  const lines = [];

  monitor.on('reply', (reply) => lines.push(reply.s));
  monitor.write('MONITOR\r\n');
  await eventually(() => lines[0] === 'OK');
  await client.cmd('SET', 'k', 'a "b"\r\n\xff');
  await client.call('HGET', 'k', 'f');
  await client.cmd('INFO', 'server');
  await eventually(() => lines.some((line) => /"INFO" "server"$/i.test(line)));
  const set = lines.find((line) => /"SET"/.test(line));
  assert.match(set, /^\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "k" "a \\"b\\"\\r\\n/);
  assert.ok(set.includes(`127.0.0.1:${client.socket.localPort}`));
  assert.ok(lines.some((line) => line.includes('"HGET"')));
});

test('SLOWLOG', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);

  await client.cmd('CLIENT', 'SETNAME', 'slow');
  await client.cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0, 'slowlog-max-len', 20);
  await client.cmd('SLOWLOG', 'RESET');
  await client.cmd('SET', 'k', 'x'.repeat(1000));
  await client.cmd('MSET', ...Array.from({ length: 100 }, (_, i) => `k${i}`));
  const entries = await client.cmd('SLOWLOG', 'GET', 10);
  const set = entries.find((e) => e[3][0] === 'SET');
  assert.equal(set.length, 6);
  assert.ok(Math.abs(set[1] - Date.now() / 1000) < 5);
  assert.ok(set[2] >= 0);
  assert.match(set[3][2], /^x{128}\.\.\. \(872 more bytes\)$/);
  assert.equal(set[4], `127.0.0.1:${client.socket.localPort}`);
  assert.equal(set[5], 'slow');
  const mset = entries.find((e) => e[3][0] === 'MSET');
  assert.equal(mset[3].length, 32);
  assert.match(mset[3][31], /^\.\.\. \(70 more arguments\)$/);
  const ids = entries.map((e) => e[0]);
  assert.deepEqual(
    ids,
    [...ids].sort((a, b) => b - a),
    'newest first',
  );
  for (let i = 0; i < 40; i++) {
    await client.cmd('GET', 'k');
  }
  assert.equal(await client.cmd('SLOWLOG', 'LEN'), 20);
  assert.equal((await client.cmd('SLOWLOG', 'GET', -1)).length, 20);
  assert.equal((await client.cmd('SLOWLOG', 'GET')).length, 10);
  assert.match(
    show(await client.call('SLOWLOG', 'GET', -2)),
    /^-ERR count should be greater than or equal to -1/,
  );
  await client.cmd('CONFIG', 'SET', 'slowlog-log-slower-than', -1);
  assert.equal(await client.cmd('SLOWLOG', 'RESET'), 'OK');
  assert.equal(await client.cmd('SLOWLOG', 'LEN'), 0);
});

test('LATENCY', async (t) => {
  const client = await (await startServer(t)).client(t);

  assert.deepEqual(await client.cmd('LATENCY', 'LATEST'), []);
  assert.deepEqual(await client.cmd('LATENCY', 'HISTORY', 'command'), []);
  assert.equal(await client.cmd('LATENCY', 'RESET'), 0);
  assert.match(await client.cmd('LATENCY', 'DOCTOR'), /\w/);
  assert.ok((await client.cmd('LATENCY', 'HELP')).length > 4);
  assert.match(show(await client.call('LATENCY', 'GRAPH', 'none')), /^-ERR No samples available/);
});

// A mean would hide the slow few among the quick many.
test('LATENCY HISTOGRAM and INFO latencystats tell the slow from the quick', async (t) => {
  const client = await (await startServer(t)).client(t, { proto: 3 });
  await client.pipeline(Array.from({ length: 2000 }, () => ['SET', 'k', 'v']));
  for (let i = 0; i < 10; i++) {
    await client.cmd('SET', 'k', Buffer.alloc(4 << 20, 'v'));
  }
  const { set, ...others } = await client.cmd('LATENCY', 'HISTOGRAM', 'set', 'get');
  assert.deepEqual(others, {});
  assert.equal(set.calls, 2010);
  const bounds = Object.keys(set.histogram_usec).map(Number);
  const within = Object.values(set.histogram_usec);
  for (const list of [bounds, within]) {
    assert.ok(list.length > 1 && list.every((n, i) => i === 0 || n > list[i - 1]), `${list}`);
  }
  assert.equal(within.at(-1), 2010);

  const stats = parseInfo(await client.cmd('INFO', 'latencystats'));
  const [p50, p99, p999] = stats.latency_percentiles_usec_set
    .match(/^p50=([\d.]+),p99=([\d.]+),p99\.9=([\d.]+)$/)
    .slice(1)
    .map(Number);
  assert.ok(p50 > 0 && p50 <= p99 && p99 <= p999, `${p50} ${p99} ${p999}`);
  assert.ok(p999 > 4 * p50, `${p50} ${p99} ${p999}`);
  await client.cmd('CONFIG', 'RESETSTAT');
  assert.deepEqual(await client.cmd('LATENCY', 'HISTOGRAM', 'set'), {});
});

test('MEMORY', async (t) => {
  const client = await (await startServer(t)).client(t, { proto: 3 });
  const pairs = Array.from({ length: 2000 }, (_, i) => `x${i}`.padEnd(20, 'y'));

  await client.cmd('SET', 'k', 'v');
  await client.cmd('SET', 'large', Buffer.alloc(100000));
  await client.cmd('HSET', 'h', ...pairs);
  const small = await client.cmd('MEMORY', 'USAGE', 'k');
  assert.ok(small >= 16 && small < 200, `${small} bytes`);
  assert.ok((await client.cmd('MEMORY', 'USAGE', 'large')) >= 100000);
  assert.ok((await client.cmd('MEMORY', 'USAGE', 'h', 'SAMPLES', 0)) >= 1000 * 42);
  assert.equal(show(await client.call('MEMORY', 'USAGE', 'none')), '_');
  const stats = await client.cmd('MEMORY', 'STATS');
  for (const field of [
    'peak.allocated',
    'total.allocated',
    'keys.count',
    'dataset.bytes',
    'db.0',
  ]) {
    assert.ok(field in stats, field);
  }
  assert.equal(stats['keys.count'], 3);
  assert.match(await client.cmd('MEMORY', 'DOCTOR'), /\w/);
  assert.match(await client.cmd('MEMORY', 'MALLOC-STATS'), /\w/);
  assert.equal(await client.cmd('MEMORY', 'PURGE'), 'OK');
  assert.ok((await client.cmd('MEMORY', 'HELP')).length > 4);
});

test('COMMAND', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  const count = await client.cmd('COMMAND', 'COUNT');
  assert.equal((await client.cmd('COMMAND')).length, count);
  const names = await client.cmd('COMMAND', 'LIST');
  assert.ok(names.includes('get') && names.includes('hset') && names.includes('client|list'));
  const [get, none, mset] = await client.cmd('COMMAND', 'INFO', 'get', 'nosuch', 'MSET');
  assert.equal(none, null);
  assert.deepEqual(get.slice(0, 6), ['get', 2, ['readonly', 'fast'], 1, 1, 1]);
  assert.deepEqual([...get[6]].sort(), ['@fast', '@read', '@string']);
  assert.equal(get.length, 10);
  assert.deepEqual(mset.slice(3, 6), [1, -1, 2]);
  assert.deepEqual([...mset[2]].sort(), ['denyoom', 'write']);
  const getkeys = (...args) => client.cmd('COMMAND', 'GETKEYS', ...args);
  assert.deepEqual(await getkeys('MSET', 'a', 1, 'b', 2), ['a', 'b']);
  assert.deepEqual(await getkeys('BITOP', 'AND', 'd', 'x', 'y'), ['d', 'x', 'y']);
  assert.deepEqual(await getkeys('HSET', 'h', 'f', 'v'), ['h']);
  assert.match(
    show(await client.call('COMMAND', 'GETKEYS', 'PING', 'x')),
    /^-ERR The command has no key arguments/,
  );
  assert.match(
    show(await client.call('COMMAND', 'GETKEYS', 'NOPE', 'x')),
    /^-ERR Invalid command specified/,
  );
  assert.match(
    show(await client.call('COMMAND', 'GETKEYS', 'GET', 'a', 'b')),
    /^-ERR Invalid number of arguments specified for command/,
  );
  const flagged = await client.cmd('COMMAND', 'GETKEYSANDFLAGS', 'GET', 'k');
  assert.deepEqual(flagged, [['k', ['RO', 'access']]]);
  const three = await server.client(t, { proto: 3 });
  const docs = await three.cmd('COMMAND', 'DOCS', 'get', 'set', 'nosuch');
  assert.deepEqual(Object.keys(docs).sort(), ['get', 'set']);
  assert.ok(docs.get.summary.length > 10);
  assert.equal(docs.get.group, 'string');
  assert.equal(docs.get.since, '1.0.0');
  assert.ok(Object.keys(await three.cmd('COMMAND', 'DOCS')).length >= 100);
  const hashes = await client.cmd('COMMAND', 'LIST', 'FILTERBY', 'PATTERN', 'h*');
  assert.ok(hashes.includes('hget') && hashes.every((name) => name.startsWith('h')));
  const category = await client.cmd('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', 'hash');
  assert.ok(category.includes('hget') && !category.includes('get'));
});

// redis-cli reads COMMAND DOCS when it begins, and dies of a block of arguments that has none.
test('COMMAND DOCS has no group of arguments that is empty', async (t) => {
  const client = await (await startServer(t)).client(t, { proto: 3 });

  function look(name, args) {
    for (const arg of args ?? []) {
      const isGroup = arg.type === 'block' || arg.type === 'oneof';
      assert.equal(isGroup, (arg.arguments ?? []).length > 0, `${name}: ${JSON.stringify(arg)}`);
      look(name, arg.arguments);
    }
  }
  for (const [name, docs] of Object.entries(await client.cmd('COMMAND', 'DOCS'))) {
    look(name, docs.arguments);
    Object.entries(docs.subcommands ?? {}).forEach(([sub, d]) => look(sub, d.arguments));
  }
});

test('TIME, LOLWUT, ECHO, SELECT, WAIT, WAITAOF, DBSIZE', async (t) => {
  const client = await (await startServer(t)).client(t);
  const [seconds, micros] = await client.cmd('TIME');

  assert.ok(Math.abs(Number(seconds) - Date.now() / 1000) < 5);
  assert.match(micros, /^\d{1,6}$/);
  assert.match(await client.cmd('LOLWUT'), /Redis ver|Godwit/);
  assert.match(await client.cmd('LOLWUT', 'VERSION', 5), /\w/);
  assert.equal(show(await client.call('SELECT', 0)), '+OK');
  assert.match(show(await client.call('SELECT', 10000)), /^-ERR DB index is out of range/);
  assert.equal(await client.cmd('WAIT', 0, 10), 0);
  const begun = performance.now();
  assert.equal(await client.cmd('WAIT', 1, 100), 0);
  assert.ok(performance.now() - begun > 80, 'WAIT waits for what cannot come');
  if (KIND !== 'redis') {
    assert.deepEqual(await client.cmd('WAITAOF', 0, 0, 10), [0, 0]);
    assert.match(show(await client.call('WAITAOF', 1, 0, 10)), /^-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled/);
    assert.match(show(await client.call('WAITAOF', 2, 0, 10)), /^-ERR value is out of range/);
  }
  assert.equal(await client.cmd('PING'), 'PONG');
});

test('WAIT holds its own connection only', async (t) => {
  const server = await startServer(t, { workers: 1 });
  const waiter = await server.client(t);
  const other = await server.client(t);

  await waiter.cmd('SET', 'k', 'v');
  const waiting = waiter.pipeline([
    ['WAIT', 1, 300],
    ['GET', 'k'],
  ]);
  const begun = performance.now();
  assert.equal(await other.cmd('GET', 'k'), 'v');
  assert.ok(performance.now() - begun < 250);
  assert.deepEqual((await waiting).map(show), [':0', '$"v"']);
});

test('CLIENT UNBLOCK ends a WAIT', async (t) => {
  const server = await startServer(t, { workers: 2 });
  const waiter = await server.client(t);
  const other = await server.client(t);
  const id = await waiter.cmd('CLIENT', 'ID');

  for (const [reason, wanted] of [
    ['TIMEOUT', /^:0$/],
    ['ERROR', /^-UNBLOCKED client unblocked via CLIENT UNBLOCK/],
  ]) {
    await waiter.cmd('SET', 'k', 'v');
    const waiting = waiter.call('WAIT', 1, 0);
    await eventually(async () => (await other.cmd('CLIENT', 'UNBLOCK', id, reason)) === 1);
    assert.match(show(await within(waiting, 3000, 'WAIT ending')), wanted);
  }
});

test('OBJECT IDLETIME and FREQ', async (t) => {
  const client = await (await startServer(t)).client(t);

  // Keys have a clock only under a policy that needs one (DESIGN 4.1).
  await client.cmd('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await client.cmd('SET', 'k', 'v');
  await passTime(1200);
  assert.ok((await client.cmd('OBJECT', 'IDLETIME', 'k')) >= 1);
  await client.cmd('GET', 'k');
  await eventually(async () => (await client.cmd('OBJECT', 'IDLETIME', 'k')) <= 1);
  assert.match(
    show(await client.call('OBJECT', 'FREQ', 'k')),
    /^-ERR An LFU maxmemory policy is not selected, access frequency not tracked\./,
  );
  await client.cmd('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu');
  await client.cmd('SET', 'f', 'v');
  for (let i = 0; i < 100; i++) {
    await client.cmd('GET', 'f');
  }
  assert.ok((await client.cmd('OBJECT', 'FREQ', 'f')) > 5);
  assert.match(
    show(await client.call('OBJECT', 'IDLETIME', 'f')),
    /^-ERR An LFU maxmemory policy is selected, idle time not tracked\./,
  );
});

test('CLIENT NO-TOUCH leaves the clock alone', godwitOnly, async (t) => {
  const client = await (await startServer(t)).client(t);

  await client.cmd('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await client.cmd('SET', 'k', 'v');
  await client.cmd('CLIENT', 'NO-TOUCH', 'ON');
  await passTime(2200);
  await client.cmd('GET', 'k');
  assert.ok((await client.cmd('OBJECT', 'IDLETIME', 'k')) >= 1);
  await client.cmd('TOUCH', 'k');
  assert.ok((await client.cmd('OBJECT', 'IDLETIME', 'k')) <= 1);
});

test('FLUSHDB and FLUSHALL empty it at once, ASYNC too', async (t) => {
  const client = await (await startServer(t)).client(t);

  for (const flush of [['FLUSHDB'], ['FLUSHALL'], ['FLUSHALL', 'ASYNC'], ['FLUSHDB', 'SYNC']]) {
    await client.pipeline(Array.from({ length: 3000 }, (_, i) => ['SET', `k${i}`, 'v']));
    assert.equal(await client.cmd(...flush), 'OK');
    assert.equal(await client.cmd('DBSIZE'), 0);
    assert.equal(await client.cmd('GET', 'k1'), null);
  }
});

test('what is not here yet is refused by name', godwitOnly, async (t) => {
  const client = await (await startServer(t)).client(t);

  assert.equal(
    show(await client.call('NOSUCH', 'a', 'b')),
    "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ",
  );
});
