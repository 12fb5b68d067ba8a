// How a server begins, says that it is there, and ends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { eventually, within } from '../lib/eventually.js';
import { encode } from '../lib/resp.js';
import {
  freePort,
  GODWIT,
  godwitOnly,
  httpGet,
  KIND,
  run,
  startServer,
  tempDir,
} from '../lib/server.js';

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`${signal} ends it cleanly with clients connected and in pipelines`, async (t) => {
    const server = await startServer(t);
    const clients = await Promise.all(Array.from({ length: 20 }, () => server.client(t)));
    const batch = Buffer.concat(
      Array.from({ length: 1000 }, (_, i) => encode(['SET', `k${i}`, i])),
    );

    clients.forEach((c, i) => i % 2 && c.write(batch));
    clients[0].write('*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf');
    await server.stop({ signal });
    await Promise.all(clients.map((c) => within(c.closed, 2000, 'the connection closing')));
  });
}

test('SHUTDOWN ends it, and answers nothing', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  client.write(encode(['SHUTDOWN', 'NOSAVE']));
  await within(client.closed, 5000, 'the connection closing');
  assert.deepEqual(client.spare, []);
  await server.ended();
});

test('a large store is freed at the end without a leak', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  for (let i = 0; i < 20; i++) {
    const rows = Array.from({ length: 1000 }, (_, j) => ['SET', `k${i}:${j}`, 'x'.repeat(j)]);
    await client.pipeline(rows);
    await client.cmd('HSET', `h${i}`, ...rows.flatMap((row) => [row[1], row[2].slice(0, 100)]));
  }
  await client.cmd('SET', 'large', Buffer.alloc(5 << 20, 'x'));
  await server.stop();
});

test('a busy port that was asked for stops the start and is named', godwitOnly, async (t) => {
  const holder = net.createServer();
  holder.listen(0, '127.0.0.1');
  await once(holder, 'listening');
  t.after(() => holder.close());
  const { port } = holder.address();
  const rest = { port: await freePort(), 'http-port': 0, 'admin-port': 0, dir: tempDir(t) };

  for (const door of ['port', 'http-port', 'admin-port']) {
    const args = Object.entries({ ...rest, [door]: port }).flatMap(([k, v]) => [`--${k}`, v]);
    const { code, out, err } = await run(GODWIT, ['serve', ...args], { timeoutMs: 10000 });
    assert.notEqual(code, 0);
    assert.match(out + err, new RegExp(`\\b${port}\\b`));
  }
});

test('port 0 does not listen, auto takes a free one', godwitOnly, async (t) => {
  const args = ['--port', 0, '--http-port', 'auto', '--admin-port', 'AUTO'];
  const server = await startServer(t, { args, ready: false });
  const ready = /msg="ready" port=(\d+) http_port=(\d+) admin_port=(\d+)/;

  await eventually(() => ready.test(server.log), { what: 'its line of being ready' });
  const [port, http, admin] = server.log.match(ready).slice(1).map(Number);
  assert.equal(port, 0);
  assert.equal((await httpGet(http, '/healthz')).status, 200);
  assert.equal((await httpGet(admin, '/readyz')).status, 200);
  const owned = fs
    .readdirSync(`/proc/${server.pid}/fd`)
    .map((fd) => fs.readlinkSync(`/proc/${server.pid}/fd/${fd}`));
  const rows = fs.readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1);
  const listening = rows
    .map((row) => row.trim().split(/\s+/))
    .filter((f) => f[3] === '0A' && owned.includes(`socket:[${f[9]}]`))
    .map((f) => parseInt(f[1].split(':')[1], 16));
  assert.deepEqual(listening.sort(), [http, admin].sort());
  assert.doesNotMatch(server.out, /redis/);

  const none = ['serve', '--port', 0, '--http-port', 0, '--dir', tempDir(t)];
  const { code, err } = await run(GODWIT, none, { timeoutMs: 10000 });
  assert.notEqual(code, 0);
  assert.match(err, /port and http-port are both 0/);
});

test('two servers run side by side; two in one folder do not', godwitOnly, async (t) => {
  const [one, two] = await Promise.all([startServer(t), startServer(t)]);
  const a = await one.client(t);
  const b = await two.client(t);

  await a.cmd('SET', 'k', 'one');
  assert.equal(await b.cmd('GET', 'k'), null);
  const args = ['--port', await freePort(), '--http-port', 0, '--admin-port', 0, '--dir', one.dir];
  const { code, err, out } = await run(GODWIT, ['serve', ...args], { timeoutMs: 10000 });
  assert.notEqual(code, 0);
  assert.ok((out + err).includes(one.dir), out + err);
  assert.equal(await a.cmd('GET', 'k'), 'one');
});

test('a folder with a space, made when it is missing', godwitOnly, async (t) => {
  const dir = path.join(tempDir(t), 'not there yet', 'data folder');
  const server = await startServer(t, { dir });

  assert.ok(fs.statSync(dir).isDirectory());
  assert.equal(await (await server.client(t)).cmd('PING'), 'PONG');
});

test('a folder that cannot be used stops the start and is named', godwitOnly, async (t) => {
  const file = path.join(tempDir(t), 'a-file');
  fs.writeFileSync(file, '');
  const ports = ['--port', await freePort(), '--http-port', 0, '--admin-port', 0];
  const { code, out, err } = await run(GODWIT, ['serve', ...ports, '--dir', path.join(file, 'x')]);

  assert.notEqual(code, 0);
  assert.match(out + err, /a-file/);
});

test('it says its addresses and how to connect', godwitOnly, async (t) => {
  const server = await startServer(t);

  await eventually(() => server.out.includes(String(server.port)));
  assert.match(server.out, /redis-cli/);
  assert.match(server.out, new RegExp(`\\b${server.adminPort}\\b`));
});

test('it listens on loopback only, until bind says otherwise', godwitOnly, async (t) => {
  const server = await startServer(t);
  const port = server.port.toString(16).toUpperCase().padStart(4, '0');
  const rows = fs.readFileSync('/proc/net/tcp', 'latin1').split('\n');
  const listening = rows.filter((row) => row.includes(`:${port} 00000000:0000 0A`));

  assert.equal(listening.length > 0, true);
  listening.forEach((row) => assert.match(row, /0100007F:/));
  const open = await startServer(t, { args: ['--bind', '0.0.0.0'] });
  await eventually(() => /lvl=warn.*clear/i.test(open.log), { what: 'a warning of clear text' });
});

test('health, readiness and metrics', godwitOnly, async (t) => {
  const server = await startServer(t, { workers: 2 });
  const client = await server.client(t);

  await client.pipeline(Array.from({ length: 100 }, (_, i) => ['SET', `k${i}`, 1]));
  assert.equal((await server.get('/healthz')).status, 200);
  assert.equal((await server.get('/readyz')).status, 200);
  assert.equal((await server.get('/nothing')).status, 404);
  assert.ok([404, 405].includes((await server.get('/metrics', { method: 'POST' })).status));
  const { status, headers, body } = await server.get('/metrics');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^text\/plain/);
  const commands = /^godwit_commands_total(?:\{[^}]*\})? (\d+)/m.exec(body);
  assert.ok(Number(commands[1]) >= 100, body.slice(0, 500));
  for (const line of body.trim().split('\n')) {
    assert.match(line, /^#|^[a-z_][a-z0-9_]*(\{.*\})? -?[0-9.e+NaInf-]+$/);
  }
});

test('the admin door refuses what is not HTTP, and goes on', godwitOnly, async (t) => {
  const server = await startServer(t);

  for (const bytes of [
    '\x00\x01\x02\r\n\r\n',
    'GET\r\n\r\n',
    `GET /${'a'.repeat(100000)} HTTP/1.1\r\n\r\n`,
  ]) {
    const socket = net.connect({ port: server.adminPort, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write(bytes);
    socket.resume();
    // Not by once(), which fails where what was not read makes a reset of the close.
    await within(new Promise((resolve) => socket.once('close', resolve)), 5000, 'the bad request being closed');
  }
  assert.equal((await httpGet(server.adminPort, '/healthz')).status, 200);
});

test('no descriptor stays open after its client', async (t) => {
  const server = await startServer(t);
  const before = server.openFiles();

  for (let i = 0; i < 50; i++) {
    const client = await server.connect();
    await client.cmd('SET', 'k', i);
    await client.close();
  }
  await eventually(() => server.openFiles() <= before + (KIND === 'redis' ? 1 : 0));
});

test('check-log-at-exit says that the log gives what was stored', godwitOnly, async (t) => {
  const server = await startServer(t, { env: { GODWIT_CHECK_LOG_AT_EXIT: 'yes' } });
  const client = await server.client(t);

  await client.cmd('SET', 'string', 'x'.repeat(100000));
  await client.cmd('APPEND', 'string', 'y');
  await client.cmd('HSET', 'hash', 'f', 'v');
  await client.cmd('XADD', 'stream', '*', 'f', 'v');
  await client.cmd('SADD', 'gone', 'a');
  await client.cmd('DEL', 'gone');
  await server.stop();
  assert.match(server.log, /logcheck.*msg="applied" changes=6/);
  assert.match(server.log, /logcheck.*msg="the same" keys=3/);
});
