// Reads transcripts: blocks, commands as a shell would split them, replies as README.md writes
// them.

// Blocks are apart by an empty line; a block's first comment is its name. "[since 8.0]" or
// "[godwit]" in it says that redis-server 7.0 answers otherwise.
export function parseTranscript(text) {
  const blocks = [];
  let block = null;

  text.split('\n').forEach((row, index) => {
    const line = index + 1;
    if (row.trim() === '') {
      block = null;
      return;
    }
    if (block === null) {
      block = { name: `line ${line}`, isNewer: false, lines: [] };
      blocks.push(block);
    }
    if (row.startsWith('#')) {
      if (block.lines.length === 0 && block.name.startsWith('line ')) {
        block.name = row.slice(1).trim();
        block.isNewer = /\[(since|godwit)/.test(row);
      }
      return;
    }
    const match = /^(>|<[23]?|~|@) ?(.*)$/.exec(row);
    if (match === null) {
      throw new Error(`line ${line}: neither > < ~ @ nor #: ${row}`);
    }
    block.lines.push({ sign: match[1], text: match[2], line });
  });
  return blocks.filter((b) => b.lines.length > 0);
}

function unescape(body) {
  const text = body.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, code) => {
    const named = { n: '\n', r: '\r', t: '\t', 0: '\0' };
    return code.length === 3
      ? String.fromCharCode(parseInt(code.slice(1), 16))
      : (named[code] ?? code);
  });
  return Buffer.from(text, 'latin1');
}

export function splitCommand(text) {
  const words = text.match(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S+/g);
  return words.map((w) => {
    if (w.startsWith('"')) {
      return unescape(w.slice(1, -1));
    }
    return Buffer.from(w.startsWith("'") ? w.slice(1, -1).replaceAll("\\'", "'") : w);
  });
}

// A reply's text as a tree: {kind, …}. Recursive descent over one line.
export function parseReply(text) {
  const error = /^error ?(.*)$/.exec(text);
  if (error) {
    return { kind: 'error', begins: error[1] };
  }
  const state = { text, at: 0 };
  const value = parseValue(state);
  skipSpace(state);
  if (state.at !== text.length) {
    throw new Error(`not a reply: ${text} (at ${state.at})`);
  }
  return value;
}

function skipSpace(s) {
  while (/[\s,]/.test(s.text[s.at] ?? '')) {
    s.at++;
  }
}

function take(s, pattern) {
  const match = new RegExp(pattern, 'y');
  match.lastIndex = s.at;
  const found = match.exec(s.text);
  if (found !== null) {
    s.at += found[0].length;
  }
  return found;
}

function parseList(s, end) {
  const items = [];
  for (;;) {
    skipSpace(s);
    if (s.text[s.at] === end) {
      s.at++;
      return items;
    }
    items.push(parseValue(s));
  }
}

function parseValue(s) {
  skipSpace(s);
  const unordered = take(s, 'unordered\\s+') !== null;
  const isSet = take(s, 'set\\s+(?=\\[)') !== null;
  const string = take(s, '"((?:[^"\\\\]|\\\\.)*)"');
  if (string) {
    return { kind: 'bulk', bytes: unescape(string[1]) };
  }
  const double = take(s, '-?\\d+\\.\\d+(?![\\w.])');
  if (double) {
    return { kind: 'double', value: Number(double[0]) };
  }
  const number = take(s, '-?\\d+(?![\\w.])');
  if (number) {
    return { kind: 'int', text: number[0] };
  }
  if (s.text[s.at] === '[') {
    s.at++;
    return { kind: isSet ? 'set' : 'array', items: parseList(s, ']'), unordered };
  }
  if (s.text[s.at] === '{') {
    s.at++;
    return { kind: 'map', items: parseList(s, '}') };
  }
  const word = take(s, '[^\\s,\\[\\]{}"]+');
  if (word === null) {
    throw new Error(`not a reply: ${s.text} (at ${s.at})`);
  }
  return word[0] === 'nil' ? { kind: 'nil' } : { kind: 'word', text: word[0] };
}

function sameList(wanted, got, unordered) {
  if (wanted.length !== got.length) {
    return false;
  }
  if (!unordered) {
    return wanted.every((w, i) => sameReply(w, got[i]));
  }
  const left = [...got];
  return wanted.every((w) => {
    const i = left.findIndex((g) => sameReply(w, g));
    return i >= 0 && left.splice(i, 1).length === 1;
  });
}

// Fields and values, in any order of the fields: a map in RESP3, flat in RESP2.
function samePairs(wanted, got) {
  const pairs = (list) => list.flatMap((k, i) => (i % 2 ? [] : [[k, list[i + 1]]]));
  const left = pairs(got);
  return pairs(wanted).every(([k, v]) => {
    const i = left.findIndex(([gk, gv]) => sameReply(k, gk) && sameReply(v, gv));
    return i >= 0 && left.splice(i, 1).length === 1;
  });
}

export function sameReply(wanted, reply) {
  switch (wanted.kind) {
    case 'error':
      return reply.t === '-' && reply.s.startsWith(wanted.begins);
    case 'nil':
      return ['$-1', '*-1', '_'].includes(reply.t);
    case 'int':
      return reply.t === ':' && reply.s === wanted.text;
    case 'double':
      return reply.t === ',' && Number(reply.s) === wanted.value;
    case 'word':
      return reply.t === '+' && reply.s === wanted.text;
    case 'bulk':
      return reply.t === '$' && reply.b.equals(wanted.bytes);
    case 'array':
      return reply.t === '*' && sameList(wanted.items, reply.a, wanted.unordered);
    case 'set':
      return (reply.t === '~' || reply.t === '*') && sameList(wanted.items, reply.a, true);
    case 'map':
      return (
        (reply.t === '%' || reply.t === '*') &&
        wanted.items.length === reply.a.length &&
        samePairs(wanted.items, reply.a)
      );
    default:
      throw new Error(`no such kind: ${wanted.kind}`);
  }
}
