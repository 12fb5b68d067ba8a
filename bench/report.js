'use strict';
// report.js - tables, and the file of results that the next run is compared with.
//
// A table is { title, notes, metrics, rows }. metrics: [{ key, title, digits }]. A row is
// { name, cells: {kind: {metric: number}}, figure, target, of }: `figure` is what the target is
// about (a ratio, say), `target` the most it may be, if there is one.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const servers = require('./servers.js');

const RESULTS = path.join(__dirname, 'results');

function number(n, digits) {
  if (n === undefined || Number.isNaN(n)) return '–';
  if (digits > 0) return n.toFixed(digits);
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ' ');
}

function pad(cells, widths) {
  return `| ${cells.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))).join(' | ')} |`;
}

function markdown(header, rows) {
  const widths = header.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i].length)));
  const rule = widths.map((w, i) => (i === 0 ? '-'.repeat(w) : `${'-'.repeat(w - 1)}:`));
  return [pad(header, widths), pad(rule, widths), ...rows.map((r) => pad(r, widths))].join('\n');
}

function isMet(row) {
  if (row.target === undefined || !Number.isFinite(row.figure)) return '';
  return row.figure <= row.target ? 'yes' : 'NO';
}

function render(table, kinds, last) {
  const present = kinds.filter((k) => table.rows.some((r) => r.cells[k] !== undefined));
  const header = [table.title,
    ...present.flatMap((k) => table.metrics.map((m) => `${servers.KINDS[k]?.title ?? k} ${m.title}`)),
    table.figure || 'godwit / redis', 'target', 'met', 'last'];
  const rows = table.rows.map((row) => [row.name,
    ...present.flatMap((k) => table.metrics.map((m) => number(row.cells[k]?.[m.key], m.digits))),
    number(row.figure, 2), number(row.target, 2), isMet(row),
    number(last.get(`${table.title}/${row.name}`), 2)]);
  const failures = table.rows.flatMap((row) => present
    .filter((k) => row.cells[k]?.failed)
    .map((k) => `- ${row.name}: ${row.cells[k].failed.replace(/\s+/g, ' ')}`));
  return [markdown(header, rows), ...(table.notes || []), ...failures].join('\n');
}

// The figures of all earlier results, the newest last so that it wins: "title/row" → figure.
function lastFigures() {
  const last = new Map();
  const files = fs.readdirSync(RESULTS).filter((f) => /^\d{4}-.*\.md$/.test(f)).sort();
  for (const file of files) {
    let title = null;
    let column = -1;
    for (const line of fs.readFileSync(path.join(RESULTS, file), 'utf8').split('\n')) {
      const cells = line.split('|').slice(1, -1).map((c) => c.trim());
      if (cells.length === 0) {
        title = null;
      } else if (title === null) {
        [title] = cells;
        column = cells.indexOf('target') - 1;
      } else if (/^[\d.]+$/.test(cells[column])) {
        last.set(`${title}/${cells[0]}`, Number(cells[column]));
      }
    }
  }
  return last;
}

function git(...args) {
  const r = spawnSync('git', args, { encoding: 'utf8', cwd: __dirname });
  return r.status === 0 ? r.stdout.trim() : '';
}

function machine(kinds) {
  const cpu = os.cpus();
  const dirty = git('status', '--porcelain', '-uno') === '' ? '' : ', with uncommitted changes';
  return [
    `- Commit ${git('rev-parse', '--short', 'HEAD') || 'unknown'}${dirty}`,
    `- ${cpu.length} × ${cpu[0].model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}`,
    ...kinds.map((k) => `- ${servers.KINDS[k].title}: ${servers.versionOf(k) || 'of this tree'}`),
    ...(servers.mayPin ? [] : ['- One core or no taskset: nothing was pinned, and servers and load disturb each other']),
  ];
}

// Writes results/NNNN-date-commit.md; returns its path.
function write(text) {
  const numbers = fs.readdirSync(RESULTS).map((f) => Number(/^(\d{4})-/.exec(f)?.[1] ?? 0));
  const nth = String(Math.max(0, ...numbers) + 1).padStart(4, '0');
  const date = new Date().toISOString().slice(0, 10);
  const file = path.join(RESULTS, `${nth}-${date}-${git('rev-parse', '--short', 'HEAD') || 'none'}.md`);
  fs.writeFileSync(file, text);
  return path.relative(process.cwd(), file);
}

module.exports = { render, lastFigures, machine, write };
