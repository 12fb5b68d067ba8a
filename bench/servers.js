'use strict';
// servers.js - the servers of a run: starting them on free ports, asking them, ending them by pid.
//
// A server under test has no persistence and, unless a scenario says otherwise, is pinned to core 0;
// the load runs on core 1. On a machine with one core nothing is pinned, and the report says so.

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const SERVER_CORE = '0';
const LOAD_CORE = '1';
const PATIENCE_MS = 15000;
const mayPin = os.cpus().length > 1 && spawnSync('taskset', ['--version']).status === 0;

const running = new Set();

function pinned(core, command) {
  return mayPin && core !== null ? ['taskset', '-c', core, ...command] : command;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

// The kinds of server, in the order of the tables' columns. `command` gets the port and the server's
// own folder; `version` is a command whose first line of output names it.
const KINDS = {
  redis: {
    title: 'redis-server',
    program: 'redis-server',
    version: ['redis-server', '--version'],
    command: (port) => ['redis-server', '--port', String(port), '--bind', '127.0.0.1',
      '--save', '', '--appendonly', 'no', '--daemonize', 'no'],
  },
  memcached: {
    title: 'memcached',
    program: 'memcached',
    version: ['memcached', '--version'],
    proto: 'memcached',
    command: (port, dir, opts) => ['memcached', '-p', String(port), '-U', '0', '-l', '127.0.0.1',
      '-t', String(opts.workers || 1), '-m', '8192', '-c', '4096',
      ...(process.getuid() === 0 ? ['-u', 'root'] : [])],
  },
  godwit: {
    title: 'godwit',
    program: process.env.GODWIT || 'bin/godwit',
    version: [process.env.GODWIT || 'bin/godwit', '--version'],
    command: (port, dir, opts) => {
      fs.writeFileSync(path.join(dir, 'password'), 'bench\n', { mode: 0o600 });
      return [path.resolve(process.env.GODWIT || 'bin/godwit'), 'serve', '--port', String(port),
        '--admin-port', '0', '--http-port', '0', '--dir', dir,
        '--password-file', path.join(dir, 'password'),
        ...(opts.workers === undefined ? [] : ['--workers', String(opts.workers)])];
    },
    password: 'bench',
  },
  // What sockets alone cost (floor.c): only when asked for by --only, since it takes its time.
  floor: {
    title: 'floor',
    program: process.env.BENCH_FLOOR || 'build/release/bench_floor',
    version: ['true'],
    command: (port) => [path.resolve(process.env.BENCH_FLOOR || 'build/release/bench_floor'), String(port)],
    byChoice: true,
  },
};

function isInstalled(kind) {
  const { program } = KINDS[kind];
  if (program.includes('/')) return fs.existsSync(program);
  return (process.env.PATH || '').split(':').some((dir) => fs.existsSync(path.join(dir, program)));
}

const isByChoice = (kind) => Boolean(KINDS[kind].byChoice) && isInstalled(kind);

function versionOf(kind) {
  const [command, ...args] = KINDS[kind].version;
  const r = spawnSync(command, args, { encoding: 'utf8' });
  return r.status === 0 ? r.stdout.split('\n')[0].trim() : 'version unknown';
}

// One reply of RESP2 at the start of `buf`: { value, used }, or null when its end has not come.
function parseReply(buf, at = 0) {
  const end = buf.indexOf('\r\n', at);
  if (end < 0) return null;
  const line = buf.toString('latin1', at + 1, end);
  const next = end + 2;
  switch (String.fromCharCode(buf[at])) {
    case '+': return { value: line, used: next };
    case '-': return { value: new Error(line), used: next };
    case ':': return { value: Number(line), used: next };
    case '$': {
      const n = Number(line);
      if (n < 0) return { value: null, used: next };
      if (buf.length < next + n + 2) return null;
      return { value: buf.toString('latin1', next, next + n), used: next + n + 2 };
    }
    case '*': {
      const value = [];
      let used = next;
      for (let i = 0; i < Number(line); i++) {
        const item = parseReply(buf, used);
        if (item === null) return null;
        value.push(item.value);
        used = item.used;
      }
      return { value, used };
    }
    default: throw new Error(`not a reply: ${buf.toString('latin1', at, at + 60)}`);
  }
}

function encode(args) {
  const parts = args.map((a) => `$${Buffer.byteLength(String(a))}\r\n${a}\r\n`);
  return `*${args.length}\r\n${parts.join('')}`;
}

// One line of memcached's protocol, or one RESP command; on a connection of its own.
function ask(server, args) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(server.port, '127.0.0.1');
    let got = Buffer.alloc(0);
    let skip = server.password ? 1 : 0; // the reply to AUTH
    const finish = (fn, value) => { socket.destroy(); fn(value); };
    socket.setTimeout(PATIENCE_MS, () => finish(reject, new Error(`${args[0]}: no answer`)));
    socket.on('error', (e) => finish(reject, e));
    socket.on('close', () => reject(new Error(`${args[0]}: closed`)));
    socket.on('connect', () => {
      if (server.proto === 'memcached') socket.write(`${args.join(' ')}\r\n`);
      else socket.write((server.password ? encode(['AUTH', server.password]) : '') + encode(args));
    });
    socket.on('data', (data) => {
      got = Buffer.concat([got, data]);
      if (server.proto === 'memcached') {
        finish(resolve, got.toString('latin1'));
        return;
      }
      for (let r = parseReply(got); r !== null; r = parseReply(got)) {
        got = got.subarray(r.used);
        if (r.value instanceof Error) finish(reject, new Error(`${args[0]}: ${r.value.message}`));
        else if (skip === 0) finish(resolve, r.value);
        if (skip-- === 0) return;
        if (got.length === 0) return;
      }
    });
  });
}

// Starts a server of a kind. opts: workers (default 1; null leaves it to the server, unpinned),
// unpinned.
async function start(kind, opts = {}) {
  const spec = KINDS[kind];
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), `bench-${kind}-`));
  const port = await freePort();
  const own = opts.workers === null;
  const command = spec.command(port, dir, { workers: own ? undefined : opts.workers || 1 });
  const [program, ...args] = pinned(own || opts.unpinned ? null : SERVER_CORE, command);
  const log = fs.openSync(path.join(dir, 'log'), 'w');
  const child = spawn(program, args, { cwd: dir, stdio: ['ignore', log, log] });
  fs.closeSync(log);
  const server = {
    kind, title: spec.title, port, dir, child, pid: child.pid,
    proto: spec.proto || 'resp', password: spec.password,
    passwordFile: spec.password ? path.join(dir, 'password') : null,
  };
  child.on('error', () => {}); // seen below as a server that never answers
  running.add(server);
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      await ask(server, server.proto === 'memcached' ? ['version'] : ['PING']);
      return server;
    } catch (e) {
      if (child.exitCode !== null || Date.now() > until) {
        const said = fs.readFileSync(path.join(dir, 'log'), 'utf8').trim().split('\n').slice(-3);
        await stop(server);
        throw new Error(`${spec.title} did not start (${e.message}): ${said.join(' | ')}`);
      }
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }
}

// Asks it to end, and insists after a while.
async function stop(server) {
  const { child } = server;
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const gone = new Promise((resolve) => { child.once('exit', resolve); });
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }
  running.delete(server);
  fs.rmSync(server.dir, { recursive: true, force: true });
}

// For a process that is told to end: nothing that was started may stay.
function killAll() {
  for (const server of running) {
    server.child.kill('SIGKILL');
    fs.rmSync(server.dir, { recursive: true, force: true });
  }
}

function rssBytes(server) {
  const status = fs.readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}

// Waits until freeing and rehashing in the background have come to rest.
async function settledRssBytes(server) {
  let last = -1;
  let now = rssBytes(server);
  const until = Date.now() + 5000;
  while (Math.abs(now - last) > 65536 && Date.now() < until) {
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    last = now;
    now = rssBytes(server);
  }
  return now;
}

module.exports = {
  KINDS, LOAD_CORE, mayPin, pinned, isInstalled, isByChoice, versionOf, ask, start, stop, killAll,
  settledRssBytes,
};
