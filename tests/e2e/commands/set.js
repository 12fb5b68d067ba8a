// Sets. What SPOP takes is chance, so that here it takes all or nothing; tests/unit has the rest.
const MEMBERS = ['a', 'b', 'c', '1', '2', '3', '-7', '01', '300', '70000', '9223372036854775807'];

function member(g) {
  return g.random.weighted([
    [80, () => g.pick(MEMBERS)],
    [12, () => String(g.random.between(-40, 40))],
    [5, () => g.value()],
    [3, () => Buffer.alloc(g.random.between(60, 70), 'm')],
  ])();
}

function members(g, least, most) {
  return Array.from({ length: g.random.between(least, most) }, () => member(g));
}

function numbers(g) {
  const from = g.random.between(0, 60) * 10;
  return Array.from({ length: g.pick([20, 130, 400, 520]) }, (_, i) => String(from + i));
}

function words(g) {
  const from = g.random.between(0, 20) * 10;
  return Array.from({ length: g.pick([20, 126, 300]) }, (_, i) => `w${from + i}`);
}

const set = (g) => g.key('e');
const sets = (g, least = 1, most = 4) => g.keys(least, most, 'e');

export const kinds = ['e'];

export const rows = [
  [10, 'SADD', (g) => [set(g), ...members(g, 1, 5)]],
  [2, 'SADD', (g) => [set(g), ...numbers(g)]],
  [2, 'SADD', (g) => [set(g), ...words(g)]],
  [6, 'SREM', (g) => [set(g), ...members(g, 1, 5)]],
  [1, 'SREM', (g) => [set(g), ...numbers(g), ...words(g)]],
  [4, 'SISMEMBER', (g) => [set(g), member(g)]],
  [3, 'SMISMEMBER', (g) => [set(g), ...members(g, 1, 4)]],
  [3, 'SCARD', (g) => [set(g)]],
  [3, 'SMEMBERS', (g) => [set(g)]],
  [5, 'SMOVE', (g) => [set(g), set(g), member(g)]],
  // Without its count it would take one by chance.
  [2, 'SPOP', (g) => [set(g), g.pick(['0', '100000', '100000', '-1', 'x'])], { whole: true }],
  [1, 'SPOP', (g) => ['never there', ...g.maybe([g.pick(['1', '5'])])]],
  [
    4,
    'SRANDMEMBER',
    (g) => [
      set(g),
      ...g.maybe([g.pick(['0', '1', '3', '100000', '-1', '-5', 'x', '-9223372036854775808'])], 0.8),
    ],
  ],
  [
    3,
    'SSCAN',
    (g) => [
      set(g),
      g.pick(['0', '0', '0', '0', 'x']),
      ...g.random
        .shuffle([
          g.maybe(['MATCH', g.pick(['*', 'w*', '*1*', '[ab]', ''])], 0.4),
          ['COUNT', g.pick(['100000', '100000', '0', 'x'])],
        ])
        .flat(),
    ],
  ],
  [4, 'SINTER', (g) => sets(g)],
  [4, 'SUNION', (g) => sets(g)],
  [4, 'SDIFF', (g) => sets(g)],
  [
    4,
    'SINTERCARD',
    (g) => {
      const keys = sets(g);
      return [
        g.random.chance(0.9) ? String(keys.length) : g.pick(['0', '-1', 'x', '9', '99999999999']),
        ...keys,
        ...g.maybe([g.option('LIMIT'), g.pick(['0', '1', '2', '100', '-1', 'x'])], 0.4),
      ];
    },
  ],
  [3, 'SINTERSTORE', (g) => sets(g, 2, 5)],
  [3, 'SUNIONSTORE', (g) => sets(g, 2, 5)],
  [3, 'SDIFFSTORE', (g) => sets(g, 2, 5)],
];

export const state = (key) => [
  ['SMEMBERS', key],
  ['SCARD', key],
];
