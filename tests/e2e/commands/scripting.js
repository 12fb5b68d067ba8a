// Scripts over the keys and arguments that they are given.
const TEXTS = [
  'return 1',
  'return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}',
  "return redis.call('GET',KEYS[1])",
  "return redis.pcall('GET',KEYS[1])",
  "return {pcall(redis.call,'INCR',KEYS[1])}",
  "redis.setresp(3) return redis.call('HGETALL',KEYS[2]).map ~= nil",
  "return redis.call('SET',KEYS[1],ARGV[1])",
  // Whole and small: 7.2 spells others by fewer digits than 7.0.
  "local n = tonumber(ARGV[1]) return redis.call('SET',KEYS[1],n and math.floor(n) % 65536 or 'none')",
  "local n=redis.call('APPEND',KEYS[1],'x') return {n,{ok='GOOD'},{err='BAD thing'},false,true,1.9,-1.9}",
  "return redis.call('EXISTS',KEYS[1],KEYS[2])",
  "return {redis.call('TYPE',KEYS[1]),redis.call('STRLEN',KEYS[1])}",
  "return redis.call('NOSUCH',KEYS[1])",
  "return redis.call('GET')",
  'return redis.call()',
  'return nosuch',
  'x = 1',
  'return 1 +',
  "error('boom')",
  "error({err='CODE text'})",
  'return redis.error_reply(ARGV[1] or "a b")',
  'return redis.status_reply("GOOD")',
  'return redis.sha1hex(ARGV[1] or "")',
  'return {double=3.5}',
  "return {big_number='12345678901234567890'}",
  "return {verbatim_string={string='abc',format='txt'}}",
  'return {map={a={1,2}}}',
  'return {1,2,nil,4}',
  'return {true,false,1.5,-1.5,"x"}',
  'return {1e15,-1e15,2^31,0/1}',
  'redis.setresp(3) return {true,false,nil,1}',
  'redis.setresp(3) return {double=3.25}',
  'redis.setresp(3) return {double=1/0}',
  'redis.setresp(3) return {map={a=1}}',
  'redis.setresp(3) return {map={[1]={set={x=true}}}}',
  'redis.setresp(3) return {set={a=true}}',
  'return {set={a=true}}',
  "redis.setresp(3) return {big_number='123',verbatim_string={string='a',format='txt'}}",
  "redis.setresp(3) return {verbatim_string={string='abc',format='txt'}}",
  "redis.setresp(3) return {1,{double=0.5},{map={}},{set={}},{ok='FINE'},{err='BAD thing'}}",
  "redis.setresp(3) return {type(redis.call('GET','nosuch')),type(redis.call('SMEMBERS','nosuch').set),type(redis.call('HGETALL','nosuch').map)}",
  "redis.setresp(3) return redis.call('HGETALL','nosuch')",
  "redis.setresp(3) return redis.call('SMEMBERS','nosuch')",
  "redis.setresp(3) return redis.call('GET','nosuch')",
  "redis.setresp(3) return redis.call('ZSCORE','nosuch','x')",
  "return {redis.call('GET','nosuch'),redis.call('SMEMBERS','nosuch'),redis.call('EXISTS','nosuch')}",
  "return {redis.call('TYPE','nosuch'),redis.call('TYPE','nosuch').ok}",
  'return {type(redis.call("PING")),redis.call("PING").ok}',
  'return cjson.encode({ARGV[1] or "x",{a=1},1.5,true})',
  "return cjson.decode('[1,{\"a\":[true,null,\"x\"]}]')",
  'return cmsgpack.unpack(cmsgpack.pack({1,{a="b"},-70000,1.5}))',
  "return struct.pack('>Ihb',1,-2,3)",
  "return {struct.unpack('<HBs',struct.pack('<HBs',500,7,'text'))}",
  'return bit.tohex(bit.bxor(255,15))',
  'return {("key=value"):match("(%w+)=(%w+)")}',
  'return {(ARGV[1] or "a,b"):gsub("[^,]","<%0>")}',
  'return {("THE (quick) fox"):find("%((%a+)%)")}',
  'return string.format("%5.2f|%s|%q",1.5,"x","a\\nb")',
  'return tostring(1e15) .. tostring(0.1) .. tostring(2^53)',
  'local t={} for w in ("a b c"):gmatch("%a") do t[#t+1]=w end table.sort(t,function(a,b) return a>b end) return t',
  'local c=coroutine.wrap(function() coroutine.yield(1) return 2 end) return {c(),c()}',
  '#!lua flags=no-writes\nreturn redis.call("SET",KEYS[1],"x")',
  '#!lua\nreturn #ARGV',
  '#!js\nreturn 1',
];

const keys = (g) => {
  const list = g.keys(2, 2);
  return ['2', ...list, ...g.keys(0, 0), ...g.maybe([g.value()], 0.7), ...g.maybe(['2'], 0.3)];
};

export const kinds = [];

const RETURN_1 = 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db'; // its SHA-1

export const rows = [
  [12, 'EVAL', (g) => [g.pick(TEXTS), ...keys(g)]],
  [3, 'EVAL_RO', (g) => [g.pick(TEXTS), ...keys(g)]],
  [1, 'EVAL', (g) => [g.pick(TEXTS), g.pick(['-1', '5', 'x', '0']), 'a']],
  [1, 'EVALSHA', (g) => [g.pick([RETURN_1, 'nosuch']), '0']],
  [1, 'EVALSHA_RO', (g) => [g.pick([RETURN_1, 'nosuch']), '0']],
  [
    1,
    'SCRIPT',
    (g) =>
      g.pick([
        ['EXISTS', 'nosuch', RETURN_1],
        ['LOAD', 'return 1'],
        ['LOAD', 'return 1'],
        ['LOAD', 'return ('],
        ['FLUSH', ...g.maybe([g.pick(['SYNC', 'async', 'x'])])],
      ]),
  ],
];
