// HyperLogLogs. GET of every key, which the test ends with, compares their bytes.
const key = (g) => g.key('p');

function elements(g, least, most) {
  return Array.from({ length: g.random.between(least, most) }, () =>
    g.random.chance(0.9) ? `e${g.random.below(4000)}` : g.value(),
  );
}

export const kinds = ['p'];

export const rows = [
  [8, 'PFADD', (g) => [key(g), ...elements(g, 0, 4)]],
  [2, 'PFADD', (g) => [key(g), ...elements(g, 100, 400)]],
  [1, 'PFADD', (g) => [key(g), ...elements(g, 1500, 2500)]],
  [6, 'PFCOUNT', (g) => g.keys(1, g.pick([1, 1, 3]), 'p')],
  [4, 'PFMERGE', (g) => g.keys(1, 4, 'p')],
  [3, 'PFDEBUG', (g) => [g.option(g.pick(['ENCODING', 'DECODE', 'TODENSE', 'x'])), key(g)]],
  [1, 'PFDEBUG', (g) => ['GETREG', key(g)]],
  [0, 'PFSELFTEST', () => []], // a second of redis-server's: the test asks once
  // What clients may do to the head: the count that is kept, the magic, the form.
  [
    1,
    'SETRANGE',
    (g) => [key(g), g.pick(['0', '3', '4', '8', '9', '15']), g.pick(['\x00', '\x01', 'Y', '\x80'])],
  ],
  [1, 'SET', (g) => [key(g), g.pick(['', 'HYLL', 'HYLL\x00', 'HYLL\x01567890123456'])]],
];
