// Settings: flags before environment before file, a bad one stops the start and says why, and
// CONFIG as Redis' tools use it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { show } from '../lib/resp.js';
import { freePort, GODWIT, godwitOnly, run, startServer, tempDir } from '../lib/server.js';

function configFile(t, lines) {
  const file = path.join(tempDir(t), 'godwit.conf');
  fs.writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

async function setting(client, name) {
  const [, value] = await client.cmd('CONFIG', 'GET', name);
  return value;
}

// A start that must fail; what it says.
async function refusal(t, args, env = {}) {
  const ports = ['--port', await freePort(), '--http-port', 0, '--admin-port', 0];
  const all = ['serve', ...ports, '--dir', tempDir(t), ...args];
  const { code, out, err } = await run(GODWIT, all, { env, timeoutMs: 10000 });
  assert.equal(code, 2, out + err);
  return err + out;
}

test('flags win over the environment, the environment over the file', godwitOnly, async (t) => {
  const file = configFile(t, [
    '# comment',
    '',
    'maxmemory-samples 3',
    'timeout 11',
    'maxclients 123',
    'slowlog-log-slower-than 5000',
  ]);
  const server = await startServer(t, {
    args: ['--config', file, '--maxmemory-samples', 9],
    env: { GODWIT_MAXMEMORY_SAMPLES: '7', GODWIT_TIMEOUT: '22' },
  });
  const client = await server.client(t);

  assert.equal(await setting(client, 'maxmemory-samples'), '9');
  assert.equal(await setting(client, 'timeout'), '22');
  assert.equal(await setting(client, 'maxclients'), '123');
  assert.equal(await setting(client, 'slowlog-log-slower-than'), '5000');
  assert.equal(await setting(client, 'maxmemory-policy'), 'noeviction');
});

test(
  '--name=value, sizes with units, and the file named by the environment',
  godwitOnly,
  async (t) => {
    const file = configFile(t, ['maxmemory-policy allkeys-lfu']);
    const server = await startServer(t, {
      args: ['--maxmemory=100mb'],
      env: { GODWIT_CONFIG: file },
    });
    const client = await server.client(t);

    assert.equal(await setting(client, 'maxmemory'), String(100 << 20));
    assert.equal(await setting(client, 'maxmemory-policy'), 'allkeys-lfu');
  },
);

test(
  'a setting that is unknown or ill-formed stops the start and is named',
  godwitOnly,
  async (t) => {
    const rows = [
      ['an unknown flag', ['--maxmemoryy', '1'], {}, [/maxmemoryy/, /maxmemory"/]],
      ['an unknown variable', [], { GODWIT_NOPE: '1' }, [/nope/i, /GODWIT_NOPE/]],
      ['no number', ['--maxclients', 'many'], {}, [/maxclients/, /many/, /1 to 1000000/]],
      ['out of range', ['--workers', '100000'], {}, [/workers/, /100000/, /256/]],
      ['no choice', ['--maxmemory-policy', 'x'], {}, [/maxmemory-policy/, /"x"/, /allkeys-lru/]],
      ['no size', [], { GODWIT_MAXMEMORY: '1q' }, [/maxmemory/, /1q/, /GODWIT_MAXMEMORY/]],
      ['a flag without value', ['--maxmemory'], {}, [/maxmemory/, /value/]],
      ['no flag at all', ['maxmemory'], {}, [/maxmemory/, /--name value/]],
      ['no such file', ['--config', '/nonexistent/x.conf'], {}, [/config/, /nonexistent/]],
    ];

    for (const [name, args, env, patterns] of rows) {
      await t.test(name, async (t) => {
        const text = await refusal(t, args, env);
        patterns.forEach((pattern) => assert.match(text, pattern));
      });
    }
    await t.test('a bad line of the file', async (t) => {
      const file = configFile(t, ['timeout 1', 'maxmemory lots']);
      const text = await refusal(t, ['--config', file]);
      [/maxmemory/, /lots/, /godwit\.conf:2/].forEach((p) => assert.match(text, p));
    });
  },
);

test('help names every setting and ends well', godwitOnly, async () => {
  const top = await run(GODWIT, ['--help']);
  assert.equal(top.code, 0);
  assert.match(top.out, /serve/);
  const serve = await run(GODWIT, ['serve', '--help']);
  assert.equal(serve.code, 0);
  for (const flag of [
    'port',
    'http-port',
    'admin-port',
    'bind',
    'dir',
    'password',
    'workers',
    'maxmemory',
  ]) {
    assert.match(serve.out, new RegExp(`--${flag}\\b`));
  }
  assert.equal((await run(GODWIT, ['nonsense'])).code, 2);
});

test('CONFIG GET, SET and RESETSTAT', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);
  const three = await server.client(t, { proto: 3 });

  await t.test('GET takes names and patterns', async () => {
    assert.deepEqual(await client.cmd('CONFIG', 'GET', 'timeout'), ['timeout', '0']);
    assert.deepEqual(await three.cmd('CONFIG', 'GET', 'timeout'), { timeout: '0' });
    const several = await three.cmd('CONFIG', 'GET', 'maxmemory*', 'timeout');
    assert.equal(several['maxmemory-policy'], 'noeviction');
    assert.equal(several.timeout, '0');
    assert.deepEqual(await client.cmd('CONFIG', 'GET', 'no-such-setting'), []);
    assert.ok(Object.keys(await three.cmd('CONFIG', 'GET', '*')).length > 40);
  });

  await t.test('what tools ask at connecting is there', async () => {
    const all = await three.cmd('CONFIG', 'GET', '*');
    const wanted = ['save', 'appendonly', 'maxmemory', 'databases', 'maxclients', 'timeout'];
    wanted.forEach((name) => assert.ok(name in all, name));
    assert.equal(all.appendonly, 'no');
  });

  await t.test('SET of several is all or nothing', async () => {
    const set = (...args) => client.call('CONFIG', 'SET', ...args);
    assert.equal(show(await set('timeout', 100, 'maxmemory-samples', 8)), '+OK');
    assert.match(
      show(await set('timeout', 200, 'maxmemory-samples', 'x')),
      /^-ERR CONFIG SET failed/,
    );
    assert.equal(await setting(client, 'timeout'), '100');
    assert.match(
      show(await set('timeout', 1, 'no-such', 2)),
      /^-ERR Unknown option or number of arguments for CONFIG SET - 'no-such'/,
    );
    assert.match(
      show(await set('maxmemory-policy', 'x')),
      /^-ERR CONFIG SET failed .*'maxmemory-policy'/,
    );
    assert.match(
      show(await set('timeout')),
      /^-ERR wrong number of arguments for 'config\|set' command/,
    );
    assert.match(show(await set('port', 'x')), /^-ERR CONFIG SET failed/);
    assert.equal(show(await set('maxmemory', '1gb')), '+OK');
    assert.equal(await setting(client, 'maxmemory'), String(1 << 30));
  });

  await t.test('RESETSTAT begins the counters anew', async () => {
    await client.cmd('GET', 'none');
    assert.ok(Number((await server.info('stats')).keyspace_misses) >= 1);
    assert.equal(await client.cmd('CONFIG', 'RESETSTAT'), 'OK');
    const { keyspace_misses: misses, total_commands_processed: commands } =
      await server.info('stats');
    assert.equal(misses, '0');
    assert.ok(Number(commands) < 10);
  });

  await t.test('REWRITE without a file is refused', async () => {
    const reply = show(await client.call('CONFIG', 'REWRITE'));
    assert.equal(reply, '-ERR The server is running without a config file');
  });
});

test('CONFIG REWRITE keeps comments and lasts over a restart', godwitOnly, async (t) => {
  const file = configFile(t, ['# ours', 'timeout 5', '# the end']);
  const first = await startServer(t, { args: ['--config', file] });
  const client = await first.client(t);

  await client.cmd('CONFIG', 'SET', 'timeout', 77, 'maxmemory', '123mb');
  assert.equal(await client.cmd('CONFIG', 'REWRITE'), 'OK');
  const text = fs.readFileSync(file, 'utf8');
  assert.match(text, /^# ours\n[\s\S]*# the end$/m);
  assert.doesNotMatch(text, /timeout 5$/m);
  await first.stop();
  const second = await startServer(t, { args: ['--config', file] });
  const again = await second.client(t);
  assert.equal(await setting(again, 'timeout'), '77');
  assert.equal(await setting(again, 'maxmemory'), String(123 << 20));
});

test('a new password counts at once, and old connections stay', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  assert.equal(await client.cmd('CONFIG', 'SET', 'requirepass', 'another one'), 'OK');
  assert.equal(await client.cmd('PING'), 'PONG');
  const fresh = await server.client(t, { password: null });
  assert.match(show(await fresh.call('AUTH', server.password)), /^-WRONGPASS/);
  assert.equal(show(await fresh.call('AUTH', 'default', 'another one')), '+OK');
});
