// Where Godwit means to differ from Debian's redis-server 7.0, and what cannot be compared byte for
// byte. Nothing else may differ: the differential test compares what is left, type for type.
//
// A row says which replies it is about, why, and how a pair of them is judged: `same(a, b)` gets
// Redis' reply first and answers whether the two agree in what matters.
import { quote, show } from '../lib/resp.js';
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

// Replies of XINFO and XPENDING with what is a moment's left out: times, the inner nodes of a tree that
// Godwit has not, and consumers for whom nothing is pending, whom 7.2 makes when they ask, 7.0 when they get something.
const OF_A_MOMENT = ['radix-tree-nodes', 'seen-time', 'active-time', 'idle', 'inactive'];

function stripped(reply) {
  if (isInt(reply) && reply.s.length > 11) {
    return 'a moment'; // of delivery, in lists without names
  }
  if (!reply.a) {
    return reply.t === '_' ? '$-1' : `${reply.t}${reply.s ?? (reply.b ?? '').toString('latin1')}`;
  }
  const [a, out] = [reply.a, []];
  for (let i = 0; i < a.length; i++) {
    const name = a[i].b?.toString();
    if (i % 2 === 0 && OF_A_MOMENT.includes(name)) {
      i++;
    } else if (i % 2 === 0 && name === 'consumers' && isInt(a[i + 1])) {
      i++;
    } else if (!isIdleConsumer(a[i])) {
      out.push(stripped(a[i]));
    }
  }
  return `[${out.join(' ')}]`;
}

function isIdleConsumer(reply) {
  const names = (reply.a ?? []).map((e) => e.b?.toString());
  const at = names.indexOf(names.includes('seen-time') ? 'pel-count' : 'pending');
  return (names.includes('seen-time') || names.includes('idle')) && reply.a[at + 1]?.s === '0';
}

const sameStream = (a, b) => stripped(a) === stripped(b);

// Entries whose third part is an idle time, or a moment with its consumer before it.
function samePending(a, b) {
  const part = (r) => (r.a ?? []).map((e) => (e.a ?? []).filter((_, i) => i !== 2).map(show));
  return a.t === b.t && (a.a ? show2(part(a)) === show2(part(b)) : show(a) === show(b));
}

const show2 = (lists) => lists.map((l) => l.join(' ')).join('\n');

// All of it in any order, also within.
function unordered(reply) {
  return reply.a ? `${reply.t}[${reply.a.map(unordered).sort().join(' ')}]` : show(reply);
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

const hasWord = (command, word) => command.some((_, i) => i > 1 && upper(command, i) === word);

// A reply with numbers in one spelling.
function canonical(reply) {
  if (reply.a) {
    return `${reply.t}[${reply.a.map(canonical).join(' ')}]`;
  }
  const text = String(reply.t === '$' ? reply.b : reply.s);
  const isNumber = (reply.t === '$' || reply.t === ',') && /^-?[\d.]+(e[-+]\d+)?$/.test(text);
  return isNumber ? reply.t + Number(text) : show(reply);
}

function sameNumbers(a, b) {
  return canonical(a) === canonical(b);
}

// Members and scores in any order, nested or flat; or members alone.
function sameMembers(a, b) {
  const parts = (r) => r.a.map(canonical);
  const pairs = (r) => parts(r).map((x, i, all) => (i % 2 ? '' : `${x}=${all[i + 1]}`));
  return (
    sameNumbers(a, b) ||
    (a.t === b.t && a.a && b.a && a.a.length === b.a.length &&
      (sorted(parts(a)) === sorted(parts(b)) && (a.a.length % 2 === 1 || sorted(pairs(a)) === sorted(pairs(b)) || a.a.every((x) => x.a))))
  );
}

// Without COUNT both find the same; with it, of equally far ones, whatever was found first.
function searched(a, b, command) {
  const counts = command.some((arg) => String(arg).toUpperCase() === 'COUNT');
  if (!a.a || !b.a) {
    return show(a) === show(b);
  }
  return a.a.length === b.a.length && (counts || sorted(a.a.map(canonical)) === sorted(b.a.map(canonical)));
}

function randomMembers(a, b, command) {
  const shapes = (r) => r.a.map((e) => (e.a ? `[${e.a.map((x) => x.t)}]` : e.t)).join(' ');
  if (!a.a || !b.a) {
    return sameType(a, b);
  }
  return shapes(a) === shapes(b) && (Number(command[2]) < 1000 || command.length < 4 || sameMembers(a, b));
}

// HELLO's facts but for those that are each server's own.
function sameFacts(a, b) {
  const facts = (r) => pairsOf(r.a).map((pair) => pair.replace(/^\$"(version|id)"=.*/, '$1'));
  return a.t === b.t && a.a ? sorted(facts(a)) === sorted(facts(b)) : show(a) === show(b);
}

// A user without the text of its command rules and the flag that 7.0 does not show.
function userFacts(reply) {
  return reply.a
    ? `${reply.t}[${reply.a
        .filter((e, i, all) => all[i - 1]?.b?.toString() !== 'commands')
        .filter((e) => !/^(skip-)?sanitize-payload$/.test(e.b?.toString() ?? ''))
        .map(userFacts)
        .join(' ')}]`
    : show(reply);
}

// 7.2 names the user. In Redis a pattern of "*" does not match a name without bytes, unless it is allkeys.
function sameRefusal(a, b) {
  const text = (r) => r.b?.toString().replace(/^(This user|User \S+) has/, 'has');
  // Redis names a key or a channel as far as its first zero byte.
  const cut = (t) => t?.replace(/\0[^]*(' (key|channel))$/, '$1');
  return a.t === '$' && b.t === '$' && (text(a) === text(b) || text(a) === cut(text(b)));
}

// The bytes before the first zero, which is what redis-server's ALPHA compares.
function asText(reply) {
  const bytes = reply.b ?? Buffer.alloc(0);
  const end = bytes.indexOf(0);
  return quote(end < 0 ? bytes : bytes.subarray(0, end));
}

// An entry of ACL LOG without its clocks, its client's description, and what 7.2 says besides.
function deniedOnly(reply) {
  return show(reply)
    .replace(/ ?\$"(age-seconds|client-info|entry-id|timestamp-created|timestamp-last-updated)" [$,:]("[^"]*"|[^ }\]]+)/g, '')
    .trim();
}

export const DIFFERENCES = [
  {
    about: (c) => named('SORT', 'SORT_RO')(c) && hasWord(c, 'BY') && hasWord(c, 'NOSORT') && !hasWord(c, 'STORE'),
    why: 'the members of a set come in no order, and LIMIT takes others of them; tests/spec has lists and sorted sets',
    same: (a, b, c) => (hasWord(c, 'LIMIT') ? a.t === '*' && b.t === '*' && a.a.length === b.a.length : anyOrder(a, b)),
  },
  {
    about: (c) =>
      /^SORT(_RO)?$/.test(upper(c, 0)) &&
      hasWord(c, 'ALPHA') &&
      !hasWord(c, 'BY') &&
      c.every((_, i) => upper(c, i) !== 'GET' || String(c[i + 1]) === '#'),
    why: 'elements that differ behind a zero byte only are alike to redis-server, in any order; here they are not',
    same: (a, b) =>
      a.t === '*' && b.t === '*'
        ? sorted(a.a.map(show)) === sorted(b.a.map(show)) && a.a.map(asText).join(' ') === b.a.map(asText).join(' ')
        : show(a) === show(b),
  },
  {
    about: (c) => sub('ACL', 'LOG')(c) && c.length <= 3,
    why: 'the time, the client and its buffers are in it, and since 7.2 a number and two times more',
    same: (a, b) => deniedOnly(a) === deniedOnly(b),
  },
  {
    about: (c) => sub('ACL', 'GENPASS')(c) && c.length === 2,
    why: 'each makes a password of its own',
    same: (a, b) => a.t === '$' && b.t === '$' && a.b?.length === b.b?.length,
  },
  {
    about: (c) =>
      sub('ACL', 'DRYRUN')(c) &&
      ((upper(c, 3) === 'PFMERGE' && c.length === 5) ||
        (/^(SORT|GEORADIUS|GEORADIUSBYMEMBER)_RO$/.test(upper(c, 3)) && (hasWord(c, 'STORE') || hasWord(c, 'STOREDIST'))) || (/^Z(UNION|INTER|DIFF)STORE$/.test(upper(c, 3)) && Number(c[5]) === 0)),
    why: 'without sources Redis finds no key at all, and lets PFMERGE make one that the user may not write; what stands behind a STORE is judged, also where that is a syntax error',
    same: (a, b) => sameRefusal(a, b) || (show(a) === '+OK' && /^\$"User \S+ has no permissions to access/.test(show(b))),
  },
  {
    about: (c) =>
      sub('ACL', 'DRYRUN')(c) &&
      ((/^Z(REV)?RANK$/.test(upper(c, 3)) && c.length === 7) || (upper(c, 3) === 'UNLINK' && c.length === 4)),
    why: 'WITHSCORE came with 7.2; UNLINK with no keys is answered, as below',
    same: (a) => isError(a),
  },
  {
    about: sub('PFDEBUG', 'DECODE'),
    why: 'Redis shows the runs of an object that is no whole HyperLogLog; here they are counted first',
    same: (a, b) => show(a) === show(b) || (a.t === '$' && /^-INVALIDOBJ /.test(show(b))),
  },
  {
    about: (c) => sub('ACL', 'CAT')(c) && c.length === 2,
    why: 'JSON has a category of its own, as in Redis 8',
    same: (a, b) => a.t === '*' && b.t === '*' && sorted([...a.a.map(show), '$"json"']) === sorted(b.a.map(show)),
  },
  {
    about: sub('ACL', 'GETUSER'),
    why: '7.2 keeps command rules as they were said and shows sanitize-payload; DRYRUN compares what they allow',
    same: (a, b) => userFacts(a) === userFacts(b),
  },
  {
    about: sub('ACL', 'DRYRUN'),
    why: '7.2 names the user in what it refuses',
    same: sameRefusal,
  },
  {
    about: sub('ACL', 'HELP'),
    why: 'prose',
    same: sameType,
  },
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
    about: sub('FUNCTION', 'LIST'),
    why: "libraries and functions stand in the order of Redis' tables; here by name",
    same: (a, b) => unordered(a) === unordered(b),
  },
  {
    about: named('RANDOMKEY'),
    why: 'random: null or a key, agreed by DBSIZE and KEYS',
    same: sameType,
  },
  {
    about: named('HRANDFIELD', 'SRANDMEMBER'),
    why: 'random: count and types are compared, and the set where all were asked for',
    same: randomFields,
  },
  {
    about: named('KEYS', 'HKEYS', 'HVALS', 'SMEMBERS', 'SPOP', 'SINTER', 'SUNION', 'SDIFF'),
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
    about: named('SSCAN'),
    why: 'the same, for members',
    same: scanned(anyOrder),
  },
  {
    about: named('HSCAN'),
    why: 'the same, for fields and values',
    same: scanned(anyPairOrder),
  },
  {
    about: named('ZRANDMEMBER'),
    why: 'random, as HRANDFIELD',
    same: randomMembers,
  },
  {
    about: named('ZSCAN'),
    why: "as HSCAN; 7.2 spells a score by the fewest digits",
    same: scanned(sameMembers),
  },
  {
    about: named('GEORADIUS', 'GEORADIUS_RO', 'GEORADIUSBYMEMBER', 'GEORADIUSBYMEMBER_RO', 'GEOSEARCH'),
    why: 'places at the same distance are in no order, nor are any without ASC or DESC',
    same: searched,
  },
  {
    about: (c) => named('ZRANK', 'ZREVRANK')(c) && c.length > 3,
    why: 'WITHSCORE came with 7.2',
    same: (a, b) => isError(a) && says(/^ERR (syntax error|wrong number)|^WRONGTYPE/)(a, b),
  },
  {
    about: named('BLPOP', 'BRPOP', 'BLMOVE', 'BRPOPLPUSH', 'BLMPOP', 'BZPOPMIN', 'BZPOPMAX', 'BZMPOP'),
    why: '7.2 finds a time-out of more than 64 bits out of range, 7.0 negative; and it spells doubles as below',
    same: (a, b) => says(/^ERR timeout is out of range/)(a, b) || sameNumbers(a, b),
  },
  {
    about: (c) => /^(B?Z|GEO)/.test(upper(c, 0)),
    why: '7.2 spells a double by the fewest digits that read back as it; 7.0 by 17',
    same: sameNumbers,
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
    why: 'In Redis also a write that changes no byte (SETBIT to what it was, APPEND of nothing) makes a string raw, and a field that was long for a moment makes its hash a table for good; tests/spec has exact ones. Sets are listpacks from 7.2 on. SORT reads a sorted set here; in Redis it makes it a skiplist',
    same: (a, b) =>
      (show(a) === '$"raw"' && isStringForm(b)) ||
      (show(a) === '$"hashtable"' && /^\$"(listpack|intset)"$/.test(show(b))) ||
      (/^\$"(quicklist|skiplist)"$/.test(show(a)) && show(b) === '$"listpack"'),
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
    about: named('RATELIMIT'),
    why: 'a command of our own, which redis-server 7.0 does not know; not among the random ones, since it leaves a key behind, and a MULTI that EXEC refuses there',
    same: (a, b) => says(/^ERR unknown command/)(a, a) && (b.a?.length === 3 || isError(b)),
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
    about: sub('XINFO', 'STREAM', 'GROUPS', 'CONSUMERS'),
    why: 'moments, the nodes of a tree, and consumers that 7.2 makes earlier than 7.0',
    same: sameStream,
  },
  {
    about: sub('XGROUP', 'CREATECONSUMER'),
    why: 'the same',
    same: (a, b) => isInt(a) && isInt(b),
  },
  {
    about: sub('XGROUP', 'HELP'),
    why: 'prose',
    same: sameType,
  },
  {
    about: sub('XINFO', 'HELP'),
    why: 'prose',
    same: sameType,
  },
  {
    about: (c) => named('XPENDING')(c) && c.length > 3,
    why: 'idle times are a moment\'s',
    same: samePending,
  },
  {
    about: named('XREAD', 'XREADGROUP'),
    why: '7.2 names the command in this error otherwise; 7.0 adds any time-out to the time, past 64 bits too',
    same: says(/^ERR Unbalanced 'xread(group)?' list of streams|^ERR timeout is out of range/),
  },
  {
    about: named('LPOS', 'LREM'),
    why: '7.2 refuses the one number whose opposite is none',
    same: says(/^ERR value is out of range, value must between -9223372036854775807 and /),
  },
  {
    about: named('LOLWUT'),
    why: 'a picture of another bird',
    same: sameType,
  },
  {
    about: named('LCS'),
    why: 'a smaller bound on its table: one command may not hold up others for long (node/cmd/lcs.c)',
    same: says(/^ERR Insufficient memory, transient memory for LCS/),
  },
  {
    about: (c) => named('SORT', 'SORT_RO')(c) && hasWord(c, 'ALPHA') && hasWord(c, 'BY'),
    why: 'elements whose weights are the same text, or absent, come in no order',
    same: anyOrder,
  },
  {
    about: named('BITCOUNT', 'BITPOS'),
    why: '7.2 checks the arguments before it looks for the key; 7.0 answers for a missing one',
    same: (a, b) =>
      (isInt(a) || /^WRONGTYPE/.test(a.s)) &&
      says(/^ERR (value is not an integer|syntax error)|^ERR The bit argument/)(a, b),
  },
];

// What is a change of a watched key to one of the two only: EXEC would be carried out by the other. Here whoever
// changes a watched key marks it, and nobody else (tests/spec/transactions.spec):
// - consumers, claims, groups and the last id belong to a stream; redis-server forgets to tell of them;
// - redis-server tells of some that change nothing: trimming nothing, appending nothing, moving a list's only element
//   to where it was, setting what has expired before it is there.
function marksOneOnly(command) {
  const name = upper(command, 0);
  return (
    /^(XREADGROUP|XCLAIM|XAUTOCLAIM|XACK|XGROUP|XSETID|LTRIM)$/.test(name) ||
    (name === 'APPEND' && (command[2] ?? '').length === 0) ||
    (/^(B?LMOVE|B?RPOPLPUSH)$/.test(name) && String(command[1]) === String(command[2])) ||
    (/^(SET|GETEX)$/.test(name) && (hasWord(command, 'EXAT') || hasWord(command, 'PXAT')))
  );
}

// What one of the two refuses and the other does not must not stand in a transaction: EXEC would carry out
// the one and drop the other; nor may marksOneOnly() change a watched key. Such commands become a PING there.
// Nor may the two come to different data by what both refuse.
export function comparable(commands) {
  let isOpen = false;
  let isDamaged = false;
  let watched = new Set();
  return commands.map((command) => {
    const name = upper(command, 0);
    const isWhole = command.length === 1 || name === 'EXEC'; // else it is an error, and ends nothing
    if (name === 'WATCH') {
      command.slice(1).forEach((key) => watched.add(String(key)));
    } else if (isWhole && (isOpen ? /^(EXEC|DISCARD|RESET)$/ : /^(UNWATCH|RESET)$/).test(name)) {
      watched = new Set();
    }
    isOpen = isWhole && /^(MULTI|EXEC|DISCARD|RESET)$/.test(name) ? name === 'MULTI' : isOpen;
    // Redis finds a damaged HyperLogLog out on the way, and has then added some of the elements to it for which it
    // answers an error; here what is refused changes nothing. So one at a time.
    isDamaged ||=
      (/^(SETRANGE|SETBIT|BITFIELD|APPEND)$/.test(name) && /^p\d/.test(String(command[1]))) ||
      command.some((arg) => String(arg).startsWith('HYLL'));
    if (isDamaged && name === 'PFADD') {
      return command.slice(0, 3);
    }
    if (marksOneOnly(command) && command.some((arg) => watched.has(String(arg)))) {
      return ['PING'];
    }
    const isRefused =
      (name === 'UNLINK' && command.length === 1) ||
      (/^Z(REV)?RANK$/.test(name) && command.length === 4) ||
      // Its answer may come later, which no part of a section can.
      name === 'AUTH' ||
      (name === 'HELLO' && upper(command, 2) === 'AUTH') ||
      // A round through all workers cannot be part of a section.
      sub('CLIENT', 'LIST', 'KILL', 'PAUSE', 'UNPAUSE', 'UNBLOCK', 'TRACKING')(command);
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
