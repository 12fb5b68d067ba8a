// MULTI and kin. Most of a sequence runs outside a transaction, so EXEC is the likeliest of them.
export const kinds = [];

export const rows = [
  [3, 'MULTI', () => []],
  [9, 'EXEC', () => []],
  [1, 'DISCARD', () => []],
  [3, 'WATCH', (g) => g.keys(1, 3)],
  [1, 'UNWATCH', () => []],
];
