// Users: the published clients log in as them; what they may not is refused wherever it is tried; a change
// counts at once, for who is connected too; users last over a restart.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { eventually, within } from '../lib/eventually.js';
import { show } from '../lib/resp.js';
import { godwitOnly, run, startServer, tempDir, writeSecret, GODWIT } from '../lib/server.js';

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const NOPERM_KEY = '-NOPERM No permissions to access a key';

async function start(t, options = {}) {
  const server = await startServer(t, { workers: 2, ...options });
  return { server, admin: await server.client(t) };
}

// A connection of this user's.
async function as(t, server, user, password, proto = 2) {
  const client = await server.client(t, { password: null });
  const reply =
    proto === 3
      ? await client.call('HELLO', 3, 'AUTH', user, password)
      : await client.call('AUTH', user, password);
  assert.match(show(reply), proto === 3 ? /^%/ : /^\+OK/);
  return client;
}

const isClosed = (client) => within(client.closed, 5000, 'being disconnected');

test('ioredis and node-redis log in as a user', async (t) => {
  const { server, admin } = await start(t);
  await admin.cmd('ACL', 'SETUSER', 'app', 'on', '>s3cret', '~app:*', '&news:*', '+@all', '-@dangerous');

  const io = new Redis({ port: server.port, username: 'app', password: 's3cret', enableReadyCheck: false });
  io.on('error', () => {});
  t.after(() => io.disconnect());
  assert.equal(await io.set('app:1', 'x'), 'OK');
  await assert.rejects(io.get('other'), /^ReplyError: NOPERM No permissions to access a key/);
  await assert.rejects(io.flushall(), /NOPERM User app has no permissions to run the 'flushall' command/);
  await assert.rejects(io.publish('other', 'x'), /NOPERM No permissions to access a channel/);
  assert.equal(await io.acl('WHOAMI'), 'app');

  const node = createClient({
    socket: { port: server.port, host: '127.0.0.1', reconnectStrategy: false },
    username: 'app',
    password: 's3cret',
    RESP: 3,
  });
  node.on('error', () => {});
  await node.connect();
  t.after(() => node.isOpen && node.destroy());
  assert.equal(await node.get('app:1'), 'x');
  await assert.rejects(node.get('other'), /NOPERM/);
  await assert.rejects(node.multi().set('app:2', '1').get('other').exec());
  assert.equal(await node.get('app:2'), null, 'a transaction that was refused in part did nothing');

  const wrong = new Redis({ port: server.port, username: 'app', password: 'no', retryStrategy: null, lazyConnect: true });
  const errors = [];
  wrong.on('error', (err) => errors.push(err.message));
  t.after(() => wrong.disconnect());
  await wrong.connect().catch((err) => errors.push(err.message));
  await eventually(() => errors.some((e) => /WRONGPASS/.test(e)));
});

test('who deletes a user disconnects it, and nobody else', async (t) => {
  const { server, admin } = await start(t);
  await admin.cmd('ACL', 'SETUSER', 'bob', 'on', '>pw', 'allkeys', '+@all');
  await admin.cmd('ACL', 'SETUSER', 'eve', 'on', '>pw', 'allkeys', '+@all');
  const bobs = await Promise.all([1, 2, 3, 4].map(() => as(t, server, 'bob', 'pw')));
  const eve = await as(t, server, 'eve', 'pw', 3);

  assert.match(await admin.cmd('CLIENT', 'LIST'), / user=bob .* user=eve /s);
  assert.equal(await admin.cmd('CLIENT', 'KILL', 'USER', 'bob'), 4);
  await Promise.all(bobs.map(isClosed));
  assert.match(show(await admin.call('CLIENT', 'KILL', 'USER', 'nobody')), /^-ERR No such user 'nobody'/);
  const again = await Promise.all([1, 2, 3].map(() => as(t, server, 'bob', 'pw')));
  assert.equal(await admin.cmd('ACL', 'DELUSER', 'bob', 'nobody'), 1);
  await Promise.all(again.map(isClosed));
  assert.equal(await eve.cmd('ACL', 'WHOAMI'), 'eve');
  assert.match(show(await admin.call('ACL', 'DELUSER', 'default')), /^-ERR The 'default' user cannot be removed/);
});

test('a change counts at once: for connections, subscriptions and what is queued', async (t) => {
  const { server, admin } = await start(t);
  await admin.cmd('ACL', 'SETUSER', 'bob', 'on', '>pw', '~*', '&a*', '&b', '+@all');
  const bob = await as(t, server, 'bob', 'pw');
  const listener = await as(t, server, 'bob', 'pw');
  const patient = await as(t, server, 'bob', 'pw');

  await listener.call('SUBSCRIBE', 'ab');
  await patient.call('PSUBSCRIBE', 'b');
  assert.equal(show(await bob.call('MULTI')), '+OK');
  assert.equal(show(await bob.call('SET', 'k', '1')), '+QUEUED');
  assert.equal(show(await bob.call('INCR', 'k')), '+QUEUED');
  await admin.cmd('ACL', 'SETUSER', 'bob', '-incr', 'resetchannels', '&b');
  await isClosed(listener);
  assert.equal((await patient.cmd('PING'))[0], 'pong', 'what it may hear, it goes on hearing');
  const [set, incr] = (await bob.call('EXEC')).a;
  assert.equal(show(set), '+OK');
  assert.match(
    incr.s,
    /^NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call\. This command is no longer allowed for the following reason: no permission to execute the command or subcommand$/,
  );
  assert.equal(await admin.cmd('GET', 'k'), '1');
  // What is refused while it is queued makes EXEC refuse all.
  await bob.call('MULTI');
  assert.match(show(await bob.call('INCR', 'k')), /^-NOPERM User bob has no permissions to run the 'incr' command/);
  assert.match(show(await bob.call('EXEC')), /^-EXECABORT/);
  await admin.cmd('ACL', 'SETUSER', 'bob', '-exec');
  await bob.call('MULTI');
  assert.match(
    show(await bob.call('EXEC')),
    /^-EXECABORT Transaction discarded because of: NOPERM User bob has no permissions to run the 'exec' command/,
  );
});

test('a command that waits is judged again when its user changes', godwitOnly, async (t) => {
  const { server, admin } = await start(t);
  await admin.cmd('ACL', 'SETUSER', 'bob', 'on', '>pw', '~l', '~m', '+@all');
  const waiting = await Promise.all(Array.from({ length: 4 }, () => as(t, server, 'bob', 'pw')));
  const replies = waiting.map((c, i) => c.call('BLPOP', i % 2 ? 'm' : 'l', 0));

  await eventually(async () => (await admin.cmd('INFO', 'clients')).includes('blocked_clients:4'));
  await admin.cmd('ACL', 'SETUSER', 'bob', 'resetkeys', '~m');
  assert.equal(show(await replies[0]), NOPERM_KEY);
  assert.equal(show(await replies[2]), NOPERM_KEY);
  await admin.cmd('RPUSH', 'l', 'secret');
  await admin.cmd('RPUSH', 'm', '1', '2');
  assert.equal((await replies[1]).a.length, 2, 'the others go on waiting, and are served');
  assert.equal((await replies[3]).a.length, 2);
  assert.equal(await admin.cmd('LLEN', 'l'), 1);
});

test('scripts run as who calls them', async (t) => {
  const { server, admin } = await start(t);
  await admin.cmd('ACL', 'SETUSER', 'bob', 'on', '>pw', '~a*', '+eval', '+get', '+set', '+multi', '+exec');
  const bob = await as(t, server, 'bob', 'pw');
  const says = async (script, ...keys) => show(await bob.call('EVAL', script, keys.length, ...keys));

  assert.equal(await says("return redis.call('SET', KEYS[1], '1')", 'a1'), '+OK');
  assert.equal(await says('return 1', 'b'), NOPERM_KEY);
  assert.match(
    await says("return redis.call('DEL', KEYS[1])", 'a1'),
    /^-NOPERM ACL failure in script: User bob has no permissions to run the 'del' command/,
  );
  assert.match(await says("return redis.pcall('GET', 'b')"), /^-NOPERM ACL failure in script: No permissions to access a key/);
  assert.equal(await says("return redis.acl_check_cmd('GET', 'a1') and 1 or 0"), ':1');
  assert.equal(await says("return redis.acl_check_cmd('GET', 'b') and 1 or 0"), ':0');
  assert.equal(await says("return redis.acl_check_cmd('DEL', 'a1') and 1 or 0"), ':0');
  const entry = (await admin.cmd('ACL', 'LOG', 1))[0];
  assert.equal(entry[entry.indexOf('context') + 1], 'lua');
  assert.equal(entry[entry.indexOf('username') + 1], 'bob');
});

test('SORT looks at other keys for those only who may read them all', async (t) => {
  const { server, admin } = await start(t);
  await admin.cmd('RPUSH', 'l', '1', '2');
  await admin.cmd('ACL', 'SETUSER', 'bob', 'on', '>pw', '~l', '%W~d', '+sort', '+sort_ro');
  const bob = await as(t, server, 'bob', 'pw');

  assert.match(show(await bob.call('SORT', 'l', 'BY', 'w_*')), /^-ERR BY option of SORT denied due to insufficient ACL permissions/);
  assert.match(show(await bob.call('SORT_RO', 'l', 'GET', 'x_*')), /^-ERR GET option of SORT denied due to insufficient ACL permissions/);
  assert.deepEqual(await bob.cmd('SORT', 'l', 'BY', 'nosort'), ['1', '2']);
  assert.equal(await bob.cmd('SORT', 'l', 'STORE', 'd'), 2);
  assert.equal(show(await bob.call('SORT', 'l', 'STORE', 'e')), NOPERM_KEY);
  await admin.cmd('ACL', 'SETUSER', 'bob', '%R~*');
  assert.deepEqual(await bob.cmd('SORT', 'l', 'BY', 'w_*'), ['1', '2']);
});

test('the default user is what the password says, until rules say otherwise', godwitOnly, async (t) => {
  const { server, admin } = await start(t);

  assert.match((await admin.cmd('ACL', 'LIST')).join(), new RegExp(`user default on sanitize-payload #${sha256('swordfish')} ~\\* &\\* \\+@all`));
  await admin.cmd('CONFIG', 'SET', 'requirepass', 'other');
  assert.equal(show(await (await server.client(t, { password: null })).call('AUTH', 'swordfish')).slice(0, 10), '-WRONGPASS');
  await server.client(t, { password: 'other' });
  await admin.cmd('ACL', 'SETUSER', 'default', '-get');
  assert.match(show(await admin.call('GET', 'k')), /^-NOPERM User default has no permissions to run the 'get' command/);
  await admin.cmd('ACL', 'SETUSER', 'default', 'nopass');
  const open = await server.client(t, { password: null });
  assert.equal(await open.cmd('PING'), 'PONG');
  assert.match(show(await open.call('AUTH', 'x')), /^-ERR AUTH <password> called without any password configured/);
  await admin.cmd('ACL', 'SETUSER', 'default', 'off');
  assert.match(show(await (await server.client(t, { password: null })).call('PING')), /^-NOAUTH/);
});

test('CONFIG REWRITE keeps users among the settings', godwitOnly, async (t) => {
  const dir = tempDir(t);
  const config = writeSecret(dir, '# ours\nuser carol on ">p\\"1" ~c:* +get\n# end', 'godwit.conf');
  const options = { args: ['--config', config], workers: 2 };
  const { server, admin } = await start(t, options);

  await as(t, server, 'carol', 'p"1');
  await admin.cmd('ACL', 'SETUSER', 'bob', 'on', '>pw', '~a"b', '(+set ~x)');
  await admin.cmd('ACL', 'SETUSER', 'carol', '-get');
  assert.equal(await admin.cmd('CONFIG', 'REWRITE'), 'OK');
  const text = fs.readFileSync(config, 'utf8');
  assert.match(text, /# ours\n# end\n/);
  assert.match(text, /^user bob on sanitize-payload #/m);
  assert.ok(!text.includes('>p'), 'no password in clear');
  assert.ok(!/^user default/m.test(text), 'the default user is still what the password says');
  const before = await admin.cmd('ACL', 'LIST');
  await server.stop();

  const second = await start(t, { ...options, password: 'swordfish' });
  assert.deepEqual(await second.admin.cmd('ACL', 'LIST'), before);
  await as(t, second.server, 'bob', 'pw');
  await second.admin.cmd('ACL', 'SETUSER', 'default', '-debug');
  assert.equal(await second.admin.cmd('CONFIG', 'REWRITE'), 'OK');
  assert.match(fs.readFileSync(config, 'utf8'), /^user default on sanitize-payload #.* \+@all -debug$/m);
});

test('ACL SAVE and LOAD use aclfile', godwitOnly, async (t) => {
  const dir = tempDir(t);
  const aclfile = writeSecret(dir, 'user bob on >pw ~* +@all\n\nuser eve off', 'users.acl');
  const options = { args: ['--aclfile', aclfile], workers: 2 };
  const { server, admin } = await start(t, options);

  const bob = await as(t, server, 'bob', 'pw');
  assert.deepEqual(await admin.cmd('ACL', 'USERS'), ['bob', 'default', 'eve']);
  await admin.cmd('ACL', 'SETUSER', 'mallory', 'on', '>m', '+@all');
  const mallory = await as(t, server, 'mallory', 'm');
  fs.writeFileSync(aclfile, 'user bob on >pw ~b* +get +nosuch\nuser eve %Q~x\n');
  assert.match(
    show(await admin.call('ACL', 'LOAD')),
    /^-ERR .*users\.acl:1: Error in applying operation '\+nosuch': Unknown command or category name in ACL\. .*users\.acl:2: Syntax error\. WARNING: ACL errors detected, no change to the previously active ACL rules was performed/,
  );
  assert.equal(await bob.cmd('SET', 'k', '1'), 'OK', 'nothing has changed');
  fs.writeFileSync(aclfile, 'user bob on >pw ~b* +get\n');
  assert.equal(await admin.cmd('ACL', 'LOAD'), 'OK');
  await isClosed(mallory);
  assert.deepEqual(await admin.cmd('ACL', 'USERS'), ['bob', 'default']);
  assert.match(show(await bob.call('SET', 'b', '1')), /^-NOPERM/);
  assert.equal(await bob.cmd('GET', 'b'), null);
  // It may load what ends itself.
  await admin.cmd('ACL', 'SETUSER', 'root2', 'on', '>r', '+@all');
  const root2 = await as(t, server, 'root2', 'r');
  assert.equal(await root2.cmd('ACL', 'LOAD'), 'OK');
  await isClosed(root2);

  await admin.cmd('ACL', 'SETUSER', 'zoe', 'on', '>z', '~z');
  assert.equal(await admin.cmd('ACL', 'SAVE'), 'OK');
  assert.equal(fs.statSync(aclfile).mode & 0o777, 0o600);
  await server.stop();
  const second = await start(t, options);
  assert.deepEqual(await second.admin.cmd('ACL', 'USERS'), ['bob', 'default', 'zoe']);
  fs.rmSync(aclfile);
  assert.match(show(await second.admin.call('ACL', 'LOAD')), /^-ERR Error loading ACLs, opening file '.*': No such file or directory/);
  assert.equal(await second.admin.cmd('ACL', 'SAVE'), 'OK');
  assert.equal(fs.statSync(aclfile).mode & 0o777, 0o600);
});

test('a start with wrong users says which, and no more', godwitOnly, async (t) => {
  const dir = tempDir(t);
  const base = ['serve', '--port', 0, '--http-port', 'auto', '--admin-port', 'auto', '--dir', dir];
  const fails = async (...args) => {
    const { code, err, out } = await run(GODWIT, [...base, ...args]);
    assert.notEqual(code, 0);
    return err + out;
  };

  assert.match(await fails('--aclfile', path.join(dir, 'none')), /cannot read aclfile/);
  const wrong = writeSecret(dir, 'user bob >hush ~a b c', 'users.acl');
  const said = await fails('--aclfile', wrong);
  assert.match(said, /users\.acl:1: Syntax error/);
  assert.ok(!said.includes('hush'));
  const config = writeSecret(dir, 'user bob >hush nonsense', 'godwit.conf');
  assert.match(await fails('--config', config), /Error in user declaration 'bob': Syntax error/);
  assert.match(await fails('--config', config, '--aclfile', wrong), /not both/);
});
