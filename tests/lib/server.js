// Real servers for tests: Godwit, or Debian's redis-server where a test is checked against it.
//
// A server gets a free port and a temporary folder, and is stopped by its pid when the test ends. A
// Godwit that exits with a failure, writes an assertion or a sanitizer's report, or has to be
// killed fails the test that started it, whatever else the test saw.
//
//   GODWIT_BIN   the program, bin/godwit by default      GODWIT_SLOW  stretches every time bound
//   CHECK_LOG    1: each Godwit that ends cleanly applies its whole change log to an empty database, and fails
//                its test if that is not what it holds (check-log-at-exit)
//   E2E_SERVER   redis: run the tests against redis-server, to check the tests themselves
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, within } from './eventually.js';
import { Resp } from './resp.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const GODWIT = path.resolve(ROOT, process.env.GODWIT_BIN || 'bin/godwit');
export const REDIS = '/usr/bin/redis-server';
export const KIND = process.env.E2E_SERVER || 'godwit';
const CHECKS_LOG = process.env.CHECK_LOG === '1';
const STOP_MS = CHECKS_LOG ? 30000 : 10000;
const REPORT =
  /Assertion .* failed|(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:|\bSIGSEGV\b/;

// Skips what only Godwit has when the tests are checked against redis-server.
export const godwitOnly = KIND === 'godwit' ? {} : { skip: 'checked against Godwit only' };

export async function freePort() {
  const listener = net.createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

export function tempDir(t, name = 'godwit-test-') {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), name));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

// A folder with a secret in a file of its own, as an operator would hand it over.
export function writeSecret(dir, text, name = 'secret') {
  const file = path.join(dir, name);
  fs.writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return file;
}

export class Server {
  constructor(child, facts) {
    Object.assign(this, facts);
    this.child = child;
    this.pid = child.pid;
    this.out = '';
    this.log = '';
    this.isStopped = false;
    child.stdout.on('data', (d) => (this.out = (this.out + d).slice(-1 << 22)));
    child.stderr.on('data', (d) => (this.log = (this.log + d).slice(-1 << 22)));
    this.exited = new Promise((resolve) => {
      child.on('error', (err) => resolve({ code: null, signal: null, err }));
      child.on('close', (code, signal) => resolve({ code, signal }));
    });
    this.exited.then((how) => (this.exit = how));
  }

  async connect(options = {}) {
    return Resp.connect({ port: this.port, password: this.password, ...options });
  }

  // A client that lives as long as the test.
  async client(t, options = {}) {
    const client = await this.connect(options);
    t.after(() => client.close());
    return client;
  }

  statusBytes(name) {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024;
  }

  rssBytes() {
    return this.statusBytes('VmRSS');
  }

  // The most since forgetPeak().
  peakRssBytes() {
    return this.statusBytes('VmHWM');
  }

  forgetPeak() {
    fs.writeFileSync(`/proc/${this.pid}/clear_refs`, '5'); // proc(5)
  }

  openFiles() {
    return fs.readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async info(section = 'everything') {
    const client = await this.connect();
    try {
      return parseInfo(await client.cmd('INFO', section));
    } finally {
      await client.close();
    }
  }

  get(pathname, options = {}) {
    return httpGet(this.adminPort, pathname, options);
  }

  signal(name) {
    process.kill(this.pid, name);
  }

  // Asks it to stop; says how it ended. `code` is what a good end is.
  async stop({ signal = 'SIGTERM', code = 0 } = {}) {
    if (this.isStopped) {
      return this.exit;
    }
    this.isStopped = true;
    if (!this.exit) {
      this.signal(signal);
    }
    return this.ended({ code });
  }

  // Waits for the end that something else has caused, and judges it.
  async ended({ code = 0 } = {}) {
    let how;

    this.isStopped = true;
    try {
      how = await within(this.exited, STOP_MS, `${this.kind} ending`);
    } catch (err) {
      process.kill(this.pid, 'SIGKILL');
      await this.exited;
      throw new Error(`${err.message}; it had to be killed\n${this.tail()}`);
    }
    if (REPORT.test(this.log) || REPORT.test(this.out)) {
      throw new Error(`${this.kind} reported a defect\n${this.tail(20000)}`);
    }
    const lost = /src=logcheck msg="[^"]*nothing will be compared".*/.exec(this.log);
    if (lost) {
      process.stderr.write(`${lost[0]}\n`);
    }
    if (how.code !== code) {
      throw new Error(
        `${this.kind} ended with ${JSON.stringify(how)}, not ${code}\n${this.tail()}`,
      );
    }
    return how;
  }

  tail(count = 4000) {
    return `stdout: ${this.out.slice(-count)}\nstderr: ${this.log.slice(-count)}`;
  }
}

export function parseInfo(text) {
  const out = {};
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) {
      out[line.slice(0, colon)] = line.slice(colon + 1);
    }
  }
  return out;
}

export async function httpGet(port, pathname, { method = 'GET', headers = {} } = {}) {
  const req = http.request({
    host: '127.0.0.1',
    port,
    path: pathname,
    method,
    headers,
    agent: false,
  });
  req.end();
  const [res] = await once(req, 'response');
  let body = '';
  res.setEncoding('utf8');
  for await (const chunk of res) {
    body += chunk;
  }
  return { status: res.statusCode, headers: res.headers, body };
}

function commandLine(kind, o) {
  if (kind === 'redis') {
    const args = ['--port', o.port, '--save', '', '--appendonly', 'no', '--daemonize', 'no'];
    args.push('--dir', o.dir, '--enable-debug-command', 'local');
    if (o.password) {
      args.push('--requirepass', o.password);
    }
    return [REDIS, [...args, ...o.args]];
  }
  const args = ['serve', '--port', o.port, '--http-port', 0, '--admin-port', o.adminPort];
  args.push('--dir', o.dir);
  if (o.passwordFile) {
    args.push('--password-file', o.passwordFile);
  }
  if (o.workers) {
    args.push('--workers', o.workers);
  }
  return [GODWIT, [...args, ...o.args]];
}

// kind       'godwit' or 'redis'        args     more arguments
// password   '' for none                workers  worker threads (Godwit)
// files      its limit of open files    ready    false: do not wait
export async function startServer(t, options = {}) {
  const kind = options.kind || KIND;
  const o = { args: [], password: 'swordfish', env: {}, ready: true, ...options };
  const secrets = o.password ? tempDir(t) : null;
  o.dir ??= tempDir(t);
  o.port ??= await freePort();
  o.adminPort ??= await freePort();
  if (o.password && kind === 'godwit') {
    o.passwordFile ??= writeSecret(secrets, o.password);
  }
  let [program, args] = commandLine(kind, o);
  if (o.files) {
    args = [`--nofile=${o.files}:${o.files}`, program, ...args];
    program = '/usr/bin/prlimit';
  }
  const check = CHECKS_LOG && kind === 'godwit' ? { GODWIT_CHECK_LOG_AT_EXIT: 'yes' } : {};
  const env = { ...cleanEnv(), ...check, ...o.env };
  const child = spawn(program, args.map(String), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const server = new Server(child, { kind, ...o });
  t.after(async () => {
    await server.stop();
  });
  if (o.ready) {
    await waitReady(server);
  }
  return server;
}

// Settings of whoever runs the tests must not reach the server under test.
export function cleanEnv() {
  const keep = Object.entries(process.env).filter(([name]) => !/^GODWIT_/.test(name));
  return Object.fromEntries(keep);
}

async function waitReady(server) {
  await eventually(
    async () => {
      if (server.exit) {
        return true;
      }
      const client = await server.connect({ timeoutMs: 1000 });
      try {
        return (await client.cmd('PING')) === 'PONG';
      } finally {
        client.close();
      }
    },
    { timeoutMs: 15000, everyMs: 20, what: `${server.kind} answering PING` },
  ).catch((err) => {
    throw new Error(`${err.message}: ${err.cause?.message}\n${server.tail()}`);
  });
  if (server.exit) {
    throw new Error(
      `${server.kind} ended at once: ${JSON.stringify(server.exit)}\n${server.tail()}`,
    );
  }
}

// A program run to its end, with a bound. Returns {code, out, err}.
export async function run(program, args, { input, env = {}, timeoutMs = 30000, cwd } = {}) {
  const child = spawn(program, args.map(String), { env: { ...cleanEnv(), ...env }, cwd });
  let out = '';
  let err = '';
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (err += d));
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  try {
    const [code, signal] = await within(once(child, 'close'), timeoutMs, `${program} ${args}`);
    return { code, signal, out, err };
  } catch (late) {
    child.kill('SIGKILL');
    throw new Error(`${late.message}\n${out.slice(-2000)}\n${err.slice(-2000)}`);
  }
}

export function hasProgram(name) {
  try {
    execFileSync('/usr/bin/which', [name], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
