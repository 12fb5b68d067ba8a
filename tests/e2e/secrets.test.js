// Planted secrets must not turn up anywhere: not in CONFIG GET, logs, SLOWLOG, MONITOR, INFO, error
// replies, what a crash leaves, or the process' command line and environment.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { eventually } from '../lib/eventually.js';
import { show } from '../lib/resp.js';
import {
  freePort,
  GODWIT,
  godwitOnly,
  run,
  startServer,
  tempDir,
  writeSecret,
} from '../lib/server.js';

const SECRET = 'plantedsecret7f3a';
const SECOND = 'secondsecret91cc';
const WRONG = 'wrongsecret55d0';
const ALL = [SECRET, SECOND, WRONG];

function assertClean(where, text) {
  for (const secret of ALL) {
    assert.ok(
      !String(text).includes(secret),
      `${secret} in ${where}: ${String(text).slice(0, 2000)}`,
    );
  }
}

// Everything by which a secret comes in: each row starts a server that has it.
const WAYS = {
  'a password file by flag': async () => ({}),
  'a password file by environment': async (dir) => ({
    passwordFile: '',
    env: { GODWIT_PASSWORD_FILE: writeSecret(dir, SECRET, 'by-env') },
  }),
  'the environment': async () => ({ passwordFile: '', env: { GODWIT_PASSWORD: SECRET } }),
  'a file of settings': async (dir) => ({
    passwordFile: '',
    args: ['--config', writeSecret(dir, `password ${SECRET}`, 'godwit.conf')],
  }),
  'a flag, which is wiped': async () => ({ passwordFile: '', args: ['--password', SECRET] }),
};

// Uses every command that carries a secret, on connections that a monitor watches.
async function useSecrets(t, server) {
  const admin = await server.client(t);
  await admin.cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
  await admin.cmd('CONFIG', 'SET', 'loglevel', 'debug');
  const monitor = await server.client(t);
  const seen = [];
  monitor.on('reply', (reply) => seen.push(show(reply)));
  monitor.write('MONITOR\r\n');
  await eventually(() => seen.length > 0);

  const fresh = await server.client(t, { password: null });
  const replies = [
    await fresh.call('AUTH', WRONG),
    await fresh.call('AUTH', 'default', WRONG),
    await fresh.call('HELLO', 3, 'AUTH', 'default', WRONG),
    await fresh.call('AUTH', SECRET),
    await fresh.call('HELLO', 3, 'AUTH', 'default', SECRET),
    await fresh.call('CONFIG', 'SET', 'requirepass', SECOND),
    await fresh.call('AUTH', SECOND),
    await fresh.call('CONFIG', 'SET', 'no-such', SECOND, 'requirepass', SECOND),
    await fresh.call('HELLO', '3', 'AUTH', 'default', SECOND, 'SETNAME', 'not a name'),
    await fresh.call('AUTH', SECOND, WRONG, 'too many'),
    await admin.call('CONFIG', 'SET', 'requirepass', SECRET),
    await admin.call('ACL', 'SETUSER', 'bob', 'on', `>${SECOND}`, '~*', '+@all'),
    await admin.call('ACL', 'SETUSER', 'bob', `>${WRONG}`, `<${SECOND}`, `>${SECOND}`),
    await admin.call('ACL', 'SETUSER', 'bob', `>${WRONG}`, '+nosuch'),
    await fresh.call('AUTH', 'bob', SECOND),
    await fresh.call('AUTH', 'eve', WRONG),
    await fresh.call('HELLO', 3, 'AUTH', 'bob', SECOND),
    await admin.call('MULTI'),
    await admin.call('ACL', 'SETUSER', 'eve', `>${SECOND}`),
    await admin.call('EXEC'),
    await admin.call('ACL', 'DRYRUN', 'bob', 'AUTH', 'bob', SECOND),
    await admin.call('ACL', 'LIST'),
    await admin.call('ACL', 'GETUSER', 'bob'),
    await admin.call('ACL', 'LOG'),
    await admin.call('CLIENT', 'LIST'),
    await admin.call('GET', 'marker'),
  ];
  await eventually(() => seen.some((line) => line.includes('marker')), { what: 'the monitor' });
  return { admin, seen, replies };
}

for (const [name, way] of Object.entries(WAYS)) {
  test(`a secret given by ${name} is never shown`, godwitOnly, async (t) => {
    const dir = tempDir(t);
    const server = await startServer(t, { password: SECRET, ...(await way(dir)) });
    const { admin, seen, replies } = await useSecrets(t, server);

    assert.match(show(replies[0]), /^-WRONGPASS/);
    assert.equal(show(replies[3]), '+OK');
    assertClean('replies', replies.map(show).join('\n'));
    assertClean('MONITOR', seen.join('\n'));
    assertClean('SLOWLOG', show(await admin.call('SLOWLOG', 'GET', -1)));
    assertClean('CONFIG GET', show(await admin.call('CONFIG', 'GET', '*')));
    assertClean('INFO', show(await admin.call('INFO', 'everything')));
    assertClean('LATENCY', show(await admin.call('LATENCY', 'LATEST')));
    assertClean('the command line', fs.readFileSync(`/proc/${server.pid}/cmdline`, 'latin1'));
    assertClean('the environment', fs.readFileSync(`/proc/${server.pid}/environ`, 'latin1'));
    for (const options of [['-o', 'args='], ['eww']]) {
      const ps = await run('ps', [...options, '-p', server.pid]);
      assert.match(ps.out, /godwit/);
      assertClean('ps', ps.out);
    }
    assertClean('metrics', (await server.get('/metrics')).body);
    const again = await server.client(t);
    assert.equal(await again.cmd('PING'), 'PONG', 'the password still counts');
    await server.stop();
    assertClean('standard error', server.log);
    assertClean('standard output', server.out);
  });
}

// What the program itself says and leaves at its death; what the kernel may keep of it is the operator's.
test('a crash tells no secret', godwitOnly, async (t) => {
  const server = await startServer(t, { password: SECRET, env: { GODWIT_LOGLEVEL: 'debug' } });

  await useSecrets(t, server);
  server.signal('SIGABRT'); // as a failed assertion does
  const { signal } = await server.ended({ code: null });
  assert.equal(signal, 'SIGABRT');
  assertClean('standard error', server.log);
  assertClean('standard output', server.out);
  for (const name of fs.readdirSync(server.dir)) {
    assertClean(name, fs.readFileSync(path.join(server.dir, name), 'latin1'));
  }
});

test('CONFIG GET shows that there is a password, not which', godwitOnly, async (t) => {
  const client = await (await startServer(t, { password: SECRET })).client(t, { proto: 3 });
  const shown = await client.cmd('CONFIG', 'GET', 'requirepass', 'password');

  assert.notEqual(Object.keys(shown).length, 0);
  assertClean('CONFIG GET', JSON.stringify(shown));
});

test('a start that fails does not tell the secret either', godwitOnly, async (t) => {
  const long = `${SECRET}${'x'.repeat(600)}`;
  const common = ['serve', '--port', await freePort(), '--dir', tempDir(t)];

  for (const args of [
    ['--password', long],
    ['--password', SECRET, '--nonsense', '1'],
    ['--nonsense', '1', '--password', SECRET],
    [`--password=${long}`],
  ]) {
    const { code, out, err } = await run(GODWIT, [...common, ...args]);
    assert.equal(code, 2);
    assertClean('what it says', out + err);
  }
  const { code, out, err } = await run(GODWIT, common, { env: { GODWIT_PASSWORD: long } });
  assert.equal(code, 2);
  assertClean('what it says', out + err);
});

test('a generated password is for its owner only, and lasts', godwitOnly, async (t) => {
  const dir = path.join(tempDir(t), 'a folder with spaces');
  const first = await startServer(t, { password: '', dir, ready: false });
  const ready = () => first.get('/readyz').then((r) => r.status === 200);
  await eventually(ready, { timeoutMs: 15000 });
  const file = fs.readdirSync(dir).find((name) => /password/.test(name));

  assert.ok(file, `no password in ${fs.readdirSync(dir)}`);
  const where = path.join(dir, file);
  assert.equal(fs.statSync(where).mode & 0o777, 0o600);
  const password = fs.readFileSync(where, 'utf8').trim();
  assert.ok(password.length >= 20, 'long enough not to be guessed');
  assert.ok(!first.log.includes(password), 'the log does not have it');
  const client = await first.client(t, { password });
  assert.equal(await client.cmd('PING'), 'PONG');
  assert.match(
    show(await (await first.client(t, { password: null })).call('GET', 'k')),
    /^-NOAUTH/,
  );
  await first.stop();
  const second = await startServer(t, { password: '', dir, ready: false });
  await eventually(() => second.get('/readyz').then((r) => r.status === 200), { timeoutMs: 15000 });
  assert.equal(await (await second.client(t, { password })).cmd('PING'), 'PONG');
});
