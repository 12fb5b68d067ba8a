// Where Godwit means to differ from Debian's redis-server 7.0, and what cannot be compared byte for
// byte. Nothing else may differ: the differential test compares what is left, type for type.
//
// A row says which replies it is about, why, and how a pair of them is judged: `same(a, b)` gets
// Redis' reply first and answers whether the two agree in what matters.
import { show } from '../lib/resp.js';
import { KIND } from '../lib/server.js';

// Clocks are read at two moments, on two servers, on a machine that is busy.
const TOLERANCE_S = 15;

function isInt(reply) {
  return reply.t === ':';
}

function isStringForm(reply) {
  return /^\$"(int|embstr|raw)"$/.test(show(reply));
}

function isError(reply) {
  return reply.t === '-';
}

function nearBy(limit) {
  return (a, b) => {
    if (!isInt(a) || !isInt(b)) {
      return show(a) === show(b);
    }
    const [x, y] = [Number(a.s), Number(b.s)];
    return x < 0 || y < 0 ? x === y : Math.abs(x - y) <= limit;
  };
}

function sameType(a, b) {
  return a.t === b.t && (!isError(a) || a.s === b.s);
}

function sorted(list) {
  return [...list].sort().join(' ');
}

function anyOrder(a, b) {
  return a.t === b.t && a.a && b.a
    ? sorted(a.a.map(show)) === sorted(b.a.map(show))
    : show(a) === show(b);
}

function pairsOf(flat) {
  return flat.map((_, i) => (i % 2 ? '' : `${show(flat[i])}=${show(flat[i + 1])}`)).filter(Boolean);
}

// Fields and values, flat or as a map.
function anyPairOrder(a, b) {
  return a.t === b.t && a.a && b.a && a.a.length % 2 === 0 && b.a.length % 2 === 0
    ? sorted(pairsOf(a.a)) === sorted(pairsOf(b.a))
    : show(a) === show(b);
}

// [cursor, elements]. Only a COUNT that covers everything makes two servers stop at the same place.
function scanned(inner) {
  return (a, b, command) => {
    if (a.t !== '*' || b.t !== '*' || a.a.length !== 2 || b.a.length !== 2) {
      return show(a) === show(b);
    }
    const [x, y] = [a.a, b.a];
    // A cursor that nobody gave out is a place of its own in either table.
    const isInvented = command.some((arg) => /^[-+]\d/.test(String(arg)));
    if (isInvented || !command.some((arg) => /^10{3,}$/.test(String(arg)))) {
      return x[0].t === y[0].t && x[1].t === y[1].t;
    }
    return show(x[0]) === show(y[0]) && inner(x[1], y[1]);
  };
}

function randomFields(a, b, command) {
  const count = Number(command[2]);
  if (!a.a || !b.a) {
    return sameType(a, b); // one random field, or none
  }
  if (a.t !== b.t || a.a.length !== b.a.length) {
    return false;
  }
  const shapes = (r) => r.a.map((e) => (e.a ? `[${e.a.map((x) => x.t)}]` : e.t)).join(' ');
  if (count < 0) {
    return shapes(a) === shapes(b);
  }
  // Asked for at least as many as there are, both must answer all of them.
  return shapes(a) === shapes(b) && (count < 1000 || sameSet(a, b, command.length > 3));
}

function sameSet(a, b, withValues) {
  const nested = a.a.some((e) => e.a);
  return withValues && !nested ? anyPairOrder(a, b) : anyOrder(a, b);
}

// The text that Godwit gives, where it follows a later release than 7.0.
function says(pattern) {
  return (a, b) => (isError(b) ? pattern.test(b.s) : false);
}

const upper = (command, i) => String(command[i] ?? '').toUpperCase();
const named =
  (...names) =>
  (command) =>
    names.includes(upper(command, 0));
const sub =
  (name, ...subs) =>
  (command) =>
    upper(command, 0) === name && subs.includes(upper(command, 1));

// HELLO's facts but for those that are each server's own.
function sameFacts(a, b) {
  const facts = (r) => pairsOf(r.a).map((pair) => pair.replace(/^\$"(version|id)"=.*/, '$1'));
  return a.t === b.t && a.a ? sorted(facts(a)) === sorted(facts(b)) : show(a) === show(b);
}

export const DIFFERENCES = [
  {
    about: named('HELLO'),
    why: 'each has its own version and connection ids',
    same: sameFacts,
  },
  {
    about: sub('CLIENT', 'ID', 'LIST', 'INFO', 'HELP'),
    why: 'connection ids, ages, memory; prose',
    same: sameType,
  },
  {
    about: named('TTL', 'EXPIRETIME'),
    why: 'the two servers read their clocks at different moments',
    same: nearBy(TOLERANCE_S),
  },
  {
    about: named('PTTL', 'PEXPIRETIME'),
    why: 'the same, in milliseconds',
    same: nearBy(TOLERANCE_S * 1000),
  },
  {
    about: sub('OBJECT', 'IDLETIME'),
    why: 'keys have a clock only under a policy that needs one; Redis shares small integers, clock included',
    same: sameType,
  },
  // A script that ends in an error, by KILL or over its budget has changed nothing; Redis keeps what was done.
  // The texts of the differential test write nothing before they fail, so that no row is needed for it.
  {
    about: named('DBSIZE'),
    why: 'Redis counts a key that was SET with a time past until its sweep; both count what has expired until theirs',
    same: (a, b) => isInt(a) && isInt(b) && Math.abs(Number(b.s) - Number(a.s)) <= 2,
  },
  {
    about: named('RANDOMKEY'),
    why: 'random: null or a key, agreed by DBSIZE and KEYS',
    same: sameType,
  },
  {
    about: named('HRANDFIELD'),
    why: 'random: count and types are compared, and the set where all fields were asked for',
    same: randomFields,
  },
  {
    about: named('KEYS', 'HKEYS', 'HVALS'),
    why: "the order is a table's (Redis' tip nondeterministic_output_order)",
    same: anyOrder,
  },
  {
    about: named('HGETALL'),
    why: 'the same, for fields and values',
    same: anyPairOrder,
  },
  {
    about: named('SCAN'),
    why: 'the same; COUNT covers everything, so both cursors are 0',
    same: scanned(anyOrder),
  },
  {
    about: named('HSCAN'),
    why: 'the same, for fields and values',
    same: scanned(anyPairOrder),
  },
  {
    about: named('DUMP'),
    why: 'the same value has many payloads (LZF, listpack or not); dump.test.js exchanges them',
    same: sameType,
  },
  {
    about: sub('MEMORY', 'USAGE'),
    why: 'two allocators and two layouts; Redis 7.0 also measures a key whose time has passed',
    same: (a, b) => sameType(a, b) || (isInt(a) && ['_', '$-1'].includes(b.t)),
  },
  {
    about: sub('OBJECT', 'ENCODING'),
    why: 'In Redis also a write that changes no byte (SETBIT to what it was, APPEND of nothing) makes a string raw, and a field that was long for a moment makes its hash a table for good; tests/spec has exact ones',
    same: (a, b) =>
      (show(a) === '$"raw"' && isStringForm(b)) ||
      (show(a) === '$"hashtable"' && show(b) === '$"listpack"') ||
      (show(a) === '$"quicklist"' && show(b) === '$"listpack"'),
  },
  {
    about: sub('OBJECT', 'REFCOUNT'),
    why: 'Redis shares small integers; Godwit shares no values',
    same: sameType,
  },
  {
    about: sub('OBJECT', 'HELP'),
    why: 'prose',
    same: sameType,
  },
  {
    about: (c) => named('UNLINK')(c) && c.length === 1,
    why: 'answers 0: clients of the REST service send it with no keys (spec/redis-rest.md 2.8)',
    mustDiffer: true,
    same: (a, b) => b.t === ':' && b.s === '0',
  },
  {
    about: (c) => named('COPY')(c) && String(c[1]) === String(c[2]),
    why: 'copying a key to itself answers 0 (spec/redis-rest.md 2.8)',
    same: (a, b) => isError(a) && b.t === ':' && b.s === '0',
  },
  {
    about: named('LCS'),
    why: 'a smaller bound on its table: one command may not hold up others for long (node/cmd/lcs.c)',
    same: says(/^ERR Insufficient memory, transient memory for LCS/),
  },
  {
    about: named('BITCOUNT', 'BITPOS'),
    why: '7.2 checks the arguments before it looks for the key; 7.0 answers for a missing one',
    same: (a, b) =>
      (isInt(a) || /^WRONGTYPE/.test(a.s)) &&
      says(/^ERR (value is not an integer|syntax error)|^ERR The bit argument/)(a, b),
  },
];

// What one of the two refuses and the other does not must not stand in a transaction: EXEC would carry out
// the one and drop the other. Such commands become a PING there.
export function safeInTransactions(commands) {
  let isOpen = false;
  return commands.map((command) => {
    const name = upper(command, 0);
    isOpen = name === 'MULTI' || (isOpen && !['EXEC', 'DISCARD', 'RESET'].includes(name));
    const isRefused =
      (name === 'UNLINK' && command.length === 1) ||
      // Its answer may come later, which no part of a section can.
      name === 'AUTH' ||
      (name === 'HELLO' && upper(command, 2) === 'AUTH') ||
      // A round through all workers cannot be part of a section.
      sub('CLIENT', 'LIST', 'KILL', 'PAUSE', 'UNPAUSE', 'UNBLOCK')(command);
    return isOpen && isRefused ? ['PING'] : command;
  });
}

// Null if the replies agree, else why they do not.
export function disagreement(command, a, b) {
  const row = DIFFERENCES.find((r) => r.about(command));
  const equal = show(a) === show(b);
  // Against itself, to check the test, redis-server has none of the meant differences.
  const same = equal && !(row?.mustDiffer && KIND !== 'redis') ? true : row?.same(a, b, command);
  return same ? null : row ? `(compared as: ${row.why})` : '(compared exactly)';
}
