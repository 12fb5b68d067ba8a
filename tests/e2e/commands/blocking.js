// Commands that wait: mostly for what is there; else for so little that a sequence may hold some of them.
export const kinds = [];

const timeout = (g) => g.pick(['0.01', '0.01', '0.01', '0.02', '-1', 'x', 'nan']);
const end = (g) => g.pick(['LEFT', 'right', 'LEFT', 'RIGHT', 'x']);

export const rows = [
  [1, 'BLPOP', (g) => [...g.keys(1, 2, 'l'), timeout(g)]],
  [1, 'BRPOP', (g) => [...g.keys(1, 2, 'l'), timeout(g)]],
  [1, 'BLMOVE', (g) => [g.key('l'), g.key('l'), end(g), end(g), timeout(g)]],
  [1, 'BRPOPLPUSH', (g) => [g.key('l'), g.key('l'), timeout(g)]],
  [1, 'BLMPOP', (g) => [timeout(g), '2', ...g.keys(2, 2, 'l'), end(g), ...g.maybe(['COUNT', g.pick(['1', '3', '0', 'x'])])]],
  [1, 'BZPOPMIN', (g) => [...g.keys(1, 2, 'z'), timeout(g)]],
  [1, 'BZPOPMAX', (g) => [...g.keys(1, 2, 'z'), timeout(g)]],
  [1, 'BZMPOP', (g) => [timeout(g), '1', g.key('z'), g.pick(['MIN', 'max', 'x']), ...g.maybe(['COUNT', g.pick(['1', '3', '0'])])]],
];
