// The server's commands as far as two servers of different names can agree on them.
export const kinds = [];

// Damaged, they would answer what is the server's own.
const WHOLE = { whole: true };

const someCall = (g) =>
  g.pick([
    ['GET', g.key()],
    ['SET', g.key(), g.value()],
    ['MSET', g.key(), g.value(), g.key(), g.value()],
    ['LMPOP', '2', g.key('l'), g.key('l'), 'LEFT'],
    ['ZUNIONSTORE', g.key('z'), '2', g.key('z'), g.key('z')],
    ['XREAD', 'COUNT', '2', 'STREAMS', g.key('x'), g.key('x'), '0', '0'],
    ['SORT', g.key('l'), 'STORE', g.key('l')],
    ['EVAL', 'return 1', '1', g.key(), 'a'],
    ['PING', 'a'], // 7.2 takes a name alone, 7.0 does not
    ['NOSUCHCOMMAND', 'a'],
  ]);

export const rows = [
  [0.5, 'FLUSHALL', (g) => g.maybe([g.pick(['SYNC', 'ASYNC', 'x'])])],
  [1, 'MOVE', (g) => [g.key(), g.pick(['0', 'x', '-1', '99999'])]],
  [1, 'SWAPDB', (g) => [g.pick(['0', 'x']), g.pick(['0', 'x', '-1'])]],
  [2, 'COMMAND', (g) => [g.pick(['GETKEYS', 'GETKEYS', 'GETKEYSANDFLAGS']), ...someCall(g)], WHOLE],
  [1, 'COMMAND', (g) => g.pick([['NOSUCH'], ['INFO', 'nosuch'], ['DOCS', 'nosuch'], ['LIST', 'FILTERBY', 'x', 'y']]), WHOLE],
  [1, 'CONFIG', (g) => g.pick([['GET', 'nosuch'], ['SET', 'nosuch', '1'], ['GET'], ['SET', 'x'], ['NOSUCH']]), WHOLE],
  [1, 'SLOWLOG', (g) => g.pick([['RESET'], ['GET', 'x'], ['GET', '-5'], ['NOSUCH'], ['LEN', 'x']]), WHOLE],
  [
    1,
    'LATENCY',
    (g) => g.pick([['RESET', 'nosuch'], ['HISTORY', 'nosuch'], ['GRAPH', 'nosuch'], ['NOSUCH'], ['HISTORY']]),
    WHOLE,
  ],
  [1, 'READONLY', () => []],
  [1, 'READWRITE', () => []],
  [1, 'ASKING', () => []],
];

// What is in no row of any family, and why. Of a subcommand "container|name"; every HELP is prose.
export const apart = {
  bgrewriteaof: 'writes files; Godwit has none yet (server_cmds.test.js)',
  bgsave: 'as bgrewriteaof',
  save: 'as bgrewriteaof',
  lastsave: 'a time',
  debug: 'of the server itself',
  failover: 'of clusters',
  replicaof: 'of clusters',
  slaveof: 'of clusters',
  role: 'tells an offset of the log',
  sync: 'Redis’ own replication',
  psync: 'as sync',
  replconf: 'as sync',
  'restore-asking': 'of Redis’ clusters',
  migrate: 'of Redis’ clusters',
  cluster: 'of clusters',
  module: 'loads code',
  info: 'the server’s own numbers (server_cmds.test.js)',
  lolwut: 'the server’s own',
  time: 'a time',
  monitor: 'ends the connection’s replies (server_cmds.test.js)',
  quit: 'ends the connection (lifecycle.test.js)',
  reset: 'ends its authentication (pubsub.test.js, tracking.test.js)',
  shutdown: 'ends the server (lifecycle.test.js)',
  subscribe: 'its replies come one by one (pubsub.test.js)',
  psubscribe: 'as subscribe',
  ssubscribe: 'as subscribe',
  unsubscribe: 'as subscribe',
  punsubscribe: 'as subscribe',
  sunsubscribe: 'as subscribe',
  waitaof: 'came with 7.2 (server_cmds.test.js)',
  'client|setinfo': 'came with 7.2 (server_cmds.test.js)',
  'client|no-touch': 'came with 7.2 (server_cmds.test.js)',
  'client|no-evict': 'of the server itself (server_cmds.test.js)',
  'client|info': 'ids and ages (server_cmds.test.js)',
  'client|list': 'as client|info',
  'client|kill': 'ends connections (server_cmds.test.js, unit/edge/client)',
  'client|pause': 'holds up the other side of the comparison (server_cmds.test.js)',
  'client|unpause': 'as client|pause',
  'client|unblock': 'of other connections (blocking.test.js)',
  'script|kill': 'of a script that runs (scripts.test.js)',
  'function|kill': 'as script|kill (functions.test.js)',
  'config|resetstat': 'of the server itself (config.test.js)',
  'config|rewrite': 'writes a file (config.test.js)',
  'memory|doctor': 'the allocator’s figures (server_cmds.test.js)',
  'memory|malloc-stats': 'as memory|doctor',
  'memory|purge': 'as memory|doctor',
  'memory|stats': 'as memory|doctor',
  'latency|doctor': 'times (server_cmds.test.js)',
  'latency|histogram': 'as latency|doctor',
  'latency|latest': 'as latency|doctor',
  'command|count': 'another number of commands (server_cmds.test.js)',
};
