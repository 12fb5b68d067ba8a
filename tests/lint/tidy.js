// Our own rules, those that no other tool knows: what may not be called and what to use instead, TODOs
// without an issue, rows that nobody uses, links in documents, files that are not generated anew.
// Sizes are printed without failing.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
process.chdir(root);
const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
  .toString()
  .split('\0')
  .filter((f) => f !== '' && fs.existsSync(f));
const FOLDERS = /^(base|proto|edge|replication|node|router|queue|stream|cli)\//;
const text = new Map();
const read = (f) => text.get(f) ?? text.set(f, fs.readFileSync(f, 'utf8')).get(f);
let failures = 0;

function fail(file, line, message) {
  console.log(`${file}:${line}: ${message}`);
  failures++;
}

// What, where it is allowed, and what to use instead. A line may say `lint: <word> <reason>` to be let off.
const call = (names) => new RegExp(`(?<![\\w.>])(${names})\\s*\\(`);
const BANS = [
  [call('strcpy|strcat|sprintf|vsprintf|stpcpy'), /^(tests|bench)\//, 'struct buf (base/buf.h)'],
  [call('strtok|strerror|localtime|gmtime|asctime|ctime|rand|random|srand'), /^bench\//, 'a form that threads can share: %m, gmtime_r, base/rand.h'],
  [call('atoi|atol|atoll|strtol|strtoll|strtoul|strtoull'), /^proto\/number\.c$|^(bench|tests)\//, 'parse_i64, parse_u64 (base/parse.h)'],
  [call('memmove'), /^base\/buf\.c$|^bench\//, 'buf_move (base/buf.h), which says that the views overlap'],
  [call('sleep|usleep|nanosleep'), /^(tests|bench)\//, 'a timer'],
  [call('printf|vprintf|puts|putchar|fprintf|fputs'), /^cli\/(main|serve)\.c$|^base\/mem\.c$|^(tests|bench)\//, 'log_… or a struct buf'],
  [/\bvolatile\b/, /^(tests|bench)\//, 'an atomic'],
  [call('atomic_thread_fence|atomic_signal_fence|__sync_synchronize'), /^$/, 'an ordered access that ThreadSanitizer can see'],
  [call('signal'), /^$/, 'sigaction, or a signalfd'],
  [call('getenv|secure_getenv'), /^base\/conf_load\.c$|^(tests|bench)\//, 'a row in an options.def'],
  [call('malloc|calloc|realloc|free|strdup|aligned_alloc|posix_memalign|alloca'), /^base\/|^(tests|bench)\//, 'base/mem.h'],
  [call('atomic_(?:load|store|exchange|fetch_(?:add|sub|or|and|xor)|compare_exchange_(?:weak|strong))'), /^(tests|bench)\//, 'the _explicit form with its order'],
];

// Comments and literals out, line structure kept, so that a ban is about code.
function codeOf(source) {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, (m) =>
    m.startsWith('/') ? m.replace(/[^\n]/g, ' ') : m[0] + ' '.repeat(Math.max(0, m.length - 2)) + m[0],
  );
}

function checkBans(file) {
  const lines = read(file).split('\n');
  codeOf(read(file))
    .split('\n')
    .forEach((code, i) => {
      for (const [pattern, allowed, instead] of BANS) {
        const hit = pattern.exec(code);
        if (hit && !allowed.test(file) && !/lint: /.test(lines[i] + (lines[i - 1] ?? ''))) {
          fail(file, i + 1, `${hit[0].trim()} is banned; use ${instead}`);
        }
      }
    });
}

function checkText(file) {
  read(file)
    .split('\n')
    .forEach((line, i) => {
      if (/\b(TODO|FIXME|XXX)\b(?! ?\(?#\d)/.test(line) && !file.startsWith('tests/lint/')) {
        fail(file, i + 1, 'a TODO needs an issue: TODO #12');
      }
      if (/[ \t]+$/.test(line)) fail(file, i + 1, 'blanks at the end of the line');
    });
  if (read(file).length > 0 && !read(file).endsWith('\n')) fail(file, 1, 'no newline at the end');
}

function checkHeader(file) {
  const guard = `${file.replace(/\.h$/, '').replace(/[/.]/g, '_').toUpperCase()}_H`;
  const source = read(file);
  if (/_(declare|define)\.h$/.test(file)) return;
  if (!source.includes(`#ifndef ${guard}\n#define ${guard}\n`)) fail(file, 1, `the guard should be ${guard}`);
  if (!source.startsWith(`/* ${path.basename(file)} - `)) {
    fail(file, 1, `the first line should say what it is for: /* ${path.basename(file)} - …`);
  }
}

function checkIncludes(file) {
  read(file)
    .split('\n')
    .forEach((line, i) => {
      const m = /^#include "([^"]+)"/.exec(line);
      if (m && !m[1].endsWith('.pb-c.h') && !fs.existsSync(m[1])) fail(file, i + 1, `includes are written from the root: ${m[1]}`);
      if (/^\s*typedef\s+(struct|enum|union)\b/.test(line)) fail(file, i + 1, 'no typedef for structs and enums');
    });
}

// A row that nobody reads is a setting or a metric that lies.
function checkRows() {
  const code = files.filter((f) => FOLDERS.test(f) && /\.[ch]$/.test(f)).map(read).join('\n');
  for (const file of files.filter((f) => /^[a-z]+\/(options|metrics)\.def$/.test(f))) {
    const prefix = file.endsWith('options.def') ? 'opt_' : 'metric_';
    const rows = read(file).matchAll(/^(?:OPT|METRIC)\((\w+)[\s\S]*?"\)$/gm);
    for (const [row, symbol] of rows) {
      const line = read(file).slice(0, read(file).indexOf(row)).split('\n').length;
      if (!row.includes('CONF_COMPAT') && symbol !== 'config' && !new RegExp(`\\b${prefix}${symbol}\\b`).test(code)) {
        fail(file, line, `${prefix}${symbol}: nobody uses this row`);
      }
    }
  }
}

function checkLinks(file) {
  for (const [, target] of read(file).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    if (!fs.existsSync(path.join(path.dirname(file), target))) fail(file, 1, `dead link: ${target}`);
  }
}

function printSizes(file) {
  const lines = read(file).split('\n').length - 1;
  const most = file.endsWith('.h') ? 250 : 800;
  if (lines > most) console.log(`note: ${file}: ${lines} lines (${most})`);
  if (!file.endsWith('.c')) return;
  let start = 0;
  let head = '';
  read(file)
    .split('\n')
    .forEach((line, i, all) => {
      if (line === '{' && i > 0) {
        start = i + 1;
        head = all[i - 1];
      }
      if (line === '}' && start > 0) {
        const name = /(\w+)\s*\(/.exec(head)?.[1] ?? head.trim();
        if (i + 1 - start > 70) console.log(`note: ${file}:${start}: ${name} has ${i + 1 - start} lines (70)`);
        start = 0;
      }
    });
}

const isText = (f) => /\.(c|h|def|js|md|sh|proto|txt|yml|spec)$/.test(f) || /^(Makefile|\.ci\/run)$/.test(f);
for (const file of files) {
  if (isText(file) && !/results\//.test(file)) checkText(file);
  if (/\.[ch]$/.test(file)) checkBans(file);
  if (/\.[ch]$/.test(file)) checkIncludes(file);
  if (/\.h$/.test(file)) checkHeader(file);
  if (/\.md$/.test(file)) checkLinks(file);
  if (/\.[ch]$/.test(file)) printSizes(file);
}
checkRows();
console.log(`tidy.js: ${files.length} files, ${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
