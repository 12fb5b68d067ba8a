// Lists, and SORT over them.
const end = (g) => (g.random.chance(0.96) ? g.option(g.pick(['LEFT', 'RIGHT'])) : g.junk());
const SMALL = ['a', 'b', 'c', '1', '2', '3', '10', '', 'snow ☃'];

// Few different ones, so that LREM, LPOS and LINSERT find some; now and then many, or long ones.
function element(g) {
  return g.random.weighted([
    [80, () => g.pick(SMALL)],
    [12, () => whole(g.value())],
    [2, () => whole(g.random.bytes(g.random.between(900, 1300)))],
    [1, () => whole(g.random.bytes(g.random.between(4000, 9000)))],
  ])();
}

// Without zero bytes, up to which Redis compares in SORT ALPHA: what is equal to there comes in no order.
function whole(value) {
  return Buffer.from(value).map((byte) => byte || 1);
}

const some = (g, least, most) =>
  Array.from({ length: g.random.between(least, most) }, () => element(g));
const many = (g) => some(g, 100, 600);
const index = (g) =>
  g.random.weighted([
    [70, () => g.index()],
    [30, () => String(g.random.between(-400, 400))],
  ])();
const count = (g) => g.pick(['0', '1', '2', '3', '10', '300', '-1', 'x', '', '9223372036854775808']);

// What BY and GET of SORT meet: strings s0…s5, fields of hashes h0…h5, weights by element.
const pattern = (g) => g.pick(['s*', 'w_*', 'h*->f1', '*', 'h*->', 's*->f1', 'none*', '*_w*']);

function sortOptions(g, ro) {
  const alpha = g.random.chance(0.7);
  // Elements of one weight come in no order, so that LIMIT would show others.
  const by = g.maybe(['BY', g.random.chance(0.5) ? 'nosort' : pattern(g)], alpha ? 0.25 : 0.5);
  const isWeighed = by.length > 0 && by[1] !== 'nosort';
  const limit = isWeighed ? 0 : 0.3;
  // Of texts of equal weight, unlike numbers, Redis does not compare the elements themselves.
  const store = isWeighed && alpha ? 0 : ro ? 0.03 : 0.3;
  return g.random
    .shuffle([
      by,
      g.maybe([g.option('LIMIT'), g.pick(['0', '1', '-1', '5', 'x', '']), count(g)], limit),
      g.maybe(['GET', g.pick(['#', '#', pattern(g), 'nostar'])], 0.4),
      g.maybe(['GET', g.pick(['#', pattern(g)])], 0.2),
      g.maybe([g.option(g.pick(['ASC', 'DESC']))], 0.6),
      alpha ? [g.option('ALPHA')] : [],
      g.maybe(['STORE', g.key('l')], store),
    ])
    .flat();
}

export const kinds = ['l'];

export const rows = [
  [6, 'LPUSH', (g) => [g.key('l'), ...some(g, 1, 5)]],
  [6, 'RPUSH', (g) => [g.key('l'), ...some(g, 1, 5)]],
  [2, 'RPUSH', (g) => [g.key('l'), ...many(g)]],
  [2, 'LPUSH', (g) => [g.key('l'), ...many(g)]],
  [2, 'LPUSHX', (g) => [g.key('l'), ...some(g, 1, 3)]],
  [2, 'RPUSHX', (g) => [g.key('l'), ...some(g, 1, 3)]],
  [4, 'LPOP', (g) => [g.key('l'), ...g.maybe([count(g)])]],
  [4, 'RPOP', (g) => [g.key('l'), ...g.maybe([count(g)])]],
  [3, 'LLEN', (g) => [g.key('l')]],
  [4, 'LINDEX', (g) => [g.key('l'), index(g)]],
  [5, 'LRANGE', (g) => [g.key('l'), index(g), index(g)]],
  [4, 'LRANGE', (g) => [g.key('l'), '0', '-1']],
  [4, 'LSET', (g) => [g.key('l'), index(g), element(g)]],
  [
    5,
    'LINSERT',
    (g) => [
      g.key('l'),
      g.random.chance(0.96) ? g.option(g.pick(['BEFORE', 'AFTER'])) : g.junk(),
      element(g),
      element(g),
    ],
  ],
  [
    5,
    'LREM',
    (g) => [g.key('l'), g.pick(['0', '1', '-1', '2', '-3', '100', 'x']), element(g)],
  ],
  [4, 'LTRIM', (g) => [g.key('l'), index(g), index(g)]],
  [
    5,
    'LPOS',
    (g) => [
      g.key('l'),
      element(g),
      ...g.random
        .shuffle([
          g.maybe(
            [g.option('RANK'), g.pick(['1', '-1', '2', '-3', '0', 'x'])],
            0.4,
          ),
          g.maybe([g.option('COUNT'), count(g)], 0.5),
          g.maybe([g.option('MAXLEN'), count(g)], 0.3),
        ])
        .flat(),
    ],
  ],
  [5, 'LMOVE', (g) => [g.key('l'), g.key('l'), end(g), end(g)]],
  [4, 'RPOPLPUSH', (g) => [g.key('l'), g.key('l')]],
  [
    5,
    'LMPOP',
    (g) => {
      const keys = g.keys(1, 4, 'l');
      const said = g.random.chance(0.95) ? keys.length : g.pick(['0', '-1', 'x', '9', '2']);
      return [said, ...keys, end(g), ...g.maybe([g.option('COUNT'), count(g)], 0.5)];
    },
  ],
  [6, 'SORT', (g) => [g.key('l'), ...sortOptions(g, false)]],
  [3, 'SORT_RO', (g) => [g.key('l'), ...sortOptions(g, true)]],
  // Numbers alone, so that a SORT without ALPHA has something to do, and weights that differ.
  [
    2,
    'RPUSH',
    (g) => [g.key('l'), ...Array.from({ length: 8 }, () => String(g.random.between(-30, 30) / 2))],
  ],
  [1, 'DEL', (g) => [g.key('l')]],
  [
    1,
    'MSET',
    () => ['w_a', '3', 'w_b', '1', 'w_c', '2', 'w_1', '-7', 'w_2', 'x1', 'w_3', ''],
  ],
];

export const state = (key) => [
  ['LRANGE', key, '0', '-1'],
  ['LLEN', key],
];
