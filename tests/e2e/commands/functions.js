// Libraries of functions, over the keys and arguments that they are given. Functions live beyond FLUSHALL,
// so names are few, and whatever stands at the beginning of a sequence is dropped by its first commands.
const lib = (name, body) => `#!lua name=${name}\n${body}`;
const fn = (name, body) => `redis.register_function('${name}', function(keys, args) ${body} end)\n`;
const table = (name, body, more) =>
  `redis.register_function{function_name='${name}', callback=function(keys, args) ${body} end, ${more}}\n`;

const BODIES = [
  'return 1',
  'return {keys, args}',
  "return redis.call('GET',keys[1])",
  "return redis.pcall('INCR',keys[1])",
  "return redis.call('SET',keys[1],args[1] or 'none')",
  "return redis.call('NOSUCH')",
  "error('boom')",
  "error({err='CODE text'})",
  'return KEYS',
  'x = 1',
  'return nosuch',
  "return redis.register_function('z', function() end)",
  'redis.setresp(3) return {double=3.5}',
  "return redis.call('FUNCTION','LIST')",
  "return loadstring('return 7')()",
  'return cjson.encode(keys)',
];

const TEXTS = [
  ...BODIES.map((body) => lib('one', fn('f', body))),
  ...BODIES.map((body) => lib('two', table('g', body, "flags={'no-writes'}"))),
  lib('one', fn('f', 'return 1') + fn('h', 'return 2')),
  lib('two', fn('h', 'return 2')),
  lib('three', `local n = 5\n${fn('n', 'return n')}`),
  lib('three', table('n', 'return 1', "description='some text', flags={'allow-oom','no-cluster'}")),
  lib('three', table('n', 'return 1', "flags={'unknown'}")),
  lib('three', table('n', 'return 1', 'more=1')),
  lib('one', ''),
  lib('one', 'return 1 +'),
  lib('one', "redis.call('PING')"),
  lib('one', 'x = 1'),
  lib('one', "redis.register_function('a-b', function() end)"),
  lib('one', "redis.register_function('f', function() end) redis.register_function('f', function() end)"),
  lib('a-b', fn('f', 'return 1')),
  '#!lua\nreturn 1',
  '#!js name=x\n',
  '#!lua name=x name=y\n',
  'return 1',
  '',
];

const name = (g) => g.pick(['f', 'g', 'h', 'n', 'F', 'nosuch']);
const library = (g) => g.pick(['one', 'two', 'three', 'nosuch']);
const keys = (g) => ['2', ...g.keys(2, 2), ...g.maybe([g.value()], 0.6)];

export const kinds = [];

export const rows = [
  [8, 'FUNCTION', (g) => ['LOAD', ...g.maybe([g.pick(['REPLACE', 'replace', 'OTHER'])], 0.8), g.pick(TEXTS)]],
  [10, 'FCALL', (g) => [name(g), ...keys(g)]],
  [4, 'FCALL_RO', (g) => [name(g), ...keys(g)]],
  [1, 'FCALL', (g) => [name(g), g.pick(['-1', '5', 'x', '0', '1']), 'a']],
  [2, 'FUNCTION', (g) => ['DELETE', library(g)]],
  [1, 'FUNCTION', (g) => ['FLUSH', ...g.maybe([g.pick(['SYNC', 'ASYNC', 'NOW'])], 0.5)]],
  [3, 'FUNCTION', (g) => ['LIST', ...g.maybe(['LIBRARYNAME', g.pick(['*', 'o*', 't*', 'nosuch'])], 0.5), ...g.maybe(['WITHCODE'], 0.5)]],
  [1, 'FUNCTION', () => ['STATS']],
  [1, 'FUNCTION', () => ['KILL']],
  [1, 'FUNCTION', (g) => ['RESTORE', 'x', ...g.maybe([g.pick(['FLUSH', 'APPEND', 'REPLACE', 'NEVER'])], 0.7)]],
  [1, 'FUNCTION', (g) => [g.pick(['NOSUCH', 'LOAD', 'DELETE', 'LIST x'])]],
];

export const state = () => [['FUNCTION', 'LIST', 'WITHCODE'], ['FUNCTION', 'STATS']];
