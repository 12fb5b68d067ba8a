'use strict';
// measure.js - runs the load program against a server and reads its lines; medians over rounds.

const { spawn } = require('node:child_process');
const path = require('node:path');
const servers = require('./servers.js');

const LOAD = path.resolve(process.env.LOAD || 'build/release/load');

function parseLine(line) {
  const [kind, ...pairs] = line.split(' ');
  const fields = Object.fromEntries(pairs.map((p) => {
    const [name, value] = p.split('=');
    return [name, /^[\d.]+$/.test(value) ? Number(value) : value];
  }));
  return { kind, ...fields };
}

// commands: [[command, reply], …] as load_cmd.c reads them.
function streamArgs({ commands = [], ...stream }) {
  return ['--stream', Object.entries(stream).map(([k, v]) => `${k}=${v}`).join(','),
    ...commands.flatMap(([command, reply]) => [...(command ? ['--command', command] : []), '--reply', reply])];
}

// Runs one load. Resolves to { streams: {label: fields}, total, cpuUs } with cpuUs the server's CPU
// an operation; rejects with what the load program said.
function load(server, streams, { ms = 2000, warmupMs = 200, unpinned = false } = {}) {
  const command = servers.pinned(unpinned ? null : servers.LOAD_CORE, [LOAD,
    '--port', String(server.port), '--proto', server.proto, '--server-pid', String(server.pid),
    '--ms', String(ms), '--warmup-ms', String(warmupMs),
    ...(server.passwordFile ? ['--password-file', server.passwordFile] : []),
    ...streams.flatMap(streamArgs)]);
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), ms + 120000);
    child.stdout.on('data', (d) => { out += d; });
    child.stderr.on('data', (d) => { err += d; });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      const lines = out.trim().split('\n').map(parseLine);
      const total = lines.find((l) => l.kind === 'total');
      if (code !== 0 || total === undefined) {
        reject(new Error(`${server.title}: ${err.trim() || `the load ended with ${code}`}`));
        return;
      }
      const byLabel = lines.filter((l) => l.kind === 'stream').map((l) => [l.label, l]);
      resolve({
        streams: Object.fromEntries(byLabel), total, cpuUs: total.server_cpu_us / total.ops,
      });
    });
  });
}

// Every key once (or `count` writes), in order, in deep pipelines.
function preload(server, { keys, value, count = keys, first = 0, ttl_ms: ttl = 0 }) {
  return load(server, [{ op: 'set', dist: 'seq', count, keys, first, value, ttl_ms: ttl,
    conns: 16, pipeline: 64 }]);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const mid = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
}

// Runs `once(server)` on the servers in turn, `rounds` times: A B C A B C, so that what disturbs
// the machine for a while meets all of them. `once` gives {metric: number}; the answer is a map of
// medians, kind → {metric: number}, or {failed: reason}.
async function interleave(list, rounds, once) {
  const seen = new Map(list.map((s) => [s.kind, []]));
  const failed = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const server of list) {
      if (failed.has(server.kind)) continue;
      try {
        seen.get(server.kind).push(await once(server));
      } catch (e) {
        failed.set(server.kind, e.message);
      }
    }
  }
  return Object.fromEntries(list.map(({ kind }) => {
    if (failed.has(kind)) return [kind, { failed: failed.get(kind) }];
    const rows = seen.get(kind);
    return [kind, Object.fromEntries(Object.keys(rows[0]).map((m) => [m, median(rows.map((r) => r[m]))]))];
  }));
}

module.exports = { load, preload, interleave, median };
