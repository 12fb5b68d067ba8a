// Publish and subscribe as far as one connection without subscriptions sees it; the rest is in
// pubsub.test.js.
export const kinds = [];

export const rows = [
  [1, 'PUBLISH', (g) => [g.value(), g.value()]],
  [1, 'SPUBLISH', (g) => [g.value(), g.value()]],
  [1, 'PUBSUB', (g) => g.pick([['CHANNELS'], ['CHANNELS', g.value()], ['NUMPAT'], ['SHARDCHANNELS']])],
  [1, 'PUBSUB', (g) => [g.pick(['NUMSUB', 'SHARDNUMSUB']), g.value(), ...g.maybe([g.value()])]],
  [1, 'CLIENT', (g) => g.pick([['TRACKINGINFO'], ['GETREDIR'], ['CACHING', 'YES'], ['TRACKING', 'OFF']])],
];
