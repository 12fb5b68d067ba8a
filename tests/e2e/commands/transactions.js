// MULTI and kin. Most of a sequence runs outside a transaction, so EXEC is the likeliest of them.
export const kinds = [];

export const rows = [
  [3, 'MULTI', () => []],
  [9, 'EXEC', () => []],
  [1, 'DISCARD', () => []],
  // Not streams: in Godwit a consumer that XREADGROUP makes is a change of its key, which a WATCH notices; in
  // redis-server 7.0 it is not, though it is replicated.
  [3, 'WATCH', (g) => g.keys(1, 3).map((key) => key.replace(/^x/, 's'))],
  [1, 'UNWATCH', () => []],
];
