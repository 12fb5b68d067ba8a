'use strict';
// The node's table alone (bench/table.c), without server or sockets. The floor is what two dependent
// reads of random memory cost at the same moment, since the machine's memory is shared too.
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const servers = require('../servers.js');

const PROGRAM = path.resolve(process.env.BENCH_TABLE || 'build/release/bench_table');
const ENTRIES = 10000000;
const OPS = 1000000; // of each of the program's rounds
const ROWS = [['fill', null], ['hit', 'floor'], ['miss', 'floor'], ['hit_batch16', 'floor_batch16'],
  ['hit_batch64', 'floor_batch64'], ['write', 'floor'], ['write_batch64', 'floor_batch64'],
  ['insert_p50', null], ['insert_p9999', null], ['insert_max', null]];

function runProgram() {
  const [command, ...args] = servers.pinned(servers.LOAD_CORE, [PROGRAM, String(ENTRIES), String(OPS)]);
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: 180000 }, (e, out, err) => (e ? reject(new Error(err || e.message)) : resolve(out)));
  });
}

exports.about = `the table alone, ${ENTRIES / 1e6} M entries: look-ups and writes`;
exports.run = async (ctx) => {
  if (!fs.existsSync(PROGRAM)) return [{ title: 'table', metrics: [], rows: [], notes: ['skipped: not built'] }];
  const out = await runProgram();
  const seen = {};
  for (const [, name, ns] of out.matchAll(/^table name=(\S+) ns=(\S+)$/gm)) (seen[name] ??= []).push(Number(ns));
  const ns = Object.fromEntries(Object.entries(seen).map(([name, all]) => [name, ctx.median(all)]));
  const rows = ROWS.map(([name, floor]) => ({
    name, cells: { table: { ns: ns[name], floor: ns[floor] } }, figure: ns[name] / ns[floor],
  }));
  const bytes = /table_bytes_per_entry=(\S+)/.exec(out)[1];
  return [{
    title: 'table', figure: '× floor', columns: ['table'], rows,
    metrics: [{ key: 'ns', title: 'ns', digits: 1 }, { key: 'floor', title: 'floor ns', digits: 1 }],
    notes: [`\n${bytes} bytes an entry beside the entry itself. insert_max holds pauses of the machine too.`],
  }];
};
