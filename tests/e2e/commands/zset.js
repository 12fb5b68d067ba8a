// Sorted sets and places: what the differential test may send.
export const kinds = ['z'];

const SCORES = ['0', '1', '2', '3', '-1', '1.5', '2.25', '-3.75', '100', '1e3', '0.1', '3.14159'];
const ODD_SCORES = ['inf', '-inf', '+inf', 'nan', '1e400', 'x', '', '1e-5', '0x10', '-0', '1 ', '12345678901234567'];
const SCORE_BOUNDS = ['-inf', '+inf', '0', '1', '(1', '2', '(2', '3', '-1', '(100', '1.5', 'inf', '(-3.75'];
const ODD_BOUNDS = ['x', '', '(', '((1', 'nan', '(x', '[1'];
const NAME_BOUNDS = ['-', '+', '[m1', '(m1', '[m3', '(m5', '[m', '[n', '[', '('];
const ODD_NAMES = ['m1', '', '*', '-1', '++', '-x'];
const PLACES = [
  ['13.361389', '38.115556'],
  ['15.087269', '37.502669'],
  ['13.583333', '37.316667'],
  ['2.349', '48.864'],
  ['-122.27652', '37.805186'],
  ['-0.12', '51.5'],
  ['179.99', '-16.5'],
  ['-179.9', '-17'],
  ['10', '80.5'],
  ['0', '0'],
];
const ODD_PLACES = [
  ['200', '10'],
  ['10', '86'],
  ['x', '1'],
  ['1', ''],
];

function score(g) {
  return g.random.chance(0.92) ? g.pick(SCORES) : g.pick(ODD_SCORES);
}

function fineScore(g) {
  return g.random.chance(0.9) ? g.pick(SCORES) : String(g.random.between(-100000, 100000) / 8);
}

function member(g) {
  return g.random.chance(0.97) ? `m${g.random.below(10)}` : g.pick(['', 'a longer member', '\xff']);
}

function members(g, least, most) {
  return Array.from({ length: g.random.between(least, most) }, () => member(g));
}

function pairs(g, least, most) {
  return members(g, least, most).flatMap((m) => [g.random.chance(0.97) ? fineScore(g) : score(g), m]);
}

function scoreBound(g) {
  return g.random.chance(0.95) ? g.pick(SCORE_BOUNDS) : g.pick(ODD_BOUNDS);
}

function nameBound(g) {
  return g.random.chance(0.95) ? g.pick(NAME_BOUNDS) : g.pick(ODD_NAMES);
}

function limit(g) {
  return g.maybe(
    [g.option('LIMIT'), g.pick(['0', '1', '2', '-1', '100', 'x']), g.pick(['1', '2', '3', '-1', '0', '100'])],
    0.3,
  );
}

function withScores(g) {
  return g.maybe([g.option('WITHSCORES')], 0.4);
}

// Keys whose members all have score 0, for ranges of names: of no kind, so that nothing else is copied
// there. (Among scores that differ a range of names is whatever a walk happens upon, in Redis too.)
function lexKey(g) {
  return g.random.chance(0.95) ? `lex${g.random.below(2)}` : g.key(g.pick(['s', 'h', 'none']));
}

function key(g) {
  return g.key('z');
}

function rangeTail(g) {
  return g.random.weighted([
    [30, () => [g.index(), g.index(), ...g.maybe([g.option('REV')], 0.3)]],
    [30, () => [scoreBound(g), scoreBound(g), g.option('BYSCORE'), ...g.maybe([g.option('REV')], 0.4), ...limit(g)]],
    [5, () => [g.index(), g.index(), ...limit(g), ...g.maybe(['BYLEX'], 0.2)]],
  ])();
}

function keys(g) {
  const n = g.random.between(1, 3);
  const list = Array.from({ length: n }, () => (g.random.chance(0.95) ? key(g) : lexKey(g)));
  return [g.random.chance(0.95) ? n : g.pick(['0', '-1', 'x', '9']), ...list];
}

function weights(g, count) {
  return g.maybe(
    [g.option('WEIGHTS'), ...Array.from({ length: count }, () => g.pick(['1', '2', '0', '-1', '0.5', '3', 'inf']))],
    0.3,
  );
}

function aggregate(g) {
  return g.maybe([g.option('AGGREGATE'), g.pick(['SUM', 'min', 'MAX', 'x'])], 0.3);
}

function operation(g) {
  const of = keys(g);
  return [...of, ...weights(g, of.length - 1), ...aggregate(g)];
}

function add(g, flags) {
  return [key(g), ...g.maybe([g.option(g.pick(flags))], 0.4), ...g.maybe([g.option(g.pick(flags))], 0.2)];
}

function place(g) {
  return g.random.chance(0.97) ? g.pick(PLACES) : g.pick(ODD_PLACES);
}

function unit(g) {
  return g.random.chance(0.97) ? g.pick(['m', 'km', 'KM', 'ft', 'mi']) : g.pick(['x', '']);
}

function geoKey(g) {
  return g.random.chance(0.95) ? 'z3' : g.key(g.pick(['s', 'none', 'z']));
}

function town(g) {
  return g.random.chance(0.95) ? `t${g.random.below(10)}` : 'nowhere';
}

function radius(g) {
  return [g.random.chance(0.97) ? g.pick(['200', '1', '0', '5000', '100000', '1e7', '300.5']) : g.pick(['-1', 'x']), unit(g)];
}

function box(g) {
  const side = () => (g.random.chance(0.97) ? g.pick(['400', '10', '0', '3000', '20000', '1e6']) : g.pick(['-1', 'x']));
  return [side(), side(), unit(g)];
}

// Which of several at the same distance are within a COUNT is nobody's to say, and would be stored.
function searchTail(g, stores) {
  const counts = stores ? ['100000', '0', 'x'] : ['1', '2', '5', '100', '0', 'x'];
  return g.random
    .shuffle([
      g.maybe([g.option(g.pick(['ASC', 'DESC']))], 0.5),
      g.maybe([g.option('COUNT'), g.pick(counts), ...g.maybe(['ANY'], 0.2)], 0.3),
      stores ? [] : g.maybe([g.option('WITHDIST')], 0.4),
      stores ? [] : g.maybe([g.option('WITHHASH')], 0.3),
      stores ? [] : g.maybe([g.option('WITHCOORD')], 0.4),
      g.maybe(['ANY'], 0.02),
    ])
    .flat();
}

function searchFrom(g) {
  const from = g.random.chance(0.5) ? [g.option('FROMMEMBER'), town(g)] : [g.option('FROMLONLAT'), ...place(g)];
  const by = g.random.chance(0.5) ? [g.option('BYRADIUS'), ...radius(g)] : [g.option('BYBOX'), ...box(g)];
  const both = g.random.chance(0.02) ? [g.option('FROMLONLAT'), ...place(g)] : [];
  return g.random.shuffle([g.random.chance(0.97) ? from : [], g.random.chance(0.97) ? by : [], both]).flat();
}

export const rows = [
  [10, 'ZADD', (g) => [...add(g, ['NX', 'XX', 'GT', 'LT', 'CH']), ...pairs(g, 1, 4)]],
  [3, 'ZADD', (g) => [...add(g, ['NX', 'XX', 'GT', 'LT', 'INCR', 'INCR']), score(g), member(g)]],
  [5, 'ZADD', (g) => [lexKey(g), ...members(g, 1, 5).flatMap((m) => ['0', m])]],
  [1, 'ZADD', (g) => [lexKey(g), ...Array.from({ length: 140 }, (_, i) => ['0', `n${i * 7}`]).flat()]],
  [1, 'ZADD', (g) => [key(g), ...Array.from({ length: 140 }, (_, i) => [i % 9, `n${i}`]).flat()]],
  [1, 'ZADD', (g) => [key(g), score(g), Buffer.alloc(g.random.between(60, 70), 'v')]],
  [4, 'ZINCRBY', (g) => [key(g), score(g), member(g)]],
  [5, 'ZREM', (g) => [g.key('z'), ...members(g, 1, 4)]],
  [3, 'ZSCORE', (g) => [g.key('z'), member(g)]],
  [2, 'ZMSCORE', (g) => [g.key('z'), ...members(g, 1, 4)]],
  [2, 'ZCARD', (g) => [g.key('z')]],
  [3, 'ZCOUNT', (g) => [g.key('z'), scoreBound(g), scoreBound(g)]],
  [3, 'ZLEXCOUNT', (g) => [lexKey(g), nameBound(g), nameBound(g)]],
  [3, 'ZRANK', (g) => [g.key('z'), member(g)]],
  [3, 'ZREVRANK', (g) => [g.key('z'), member(g)]],
  [6, 'ZRANGE', (g) => [key(g), ...rangeTail(g), ...withScores(g)]],
  [3, 'ZRANGE', (g) => [lexKey(g), nameBound(g), nameBound(g), 'BYLEX', ...g.maybe(['REV'], 0.4), ...limit(g)]],
  [4, 'ZRANGESTORE', (g) => [key(g), key(g), ...rangeTail(g), ...g.maybe(['WITHSCORES'], 0.02)]],
  [3, 'ZRANGEBYSCORE', (g) => [g.key('z'), scoreBound(g), scoreBound(g), ...withScores(g), ...limit(g)]],
  [3, 'ZREVRANGEBYSCORE', (g) => [g.key('z'), scoreBound(g), scoreBound(g), ...limit(g), ...withScores(g)]],
  [3, 'ZRANGEBYLEX', (g) => [lexKey(g), nameBound(g), nameBound(g), ...limit(g), ...g.maybe(['WITHSCORES'], 0.02)]],
  [3, 'ZREVRANGEBYLEX', (g) => [lexKey(g), nameBound(g), nameBound(g), ...limit(g)]],
  [3, 'ZREVRANGE', (g) => [g.key('z'), g.index(), g.index(), ...withScores(g)]],
  [3, 'ZREMRANGEBYRANK', (g) => [g.key('z'), g.index(), g.index()]],
  [3, 'ZREMRANGEBYSCORE', (g) => [g.key('z'), scoreBound(g), scoreBound(g)]],
  [2, 'ZREMRANGEBYLEX', (g) => [lexKey(g), nameBound(g), nameBound(g)]],
  [3, 'ZPOPMIN', (g) => [g.key('z'), ...g.maybe([g.pick(['0', '1', '2', '5', '-1', 'x'])])]],
  [3, 'ZPOPMAX', (g) => [g.key('z'), ...g.maybe([g.pick(['0', '1', '2', '5', '-1', 'x'])])]],
  [
    3,
    'ZMPOP',
    (g) => [...keys(g), g.pick(['MIN', 'max', 'MIN', 'MAX', 'x']), ...g.maybe(['COUNT', g.pick(['1', '2', '5', '0', 'x'])], 0.4)],
  ],
  [
    3,
    'ZRANDMEMBER',
    (g) => [
      g.key('z'),
      ...g.maybe(
        [
          g.pick(['0', '1', '3', '1000', '-1', '-5', 'x', '-9223372036854775808']),
          ...g.maybe([g.pick(['WITHSCORES', 'withscores', 'x'])]),
        ],
        0.8,
      ),
    ],
  ],
  [
    3,
    'ZSCAN',
    (g) => [
      g.key('z'),
      g.pick(['0', '0', '0', '0', 'x']),
      ...g.random
        .shuffle([g.maybe(['MATCH', g.pick(['*', 'm*', 'm[1-3]', 'x'])], 0.4), ['COUNT', g.pick(['100000', '100000', '0', 'x'])]])
        .flat(),
    ],
  ],
  [3, 'ZUNION', (g) => [...operation(g), ...withScores(g)]],
  [3, 'ZINTER', (g) => [...operation(g), ...withScores(g)]],
  [2, 'ZDIFF', (g) => [...keys(g), ...withScores(g), ...g.maybe(aggregate(g), 0.05)]],
  [2, 'ZINTERCARD', (g) => [...keys(g), ...g.maybe(['LIMIT', g.pick(['0', '1', '3', '-1', 'x'])], 0.4)]],
  [3, 'ZUNIONSTORE', (g) => [key(g), ...operation(g), ...g.maybe(['WITHSCORES'], 0.02)]],
  [3, 'ZINTERSTORE', (g) => [key(g), ...operation(g)]],
  [2, 'ZDIFFSTORE', (g) => [key(g), ...keys(g)]],
  [6, 'GEOADD', (g) => [geoKey(g), ...g.maybe([g.option(g.pick(['NX', 'XX', 'CH']))], 0.3), ...Array.from({ length: g.random.between(1, 3) }, () => [...place(g), town(g)]).flat()]],
  [2, 'GEOPOS', (g) => [geoKey(g), town(g), town(g)]],
  [2, 'GEOHASH', (g) => [geoKey(g), town(g), town(g)]],
  [3, 'GEODIST', (g) => [geoKey(g), town(g), town(g), ...g.maybe([unit(g)])]],
  [2, 'GEORADIUS', (g) => [geoKey(g), ...place(g), ...radius(g), ...searchTail(g)]],
  [2, 'GEORADIUS', (g) => [geoKey(g), ...place(g), ...radius(g), ...searchTail(g, true), g.pick(['STORE', 'storedist']), key(g)]],
  [1, 'GEORADIUS_RO', (g) => [geoKey(g), ...place(g), ...radius(g), ...searchTail(g), ...g.maybe(['STORE', 'z1'], 0.05)]],
  [2, 'GEORADIUSBYMEMBER', (g) => [geoKey(g), town(g), ...radius(g), ...searchTail(g)]],
  [1, 'GEORADIUSBYMEMBER_RO', (g) => [geoKey(g), town(g), ...radius(g), ...searchTail(g)]],
  [5, 'GEOSEARCH', (g) => [geoKey(g), ...searchFrom(g), ...searchTail(g)]],
  [3, 'GEOSEARCHSTORE', (g) => [key(g), geoKey(g), ...searchFrom(g), ...searchTail(g, true), ...g.maybe(['STOREDIST'], 0.3)]],
];

export const state = (name) => [
  ['ZRANGE', name, '0', '-1', 'WITHSCORES'],
  ['ZREVRANGE', name, '0', '-1'],
  ['ZCARD', name],
  ['ZRANGE', `lex${name.at(-1)}`, '0', '-1', 'WITHSCORES'],
];
