#!/usr/bin/env node
'use strict';
// run.js - runs scenarios and prints their tables; `make bench S=name` calls it.
//
//   node bench/run.js [scenario …] [--ms 2000] [--rounds 3] [--only redis,godwit] [--no-file]
//
// A scenario is a file in scenarios/ that exports about (a line) and run(ctx), which gives tables.
// Exit: 0 also when a target is missed, since a shared machine is no judge; 1 when a server gave wrong
// replies, died, or could not be measured.

const fs = require('node:fs');
const path = require('node:path');
const measure = require('./measure.js');
const report = require('./report.js');
const servers = require('./servers.js');

const ORDER = ['get', 'set', 'latency', 'beside', 'ranges', 'memory', 'types', 'members', 'publish',
  'leaderboard', 'workers', 'table'];

function parseArgs(argv) {
  const opts = { names: [], ms: 2000, rounds: 3, file: true, only: Object.keys(servers.KINDS).filter((k) => !servers.KINDS[k].byChoice) };
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--ms') opts.ms = Number(argv[++i]);
    else if (argv[i] === '--rounds') opts.rounds = Number(argv[++i]);
    else if (argv[i] === '--only') opts.only = argv[++i].split(',');
    else if (argv[i] === '--no-file') opts.file = false;
    else if (argv[i].startsWith('-')) throw new Error(`unknown option ${argv[i]}`);
    else opts.names.push(argv[i]);
  }
  const known = fs.readdirSync(path.join(__dirname, 'scenarios')).map((f) => path.basename(f, '.js'));
  const rank = (n) => (ORDER.includes(n) ? ORDER.indexOf(n) : ORDER.length);
  const unknown = opts.names.find((n) => !known.includes(n));
  if (unknown !== undefined) throw new Error(`no scenario ${unknown}; there are ${known.join(', ')}`);
  if (opts.names.length === 0) opts.names = known.sort((a, b) => rank(a) - rank(b));
  if (!(opts.ms > 0) || !(opts.rounds > 0)) throw new Error('--ms and --rounds are numbers above 0');
  return opts;
}

// What a scenario is given: the settings, the helpers, and servers that are ended when it is over.
function context(opts, kinds) {
  const started = [];
  return {
    ...measure,
    ms: opts.ms,
    rounds: opts.rounds,
    kinds,
    ask: servers.ask,
    settledRssBytes: servers.settledRssBytes,
    // Starts those of the wanted kinds that are there, and such a one by choice as it names itself; one that does not start is reported and left out.
    async start(wanted = kinds, startOpts = {}) {
      const list = [];
      for (const kind of [...kinds, ...wanted.filter((k) => servers.isByChoice(k) && !kinds.includes(k))]) {
        if (!wanted.includes(kind)) continue;
        try {
          const server = await servers.start(kind, startOpts);
          started.push(server);
          list.push(server);
        } catch (e) {
          process.exitCode = 1;
          console.log(`${kind}: left out: ${e.message}`);
        }
      }
      return list;
    },
    stop: (server) => servers.stop(server),
    async end() {
      for (const server of started) await servers.stop(server);
    },
  };
}

async function main() {
  const opts = parseArgs(process.argv.slice(2));
  const kinds = Object.keys(servers.KINDS).filter((k) => opts.only.includes(k) && servers.isInstalled(k));
  const missing = opts.only.filter((k) => !kinds.includes(k));
  const head = [...report.machine(kinds), ...missing.map((k) => `- ${k}: skipped, not there`),
    `- Rounds: ${opts.rounds} of ${opts.ms} ms, the servers in turn; medians`];
  const last = report.lastFigures();
  const sections = [];

  console.log(head.join('\n'));
  for (const name of opts.names) {
    const scenario = require(`./scenarios/${name}.js`);
    const ctx = context(opts, kinds);
    const begin = Date.now();
    console.log(`\n## ${name}: ${scenario.about}\n`);
    try {
      for (const table of await scenario.run(ctx)) {
        const text = report.render(table, [...new Set([...kinds, ...(table.columns || [])])], last);
        if (table.rows.some((r) => Object.values(r.cells).some((c) => c.failed))) process.exitCode = 1;
        console.log(`${text}\n`);
        sections.push(`## ${name}: ${scenario.about}\n\n${text}\n`);
      }
    } finally {
      await ctx.end();
    }
    console.log(`(${((Date.now() - begin) / 1000).toFixed(0)} s)`);
  }
  if (opts.file) {
    const file = report.write(`# Results\n\n${head.join('\n')}\n\n${sections.join('\n')}`);
    console.log(`\nwritten to ${file}`);
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    servers.killAll();
    process.exit(130);
  });
}
main().catch((e) => {
  servers.killAll();
  console.error(`bench: ${e.message}`);
  process.exit(1);
});
