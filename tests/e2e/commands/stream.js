// Streams. Ids are never the server's own (*), which two servers choose at two moments; idle times are
// either none or longer than any test.
export const kinds = ['x'];

const GROUPS = ['g', 'g', 'g', 'h', 'none'];
const CONSUMERS = ['alice', 'bob', 'bob', 'carol'];
const BAD_IDS = ['', '-', '1-2-3', 'x', '-1', '1-', '1-x', '18446744073709551616', '01-1', ' 5', '+7', '1-*'];

const small = (g) => g.pick([`${g.random.below(30)}`, `${g.random.below(30)}-${g.random.below(4)}`]);
const far = (g) => {
  g.streamMs = (g.streamMs ?? 30) + g.random.below(3);
  return g.pick([`${g.streamMs}-*`, `${g.streamMs}-*`, `${g.streamMs}-${g.random.below(9)}`, `${g.streamMs}`]);
};
const known = (g) =>
  g.pick([`${(g.streamMs ?? 30) - g.random.below(30)}-${g.random.below(3)}`, `${(g.streamMs ?? 30) - g.random.below(30)}-0`, small(g)]);

function id(g) {
  return g.random.weighted([
    [70, () => known(g)],
    [20, () => small(g)],
    [5, () => g.pick(['0', '0-0', '0-1', '18446744073709551615', '18446744073709551615-18446744073709551615'])],
    [3, () => g.pick(BAD_IDS)],
  ])();
}

const ids = (g, least, most) => Array.from({ length: g.random.between(least, most) }, () => id(g));
const from = (g) => g.random.weighted([[50, '-'], [40, id(g)], [8, `(${id(g)}`], [1, '('], [1, '(-']]);
const to = (g) => g.random.weighted([[50, '+'], [40, id(g)], [8, `(${id(g)}`], [1, '(+'], [1, '(0-0']]);
const count = (g) => g.maybe([g.option('COUNT'), g.pick(['1', '2', '3', '10', '0', '-1', 'x'])], 0.4);
const group = (g) => g.pick(GROUPS);
const consumer = (g) => g.pick(CONSUMERS);
const minIdle = (g) => g.pick(['0', '0', '0', '-1', '1000000000000', '1000000000000', 'x']);

function fields(g) {
  const sets = [['f'], ['f'], ['f', 'g'], ['g', 'f'], ['f', 'f'], [g.field()]];
  return g.pick(sets).flatMap((name) => [name, g.value()]);
}

function trim(g) {
  const sign = g.maybe([g.pick(['~', '~', '='])], 0.7);
  const by = g.random.chance(0.5)
    ? [g.option('MAXLEN'), ...sign, g.pick(['0', '1', '3', '5', '8', '12', '-1', 'x'])]
    : [g.option('MINID'), ...sign, id(g)];
  return [...by, ...g.maybe([g.option('LIMIT'), g.pick(['0', '1', '4', '5', '9', '100', '-1', 'x'])], 0.25)];
}

function readGroup(g) {
  const keys = g.keys(1, g.random.chance(0.8) ? 1 : 3, 'x');
  return [
    ...g.random
      .shuffle([
        [g.option('GROUP'), group(g), consumer(g)],
        count(g),
        g.maybe([g.option('NOACK')], 0.2),
      ])
      .flat(),
    g.option('STREAMS'),
    ...keys,
    ...keys.map(() => g.random.weighted([[60, '>'], [25, id(g)], [10, '0'], [1, '$']])),
  ];
}

const options = (g) =>
  g.random
    .shuffle([
      g.maybe([g.option('IDLE'), g.pick(['0', '5000', '-5', 'x'])], 0.2),
      g.maybe([g.option('TIME'), g.pick(['0', '1000', '-5', '99999999999999', 'x'])], 0.2),
      g.maybe([g.option('RETRYCOUNT'), g.pick(['0', '7', '-1', '-7', 'x'])], 0.2),
      g.maybe([g.option('FORCE')], 0.4),
      g.maybe([g.option('JUSTID')], 0.3),
      g.maybe([g.option('LASTID'), id(g)], 0.1),
    ])
    .flat();

export const rows = [
  [30, 'XADD', (g) => [g.key('x'), far(g), ...fields(g)]],
  [6, 'XADD', (g) => [g.key('x'), id(g), ...fields(g)]],
  [
    6,
    'XADD',
    (g) => [g.key('x'), ...g.random.shuffle([g.maybe(['NOMKSTREAM'], 0.2), trim(g)]).flat(), far(g), ...fields(g)],
  ],
  [3, 'XLEN', (g) => [g.key('x')]],
  [6, 'XRANGE', (g) => [g.key('x'), from(g), to(g), ...count(g)]],
  [6, 'XREVRANGE', (g) => [g.key('x'), to(g), from(g), ...count(g)]],
  [
    5,
    'XREAD',
    (g) => {
      const keys = g.keys(1, 3, 'x');
      return [
        ...count(g),
        ...g.maybe([g.option('BLOCK'), g.pick(['x', '-1'])], 0.05),
        g.option('STREAMS'),
        ...keys,
        ...keys.map(() => g.random.weighted([[80, id(g)], [15, '0'], [4, '$'], [1, '>']])),
      ];
    },
  ],
  // Not the greatest id of all: 7.2 refuses an XSETID before one that was deleted, where 7.0 goes back.
  [6, 'XDEL', (g) => [g.key('x'), ...ids(g, 1, 4).filter((one) => !one.startsWith('18446744073709551615'))]],
  [4, 'XTRIM', (g) => [g.key('x'), ...trim(g)]],
  [
    2,
    'XSETID',
    (g) => [
      g.key('x'),
      // Past all that was: 7.2 refuses an id before a deleted one, where 7.0 goes back to it.
      g.random.weighted([[90, `${(g.streamMs ?? 30) + 1}-0`], [10, g.pick(BAD_IDS.filter((bad) => !['01-1', '+7', ' 5'].includes(bad)))]]),
      ...g.maybe([g.option('ENTRIESADDED'), g.pick(['0', '5', '100', '-1', 'x'])], 0.4),
      ...g.maybe([g.option('MAXDELETEDID'), id(g)], 0.4),
    ],
  ],
  [
    6,
    'XGROUP',
    (g) => [
      g.option('CREATE'),
      g.key('x'),
      group(g),
      g.pick(['$', '0', '0', id(g)]),
      ...g.random
        .shuffle([
          g.maybe([g.option('MKSTREAM')], 0.5),
          g.maybe([g.option('ENTRIESREAD'), g.pick(['0', '3', '-1', '-2', 'x'])], 0.3),
        ])
        .flat(),
    ],
  ],
  [
    2,
    'XGROUP',
    (g) => [
      g.option('SETID'),
      g.key('x'),
      group(g),
      g.pick(['$', '0', id(g), id(g)]),
      ...g.maybe([g.option('ENTRIESREAD'), g.pick(['0', '3', '-1', '-2', 'x'])], 0.3),
    ],
  ],
  [1, 'XGROUP', (g) => [g.option('DESTROY'), g.key('x'), group(g)]],
  [2, 'XGROUP', (g) => [g.option('CREATECONSUMER'), g.key('x'), group(g), consumer(g)]],
  [1, 'XGROUP', (g) => [g.option('DELCONSUMER'), g.key('x'), group(g), consumer(g)]],
  [1, 'XGROUP', (g) => g.pick([['HELP'], ['NOPE'], ['CREATE', g.key('x')], ['HELP', 'x']])],
  [18, 'XREADGROUP', readGroup],
  [8, 'XACK', (g) => [g.key('x'), group(g), ...ids(g, 1, 4)]],
  [4, 'XPENDING', (g) => [g.key('x'), group(g)]],
  [
    5,
    'XPENDING',
    (g) => [
      g.key('x'),
      group(g),
      ...g.maybe([g.option('IDLE'), minIdle(g)], 0.2),
      from(g),
      to(g),
      g.pick(['10', '10', '2', '0', '-1', 'x']),
      ...g.maybe([consumer(g)], 0.4),
    ],
  ],
  [6, 'XCLAIM', (g) => [g.key('x'), group(g), consumer(g), minIdle(g), ...ids(g, 1, 4), ...options(g)]],
  [
    5,
    'XAUTOCLAIM',
    (g) => [
      g.key('x'),
      group(g),
      consumer(g),
      minIdle(g),
      g.pick(['-', '0', id(g), `(${id(g)}`]),
      ...g.random
        .shuffle([
          g.maybe([g.option('COUNT'), g.pick(['1', '2', '10', '0', 'x'])], 0.4),
          g.maybe([g.option('JUSTID')], 0.3),
        ])
        .flat(),
    ],
  ],
  [3, 'XINFO', (g) => [g.option('STREAM'), g.key('x'), ...g.maybe(['FULL', ...count(g)], 0.6)]],
  [3, 'XINFO', (g) => [g.option('GROUPS'), g.key('x')]],
  [2, 'XINFO', (g) => [g.option('CONSUMERS'), g.key('x'), group(g)]],
  [1, 'XINFO', (g) => g.pick([['HELP'], ['NOPE'], ['STREAM', g.key('x'), 'x'], ['GROUPS']])],
];

export const state = (key) => [
  ['XRANGE', key, '-', '+'],
  ['XREVRANGE', key, '+', '-'],
  ['XINFO', 'STREAM', key],
  ['XINFO', 'STREAM', key, 'FULL', 'COUNT', '0'],
  ['XINFO', 'GROUPS', key],
  ['XPENDING', key, 'g'],
  ['XPENDING', key, 'g', '-', '+', '100'],
];
