// What the differential test may send: one row a command of Redis 7.0, [weight, name, arguments].
// `g` makes arguments that mostly fit together (few keys, many meetings) and now and then do not.
// A fourth element { whole: true } keeps a row's arguments from being damaged.
//
// Relative expiries are far away and never twice the same, or long past, so that two servers that
// run the same sequence at slightly different moments must agree. Absolute ones come from a short
// list, which makes them meet exactly.
//
// A family of its own stands in commands/<family>.js, found by its name, and exports
//   kinds  what its keys' names begin with, one a type: its rows say g.key('l')
//   rows   as below
//   apart  what has no row, with the reason
//   state  (key) => commands whose replies show what a key of the first kind holds
import { readdirSync } from 'node:fs';

const FAMILIES = await Promise.all(
  readdirSync(new URL('commands/', import.meta.url))
    .filter((name) => name.endsWith('.js'))
    .sort()
    .map((name) => import(new URL(`commands/${name}`, import.meta.url))),
);
const KINDS = ['s', 'h', ...FAMILIES.flatMap((family) => family.kinds)];

export const KEYS = [...KINDS, 'none'].flatMap((kind) => [0, 1, 2, 3, 4, 5].map((n) => kind + n));
export const FAMILY_STATE = FAMILIES.flatMap((family) =>
  family.state ? [0, 1, 2, 3, 4, 5].flatMap((n) => family.state(family.kinds[0] + n)) : [],
);

const WORDS = ['', 'a', 'hello', 'Hello world', 'ohmytext', 'mynewtext', 'snow ☃', '\x00\xff\r\n'];
const NUMBERS = [
  '0',
  '1',
  '-1',
  '7',
  '42',
  '100',
  '-250',
  '9223372036854775807',
  '-9223372036854775808',
];
const ODD_NUMBERS = [
  '+1',
  ' 1',
  '1 ',
  '01',
  '-0',
  '0x10',
  '9223372036854775808',
  '1e3',
  'nan',
  'ten',
  '',
];
const FLOATS = [
  '0',
  '1.5',
  '-2.25',
  '3.0e2',
  '0.1',
  '1e17',
  '5.0',
  'inf',
  '-inf',
  'nan',
  '1e400',
  '1.',
  ' 1',
];
const INDEXES = ['0', '1', '2', '3', '-1', '-2', '-3', '5', '10', '100', '-100'];
const BIT_OFFSETS = ['0', '1', '2', '7', '8', '9', '15', '31', '64', '100', '1000', '4294967295'];
const BITFIELD_TYPES = [
  'u1',
  'u2',
  'u4',
  'u5',
  'u8',
  'u16',
  'u31',
  'u32',
  'u63',
  'i1',
  'i2',
  'i8',
  'i16',
  'i32',
  'i64',
];
const BAD_TYPES = ['u64', 'u0', 'i65', 'x8', 'i', 'u-1', ''];
const JUNK = ['', 'x', '-1', '0', 'nan', '99999999999999999999', 'COUNT', 'NX', '*', '\x00'];

export class Arguments {
  constructor(random, nowMs) {
    this.random = random;
    this.nowSeconds = Math.floor(nowMs / 1000);
    this.far = 1000; // the last far expiry handed out, in seconds
  }

  pick(list) {
    return this.random.pick(list);
  }

  maybe(args, probability = 0.5) {
    return this.random.chance(probability) ? args : [];
  }

  // Either case, since options have none.
  option(word) {
    return this.random.chance(0.2) ? word.toLowerCase() : word;
  }

  // Mostly a key of the kind that the command wants; sometimes of another, or one never set.
  key(kind = 's') {
    const of = this.random.weighted([
      [90, kind],
      [8, this.pick(KINDS)],
      [2, 'none'],
    ]);
    return `${of}${this.random.below(6)}`;
  }

  anyKey() {
    return this.key(this.random.chance(0.5) ? 's' : this.pick(KINDS));
  }

  keys(least, most, kind) {
    return Array.from({ length: this.random.between(least, most) }, () =>
      kind ? this.key(kind) : this.anyKey(),
    );
  }

  value() {
    return this.random.weighted([
      [30, () => this.pick(WORDS)],
      [30, () => this.pick(NUMBERS)],
      [8, () => this.pick(ODD_NUMBERS)],
      [10, () => this.pick(FLOATS)],
      [10, () => String(this.random.between(-1000, 1000))],
      [8, () => this.random.bytes(this.random.below(80))],
      [3, () => Buffer.alloc(this.random.between(40, 50), 'e')],
      [2, () => this.random.bytes(this.random.between(500, 3000))],
    ])();
  }

  integer() {
    return this.random.chance(0.9) ? this.pick(NUMBERS) : this.pick(ODD_NUMBERS);
  }

  index() {
    return this.random.chance(0.93) ? this.pick(INDEXES) : this.pick(ODD_NUMBERS);
  }

  bit() {
    return this.random.chance(0.95) ? this.pick(['0', '1']) : this.pick(['2', '-1', 'x', '']);
  }

  bitOffset() {
    return this.random.chance(0.93)
      ? this.pick(BIT_OFFSETS.slice(0, 11))
      : this.pick(['-1', '4294967296', 'x', '', '99999999999999999999']);
  }

  field() {
    return this.random.chance(0.97)
      ? `f${this.random.below(8)}`
      : this.pick(['', 'a longer field', '\xff']);
  }

  fields(least, most) {
    return Array.from({ length: this.random.between(least, most) }, () => this.field());
  }

  pairs(least, most) {
    const out = [];
    for (const field of this.fields(least, most)) {
      out.push(field, this.value());
    }
    return out;
  }

  farSeconds() {
    this.far += this.random.between(100, 100000);
    return this.far;
  }

  seconds() {
    return this.random.weighted([
      [80, () => this.farSeconds()],
      [8, () => -1],
      [6, () => 0],
      [6, () => this.pick(['x', '', '9223372036854775807', '-9223372036854775808', '1.5'])],
    ])();
  }

  millis() {
    const seconds = this.seconds();
    return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : seconds;
  }

  atSeconds() {
    return this.random.weighted([
      [80, () => this.nowSeconds + this.pick([5000, 6000, 7000, 8000])],
      [15, () => this.nowSeconds - 100],
      [5, () => this.pick(['x', '9223372036854775807', '0', '-5'])],
    ])();
  }

  atMillis() {
    const seconds = this.atSeconds();
    return typeof seconds === 'number' ? seconds * 1000 : seconds;
  }

  // The EX … KEEPTTL tail of SET and GETEX.
  expiry() {
    return this.random.weighted([
      [30, () => [this.option('EX'), this.seconds()]],
      [30, () => [this.option('PX'), this.millis()]],
      [20, () => [this.option('EXAT'), this.atSeconds()]],
      [20, () => [this.option('PXAT'), this.atMillis()]],
    ])();
  }

  condition() {
    return this.maybe(
      this.random.chance(0.9)
        ? [this.option(this.pick(['NX', 'XX', 'GT', 'LT']))]
        : this.pick([['NX', 'XX'], ['GT', 'LT'], ['NX', 'GT'], ['XX', 'GT'], ['ZZ'], ['XX', 'XX']]),
      0.4,
    );
  }

  pattern() {
    return this.pick([
      '*',
      's*',
      'h?',
      '[sh][0-2]',
      '[^s]*',
      's[1-3]',
      '\\s1',
      'f*',
      '',
      's**1',
      '[',
      '*[a-',
      'S*',
    ]);
  }

  // Not the smallest: Redis 7.0 subtracts it from the largest that fits, which overflows.
  bitfieldValue() {
    const text = this.integer();
    return text === '-9223372036854775808' ? '-4611686018427387904' : text;
  }

  bitfieldOffset() {
    return this.random.weighted([
      [60, () => this.pick(BIT_OFFSETS.slice(0, 11))],
      [35, () => `#${this.random.below(20)}`],
      [5, () => this.pick(['-1', '#-1', '#', 'x', '', '4294967296', '#99999999999999999999'])],
    ])();
  }

  bitfieldType() {
    return this.random.chance(0.96) ? this.pick(BITFIELD_TYPES) : this.pick(BAD_TYPES);
  }

  bitfieldOp(readOnly) {
    const at = [this.bitfieldType(), this.bitfieldOffset()];
    if (readOnly && this.random.chance(0.95)) {
      return [this.option('GET'), ...at];
    }
    return this.random.weighted([
      [30, () => [this.option('GET'), ...at]],
      [30, () => [this.option('SET'), ...at, this.bitfieldValue()]],
      [30, () => [this.option('INCRBY'), ...at, this.bitfieldValue()]],
      [20, () => [this.option('OVERFLOW'), this.pick(['WRAP', 'sat', 'FAIL', 'FAIL', 'x'])]],
    ])();
  }

  bitfieldOps(readOnly) {
    const count = this.random.between(0, 4);
    return Array.from({ length: count }, () => this.bitfieldOp(readOnly)).flat();
  }

  junk() {
    return this.pick(JUNK);
  }
}

const string = [
  [8, 'GET', (g) => [g.key()]],
  [6, 'SET', (g) => [g.key(), g.value()]],
  [
    8,
    'SET',
    (g) => [
      g.key(),
      g.value(),
      ...g.random
        .shuffle([
          g.maybe([g.option(g.pick(['NX', 'XX']))]),
          g.maybe([g.option('GET')], 0.3),
          g.random.chance(0.7) ? g.expiry() : g.maybe(['KEEPTTL']),
        ])
        .flat(),
    ],
  ],
  [2, 'SETNX', (g) => [g.key(), g.value()]],
  [2, 'SETEX', (g) => [g.key(), g.seconds(), g.value()]],
  [2, 'PSETEX', (g) => [g.key(), g.millis(), g.value()]],
  [3, 'MSET', (g) => g.keys(1, 4, 's').flatMap((k) => [k, g.value()])],
  [2, 'MSETNX', (g) => g.keys(1, 3).flatMap((k) => [k, g.value()])],
  [3, 'MGET', (g) => g.keys(1, 5)],
  [2, 'GETSET', (g) => [g.key(), g.value()]],
  [2, 'GETDEL', (g) => [g.key()]],
  [4, 'GETEX', (g) => [g.key(), ...(g.random.chance(0.6) ? g.expiry() : g.maybe(['PERSIST']))]],
  [4, 'APPEND', (g) => [g.key(), g.value()]],
  [2, 'STRLEN', (g) => [g.key()]],
  [3, 'INCR', (g) => [g.key()]],
  [3, 'DECR', (g) => [g.key()]],
  [4, 'INCRBY', (g) => [g.key(), g.integer()]],
  [4, 'DECRBY', (g) => [g.key(), g.integer()]],
  [5, 'INCRBYFLOAT', (g) => [g.key(), g.pick(FLOATS)]],
  [
    4,
    'SETRANGE',
    (g) => [g.key(), g.pick(['0', '1', '5', '100', '-1', 'x', '20000', '536870912']), g.value()],
  ],
  [4, 'GETRANGE', (g) => [g.key(), g.index(), g.index()]],
  [1, 'SUBSTR', (g) => [g.key(), g.index(), g.index()]],
  [
    3,
    'LCS',
    (g) => [
      g.key(),
      g.key(),
      ...g.random
        .shuffle([
          g.maybe(['LEN'], 0.3),
          g.maybe(['IDX'], 0.4),
          g.maybe(['MINMATCHLEN', g.pick(['0', '2', '-1', 'x'])], 0.3),
          g.maybe(['WITHMATCHLEN'], 0.4),
        ])
        .flat(),
    ],
  ],
];

const bitmap = [
  [5, 'SETBIT', (g) => [g.key(), g.bitOffset(), g.bit()]],
  [4, 'GETBIT', (g) => [g.key(), g.bitOffset()]],
  [
    4,
    'BITCOUNT',
    (g) => [
      g.key(),
      ...g.maybe([g.index(), g.index(), ...g.maybe([g.pick(['BYTE', 'BIT', 'bit', 'x'])])], 0.7),
    ],
  ],
  [
    4,
    'BITPOS',
    (g) => [
      g.key(),
      g.bit(),
      ...g.maybe(
        [g.index(), ...g.maybe([g.index(), ...g.maybe([g.pick(['BYTE', 'BIT', 'byte', 'x'])])])],
        0.7,
      ),
    ],
  ],
  [
    4,
    'BITOP',
    (g) => [g.option(g.pick(['AND', 'OR', 'XOR', 'NOT', 'NAND'])), g.key(), ...g.keys(1, 3, 's')],
  ],
  [6, 'BITFIELD', (g) => [g.key(), ...g.bitfieldOps(false)]],
  [2, 'BITFIELD_RO', (g) => [g.key(), ...g.bitfieldOps(true)]],
];

const generic = [
  [3, 'DEL', (g) => g.keys(1, 3)],
  [2, 'UNLINK', (g) => g.keys(1, 3)],
  [3, 'EXISTS', (g) => g.keys(1, 4)],
  [2, 'TOUCH', (g) => g.keys(1, 4)],
  [3, 'TYPE', (g) => [g.anyKey()]],
  [4, 'EXPIRE', (g) => [g.anyKey(), g.seconds(), ...g.condition()]],
  [3, 'PEXPIRE', (g) => [g.anyKey(), g.millis(), ...g.condition()]],
  [4, 'EXPIREAT', (g) => [g.anyKey(), g.atSeconds(), ...g.condition()]],
  [3, 'PEXPIREAT', (g) => [g.anyKey(), g.atMillis(), ...g.condition()]],
  [4, 'TTL', (g) => [g.anyKey()]],
  [3, 'PTTL', (g) => [g.anyKey()]],
  [3, 'EXPIRETIME', (g) => [g.anyKey()]],
  [3, 'PEXPIRETIME', (g) => [g.anyKey()]],
  [3, 'PERSIST', (g) => [g.anyKey()]],
  [3, 'RENAME', (g) => [g.anyKey(), g.anyKey()]],
  [2, 'RENAMENX', (g) => [g.anyKey(), g.anyKey()]],
  [
    4,
    'COPY',
    (g) => [
      g.anyKey(),
      g.anyKey(),
      ...g.maybe([g.option('REPLACE')]),
      ...g.maybe(['DB', g.pick(['0', '0', 'x', '-1'])], 0.1),
    ],
  ],
  [2, 'KEYS', (g) => [g.pattern()]],
  [
    3,
    'SCAN',
    (g) => [
      '0',
      ...g.random
        .shuffle([
          g.maybe(['MATCH', g.pattern()], 0.4),
          g.maybe([g.option('TYPE'), g.pick(['string', 'hash', 'list', 'HASH', 'x'])], 0.3),
        ])
        .flat(),
      'COUNT',
      g.pick(['1000', '1000', '1000', '0', '-1', 'x']),
    ],
  ],
  [1, 'SCAN', (g) => [g.pick(['x', '-1', '', '1e3', '99999999999999999999999'])]],
  [1, 'RANDOMKEY', () => []],
  [1, 'DBSIZE', () => []],
  [5, 'OBJECT', (g) => ['ENCODING', g.anyKey()]],
  [
    2,
    'OBJECT',
    (g) => [
      g.pick(['REFCOUNT', 'IDLETIME', 'FREQ', 'freq', 'NONE', 'HELP']),
      ...g.maybe([g.anyKey()], 0.9),
    ],
  ],
  [1, 'DUMP', (g) => [g.anyKey()]],
  [
    2,
    'RESTORE',
    (g) => [
      g.anyKey(),
      g.pick(['0', '-1', 'x', '100']),
      g.pick(['', 'x', '0123456789ab']),
      ...g.maybe([g.pick(['REPLACE', 'ABSTTL', 'FREQ', 'x'])]),
    ],
  ],
  [
    1,
    'MEMORY',
    (g) => ['USAGE', g.anyKey(), ...g.maybe(['SAMPLES', g.pick(['0', '5', '-1', 'x'])], 0.3)],
  ],
  [1, 'WAIT', (g) => [g.pick(['0', 'x', '0']), g.pick(['0', '1', '-1'])]],
];

const hash = [
  [8, 'HSET', (g) => [g.key('h'), ...g.pairs(1, 4)]],
  [2, 'HSET', (g) => [g.key('h'), ...Array.from({ length: 2 * 140 }, (_, i) => `n${i}`)]],
  [1, 'HSET', (g) => [g.key('h'), ...Array.from({ length: 2 * 520 }, (_, i) => `m${i}`)]],
  [1, 'HSET', (g) => [g.key('h'), g.field(), Buffer.alloc(g.random.between(60, 70), 'v')]],
  [2, 'HSETNX', (g) => [g.key('h'), g.field(), g.value()]],
  [2, 'HMSET', (g) => [g.key('h'), ...g.pairs(1, 3)]],
  [4, 'HGET', (g) => [g.key('h'), g.field()]],
  [3, 'HMGET', (g) => [g.key('h'), ...g.fields(1, 4)]],
  [3, 'HGETALL', (g) => [g.key('h')]],
  [2, 'HKEYS', (g) => [g.key('h')]],
  [2, 'HVALS', (g) => [g.key('h')]],
  [2, 'HLEN', (g) => [g.key('h')]],
  [2, 'HEXISTS', (g) => [g.key('h'), g.field()]],
  [5, 'HDEL', (g) => [g.key('h'), ...g.fields(1, 4)]],
  [4, 'HINCRBY', (g) => [g.key('h'), g.field(), g.integer()]],
  [4, 'HINCRBYFLOAT', (g) => [g.key('h'), g.field(), g.pick(FLOATS)]],
  [2, 'HSTRLEN', (g) => [g.key('h'), g.field()]],
  [
    4,
    'HRANDFIELD',
    (g) => [
      g.key('h'),
      ...g.maybe(
        [
          g.pick(['0', '1', '3', '1000', '-1', '-5', 'x', '-9223372036854775808']),
          ...g.maybe([g.pick(['WITHVALUES', 'withvalues', 'x'])]),
        ],
        0.8,
      ),
    ],
  ],
  [
    3,
    'HSCAN',
    (g) => [
      g.key('h'),
      g.pick(['0', '0', '0', '0', 'x']),
      ...g.random
        .shuffle([
          g.maybe(['MATCH', g.pattern()], 0.4),
          ['COUNT', g.pick(['100000', '100000', '0', 'x'])],
        ])
        .flat(),
    ],
  ],
];

const connection = [
  [1, 'PING', (g) => g.maybe([g.value()])],
  [1, 'ECHO', (g) => [g.value()]],
  [1, 'SELECT', (g) => [g.pick(['0', '0', 'x', '-1', '99999'])]],
  [
    1,
    'CLIENT',
    (g) =>
      g.pick([
        ['GETNAME'],
        ['SETNAME', 'x'],
        ['SETNAME', 'a b'],
        ['NOPE'],
        ['ID', 'x'],
        ['REPLY', 'x'],
      ]),
  ],
  [1, 'AUTH', () => ['default', 'wrong']],
  [1, 'HELLO', (g) => g.pick([['9'], ['x'], ['3', 'AUTH'], ['3', 'SETNAME'], ['2', 'x']])],
  [1, 'NOSUCHCOMMAND', (g) => g.keys(0, 3)],
  [1, 'OBJECT', () => []],
  [1, 'FLUSHDB', (g) => g.maybe([g.pick(['SYNC', 'ASYNC', 'x'])])],
];

export const ROWS = [
  ...string,
  ...bitmap,
  ...generic,
  ...hash,
  ...connection,
  ...FAMILIES.flatMap((family) => family.rows),
];
// Commands without a row, by name, and why.
export const APART = Object.assign({}, ...FAMILIES.map((family) => family.apart ?? {}));
const WEIGHTED = ROWS.map((row) => [row[0], row]);

// One command; one in twenty is damaged, so that arity and argument checks meet each other.
export function randomCommand(g) {
  const [, name, make, options] = g.random.weighted(WEIGHTED);
  const args = make(g);

  if (!options?.whole && g.random.chance(0.05)) {
    const at = g.random.below(args.length + 1);
    g.random.weighted([
      [1, () => args.splice(at, 1)],
      [1, () => args.splice(at, 0, g.junk())],
      [1, () => args.splice(at, 1, g.junk())],
      [1, () => args.splice(at)],
    ])();
  }
  return withSelectors(mayWait([g.random.chance(0.1) ? name.toLowerCase() : name, ...args]));
}

// What redis-server 7.0 makes of damaged selectors of ACL SETUSER, and Godwit finds wrong: it reads them as far as
// their first zero byte, and forgets one that is open when another opens.
function withSelectors(command) {
  if (!/^acl$/i.test(command[0]) || !/^setuser$/i.test(String(command[1]))) {
    return command;
  }
  let isOpen = false;
  return command.flatMap((arg) => {
    const rule = typeof arg === 'string' ? arg.replaceAll('\0', '') : arg;
    const opens = String(rule).startsWith('(') && !String(rule).endsWith(')');
    if (isOpen && opens) {
      return [];
    }
    isOpen = opens || (isOpen && !String(rule).endsWith(')'));
    return [rule];
  });
}

// A damaged command must not wait for ever, or for long, nor take an id from the clock.
function mayWait(command) {
  const name = String(command[0]).toUpperCase();
  if (name === 'XADD') {
    return command.map((arg) => (arg === '*' ? '99-1' : arg));
  }
  let at = -1;
  if (/^(B[LR]POP|BLMOVE|BRPOPLPUSH|BZPOP(MIN|MAX))$/.test(name)) {
    at = command.length - 1;
  } else if (/^B[LZ]MPOP$/.test(name)) {
    at = 1;
  } else if (/^XREAD(GROUP)?$/.test(name)) {
    at = command.findIndex((arg) => String(arg).toUpperCase() === 'BLOCK') + 1 || -1;
  }
  const most = name.startsWith('X') ? 50 : 0.05;
  const value = Number(command[at]);
  if (at > 0 && at < command.length && (value === 0 || value > most)) {
    command[at] = String(most / 5);
  }
  return command;
}
