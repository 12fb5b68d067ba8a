// What bad input gets (promise 8): a clear error or a clean close, to that client alone; meanwhile
// the others are served and memory stays bounded.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Bystander } from '../lib/bystander.js';
import { eventually, passTime, SLOW, within } from '../lib/eventually.js';
import { cpuMs } from '../lib/proc.js';
import { encode, Resp, show } from '../lib/resp.js';
import { seeded } from '../lib/seed.js';
import { godwitOnly, KIND, startServer } from '../lib/server.js';

const MB = 1 << 20;

// One row a rule of the protocol that a peer can break: what it sends, what it is told before the
// server closes. Texts are Redis'.
const BROKEN = {
  'a multibulk length that is no number': ['*x\r\n', 'invalid multibulk length'],
  'an absurd multibulk length': ['*2147483648\r\n', 'invalid multibulk length'],
  'a multibulk length beyond 64 bits': ['*99999999999999999999\r\n', 'invalid multibulk length'],
  'no bulk where one must be': ['*1\r\n+OK\r\n', "expected '$', got '+'"],
  'a line where a bulk must be': ['*1\r\nPING\r\n', "expected '$', got 'P'"],
  'a negative bulk length': ['*1\r\n$-1\r\n', 'invalid bulk length'],
  'a bulk length that is no number': ['*1\r\n$x\r\n', 'invalid bulk length'],
  'an empty bulk length': ['*1\r\n$\r\n', 'invalid bulk length'],
  'a bulk longer than proto-max-bulk-len': [
    '*2\r\n$3\r\nGET\r\n$536870913\r\n',
    'invalid bulk length',
  ],
  'a bulk length beyond 64 bits': ['*1\r\n$99999999999999999999\r\n', 'invalid bulk length'],
  'unbalanced quotes': ['SET k "v\r\n', 'unbalanced quotes in request'],
  'text after a closing quote': ['SET k "v"x\r\n', 'unbalanced quotes in request'],
  'an endless inline request': [Buffer.alloc(70000, 'a'), 'too big inline request'],
  'an endless multibulk length': [`*${'1'.repeat(70000)}`, 'too big mbulk count string'],
  'an endless bulk length': [`*1\r\n$${'1'.repeat(70000)}`, 'too big bulk count string'],
};

test('a broken request is named, and its sender closed', async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);

  for (const [name, [bytes, text]] of Object.entries(BROKEN)) {
    await t.test(name, async (t) => {
      const client = await server.client(t);
      assert.deepEqual(await client.exchange(bytes), [`-ERR Protocol error: ${text}`]);
      assert.ok(client.isClosed);
    });
  }
  await t.test('what came before it was carried out, what came after was not', async (t) => {
    const client = await server.client(t);
    const good = encode(['SET', 'before', '1']);
    const bytes = Buffer.concat([
      good,
      Buffer.from('*1\r\n$-5\r\n'),
      encode(['SET', 'after', '1']),
    ]);
    assert.deepEqual(await client.exchange(bytes), [
      '+OK',
      '-ERR Protocol error: invalid bulk length',
    ]);
    const other = await server.client(t);
    assert.equal(await other.cmd('EXISTS', 'before', 'after'), 1);
  });
  await bystander.served();
});

test('who has not authenticated may not send much', async (t) => {
  const server = await startServer(t);
  const rows = [
    ['*11\r\n', 'unauthenticated multibulk length'],
    ['*2\r\n$3\r\nGET\r\n$16385\r\n', 'unauthenticated bulk length'],
  ];

  for (const [bytes, text] of rows) {
    const client = await server.client(t, { password: null });
    assert.deepEqual(await client.exchange(bytes), [`-ERR Protocol error: ${text}`]);
  }
  const client = await server.client(t, { password: null });
  assert.equal(show(await client.call('GET', 'k')), '-NOAUTH Authentication required.');
  assert.equal(
    show(await client.call('AUTH', 'wrong')),
    '-WRONGPASS invalid username-password pair or user is disabled.',
  );
});

test(
  'who guesses passwords waits longer and longer, and nobody else does',
  godwitOnly,
  async (t) => {
    const server = await startServer(t);
    const bystander = await Bystander.watch(t, server);
    const guesser = await server.client(t, { password: null });
    const begun = performance.now();

    for (let i = 0; i < 9; i++) {
      assert.match(
        show(await guesser.call('AUTH', `guess ${i}`)),
        /^-(WRONGPASS|ERR too many failed)/,
      );
    }
    assert.ok(performance.now() - begun > 500, 'nine guesses took no time');
    assert.equal(show(await guesser.call('AUTH', server.password)), '+OK');
    await bystander.served();
  },
);

test('empty requests are no requests', async (t) => {
  const client = await (await startServer(t)).client(t);

  client.write('*0\r\n\r\n*-1\r\n\r\n   \r\nPING\r\n');
  assert.equal(show(await client.next()), '+PONG');
  client.write("ECHO \"a\\x41\\n b\"\r\necho 'it\\'s'\r\n  PING  \r\nPING\n");
  assert.equal(show(await client.next()), '$"aA\\n b"');
  assert.equal(show(await client.next()), '$"it\'s"');
  assert.equal(show(await client.next()), '+PONG');
  assert.equal(show(await client.next()), '+PONG');
});

// A web page can make a browser post to any port: the request must not be carried out.
test('a browser that was sent here by a page cannot give orders', async (t) => {
  const server = await startServer(t);

  for (const head of ['POST / HTTP/1.1\r\nHost: x\r\n\r\n', 'GET / HTTP/1.1\r\nHost: x\r\n']) {
    const client = await server.client(t);
    await client.exchange(`${head}SET stolen 1\r\n`);
    assert.ok(client.isClosed);
  }
  assert.equal(await (await server.client(t)).cmd('EXISTS', 'stolen'), 0);
});

test('noise of every kind harms nobody', async (t) => {
  const random = seeded(t);
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const before = server.rssBytes();
  const whole = encode(['SET', 'noise', 'abcdefghij']);

  for (let i = 0; i < 300; i++) {
    const client = await server.connect(random.chance(0.5) ? {} : { password: null });
    if (random.chance(0.3)) {
      client.write(random.bytes(random.between(1, 3000)));
    } else {
      const damaged = Buffer.concat(Array.from({ length: random.between(1, 5) }, () => whole));
      damaged[random.below(damaged.length)] = random.below(256);
      client.write(damaged.subarray(0, random.between(1, damaged.length)));
    }
    if (random.chance(0.5)) {
      await client.close();
    } else {
      client.socket.end();
      await within(client.closed, 5000, 'the server closing after our end');
    }
  }
  await bystander.served();
  assert.ok(server.rssBytes() < before + 64 * MB);
});

test('a million arguments', async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const client = await server.client(t);
  const before = server.rssBytes();
  const key = Buffer.from('$7\r\nkey:abc\r\n');
  const count = 1000000;
  const body = Buffer.alloc(key.length * count, key);

  client.write(Buffer.concat([Buffer.from(`*${count + 1}\r\n$6\r\nEXISTS\r\n`), body]));
  const reply = await within(client.next(), 20000, 'the reply to a million arguments');
  assert.match(show(reply), /^:0$|^-ERR /);
  await bystander.served();
  assert.ok(server.rssBytes() < before + 512 * MB);
});

test('more arguments than max-arguments are refused by their number', godwitOnly, async (t) => {
  const server = await startServer(t, { args: ['--max-arguments', 1000] });
  const bystander = await Bystander.watch(t, server);
  const client = await server.client(t);
  const keys = Array.from({ length: 999 }, (_, i) => `k${i}`);

  assert.equal(await client.cmd('EXISTS', ...keys), 0);
  assert.deepEqual(await client.exchange('*1001\r\n'), [
    '-ERR Protocol error: invalid multibulk length',
  ]);
  assert.ok(client.isClosed);
  await bystander.served();
});

test('promises of much cost nothing until they are kept', async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const before = server.rssBytes();
  const clients = [];

  for (let i = 0; i < 100; i++) {
    clients.push(await server.client(t));
    const huge =
      i % 2
        ? '*1048576\r\n$4\r\nMGET\r\n$1\r\na'
        : '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nabc';
    clients.at(-1).write(huge);
  }
  await eventually(async () => Number((await server.info('clients')).connected_clients) >= 101);
  await passTime(200);
  assert.ok(server.rssBytes() < before + 128 * MB, `${server.rssBytes() - before} bytes more`);
  await bystander.served();
});

test('a request that trickles in holds up nobody and is answered in the end', async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const bytes = encode(['SET', 'slow', 'x'.repeat(60)]);
  const clients = await Promise.all(Array.from({ length: 50 }, () => server.client(t)));

  for (const byte of bytes) {
    clients.forEach((c) => c.write(Buffer.from([byte])));
    await passTime(10);
  }
  for (const client of clients) {
    assert.equal(show(await client.next()), '+OK');
  }
  await bystander.served();
});

test('requests cut at every byte are answered as when whole', async (t) => {
  const server = await startServer(t);
  const other = await server.client(t);
  const bytes = Buffer.concat([
    encode(['SET', 'cut', 'a\r\nb']),
    Buffer.from('ECHO "in line"\r\n'),
    encode(['GET', 'cut']),
    Buffer.from('*1\r\n$4\r\nPING\r\n*0\r\n\r\n'),
    encode(['MGET', 'cut', 'none', 'cut']),
  ]);
  const wanted = ['+OK', '$"in line"', '$"a\\r\\nb"', '+PONG', '*[$"a\\r\\nb" $-1 $"a\\r\\nb"]'];

  const client = await server.client(t);
  for (let at = 0; at <= bytes.length; at++) {
    client.write(bytes.subarray(0, at));
    await other.cmd('PING'); // gives the first part time to arrive alone
    client.write(bytes.subarray(at));
    const got = await Promise.all(wanted.map(() => client.next()));
    assert.deepEqual(got.map(show), wanted, `cut at ${at}`);
  }
});

test('a client that falls silent is closed after timeout', async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const admin = await server.client(t);

  await admin.cmd('CONFIG', 'SET', 'timeout', 1);
  const silent = await server.client(t);
  silent.write('*2\r\n$3\r\nGET\r\n$10\r\nabc');
  await within(silent.closed, 10000, 'the half-sent request being closed');
  await bystander.served();
});

// A byte now and then keeps timeout away; request-timeout is about the whole request.
test('a request that never ends is closed after request-timeout', godwitOnly, async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const admin = await server.client(t);

  await admin.cmd('CONFIG', 'SET', 'request-timeout', 1);
  const idle = await server.client(t);
  const slow = await server.client(t);
  slow.write('*3\r\n$3\r\nSET\r\n$5\r\nnever\r\n$100000\r\n');
  const end = Date.now() + 10000 * SLOW;
  while (!slow.isClosed && Date.now() < end) {
    slow.write('x');
    await passTime(50);
  }
  assert.ok(slow.isClosed, 'the trickling request went on');
  assert.equal(await idle.cmd('PING'), 'PONG', 'who is between requests is left alone');
  assert.equal(await idle.cmd('EXISTS', 'never'), 0);
  await bystander.served();
});

test('a request larger than client-query-buffer-limit closes its sender', async (t) => {
  const server = await startServer(t);
  const bystander = await Bystander.watch(t, server);
  const admin = await server.client(t);
  const before = server.rssBytes();

  await admin.cmd('CONFIG', 'SET', 'client-query-buffer-limit', 2 * MB);
  // Redis does not count arguments that it has already taken out of its buffer.
  const shapes = [['SET', 'k', Buffer.alloc(20 * MB, 'q')]];
  if (KIND === 'godwit') {
    shapes.push(['MSET', ...Array.from({ length: 200 }, () => Buffer.alloc(100000, 'q'))]);
  }
  for (const shape of shapes) {
    const large = await server.client(t);
    large.write(encode(shape));
    await within(large.closed, 10000, 'the large request being closed');
  }
  assert.ok(server.rssBytes() < before + 64 * MB);
  await bystander.served();
});

test('a client that never reads is closed at its output limit', async (t) => {
  const server = await startServer(t);
  const admin = await server.client(t);
  const bystander = await Bystander.watch(t, server);

  if (KIND === 'godwit') {
    await admin.cmd('CONFIG', 'SET', 'output-limit', '32mb');
  } else {
    await admin.cmd('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 32mb 16mb 2');
  }
  await admin.cmd('SET', 'large', Buffer.alloc(MB, 'x'));
  const before = server.rssBytes();
  const deaf = await server.client(t);
  const id = await deaf.cmd('CLIENT', 'ID');
  deaf.pause();
  let most = 0;
  for (let i = 0; i < 40 && !deaf.isClosed; i++) {
    deaf.write(Buffer.concat(Array.from({ length: 10 }, () => encode(['GET', 'large']))));
    most = Math.max(most, server.rssBytes());
    await passTime(20);
  }
  await eventually(
    async () => {
      most = Math.max(most, server.rssBytes());
      return !new RegExp(`^id=${id} `, 'm').test(await admin.cmd('CLIENT', 'LIST'));
    },
    { timeoutMs: 15000, what: 'the deaf client being closed' },
  );
  assert.ok(most < before + 256 * MB, `${most - before} bytes more`);
  if (KIND === 'godwit') {
    const info = await server.info('stats');
    assert.ok(Number(info.client_output_buffer_limit_disconnections) >= 1);
  }
  assert.equal((await admin.cmd('GET', 'large')).length, MB, 'one large reply is no offence');
  await bystander.served();
});

test('a subscriber that never reads is closed by client-output-buffer-limit', async (t) => {
  const server = await startServer(t);
  const admin = await server.client(t);
  const bystander = await Bystander.watch(t, server);
  const set = (text) => admin.cmd('CONFIG', 'SET', 'client-output-buffer-limit', text);
  const message = Buffer.alloc(256 * 1024, 'x');

  assert.equal(await set('pubsub 4mb 0 0'), 'OK');
  assert.deepEqual((await admin.cmd('CONFIG', 'GET', 'client-output-buffer-limit')).slice(-1), [
    'normal 0 0 0 slave 268435456 67108864 60 pubsub 4194304 0 0',
  ]);
  await assert.rejects(set('pubsub 4mb 0'), /Wrong number of arguments in buffer limit/);
  await assert.rejects(set('nobody 4mb 0 0'), /Invalid client class/);
  await assert.rejects(set('pubsub much 0 0'), /Error in hard, soft or soft_seconds/);

  for (const [text, enough] of [
    ['pubsub 4mb 0 0', 1000],
    ['pubsub 0 1mb 1', 80],
  ]) {
    await set(text);
    const deaf = await server.client(t);
    await deaf.cmd('SUBSCRIBE', 'news');
    deaf.pause();
    const before = server.rssBytes();
    const begun = performance.now();
    for (let i = 0; i < enough && (await admin.cmd('PUBLISH', 'news', message)) === 1; i++);
    await eventually(async () => (await admin.cmd('PUBSUB', 'NUMSUB', 'news'))[1] === 0, {
      timeoutMs: 10000,
      what: text,
    });
    assert.ok(server.rssBytes() < before + 96 * MB);
    if (text.endsWith(' 1')) {
      assert.ok(performance.now() - begun > 1000, 'closed before its seconds had passed');
    }
  }
  await bystander.served();
});

// It reads slowly, but it reads: not to be confused with the one above.
test('a reply larger than the limit reaches a client that reads', async (t) => {
  const server = await startServer(t);
  const client = await server.client(t);

  if (KIND === 'godwit') {
    await client.cmd('CONFIG', 'SET', 'output-limit', '4mb');
  } else {
    await client.cmd('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 0 4mb 60');
  }
  await client.cmd('SET', 'huge', Buffer.alloc(20 * MB, 'x'));
  assert.equal((await client.cmd('GET', 'huge')).length, 20 * MB);
});

class Herd {
  constructor(t, server, count) {
    const script = fileURLToPath(new URL('herd.js', import.meta.url));
    this.count = count;
    this.child = spawn(
      process.execPath,
      [script, server.port, server.password, count].map(String),
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.ended = once(this.child, 'close');
    t.after(() => this.end());
  }

  async ready() {
    const { value } = await within(this.lines.next(), 60000, `${this.count} connections`);
    assert.equal(value, `ready ${this.count}`);
  }

  async again() {
    this.child.stdin.write('again\n');
    await this.ready();
  }

  async end() {
    this.child.stdin.end();
    await this.ended;
  }
}

test('ten thousand connections are served, and their memory comes back', async (t) => {
  const server = await startServer(t, { files: 12000 });
  const admin = await server.client(t);
  const before = server.rssBytes();

  await admin.cmd('CONFIG', 'SET', 'maxclients', 10100);
  const bystander = await Bystander.watch(t, server, { longestMs: 3000 });
  const herds = [1, 2, 3, 4].map(() => new Herd(t, server, 2500));
  await Promise.all(herds.map((herd) => herd.ready()));
  assert.ok(Number((await server.info('clients')).connected_clients) >= 10000);
  await Promise.all(herds.map((herd) => herd.again()));
  assert.ok(server.rssBytes() < before + 600 * MB, `${server.rssBytes() - before} bytes more`);
  await Promise.all(herds.map((herd) => herd.end()));
  await eventually(async () => Number((await server.info('clients')).connected_clients) < 10, {
    timeoutMs: 20000,
  });
  await bystander.served();
});

test('out of file descriptors: who is in is served, who is not is told or closed', async (t) => {
  const server = await startServer(t, { files: 64 });
  const admin = await server.client(t);
  const sockets = [];

  t.after(() => sockets.forEach((s) => s.destroy()));
  for (let i = 0; i < 150; i++) {
    const socket = net.connect({ port: server.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    sockets.push(socket);
  }
  assert.equal(await admin.cmd('PING'), 'PONG');
  const cpu = cpuMs(server.pid);
  await passTime(1000);
  assert.ok(cpuMs(server.pid) - cpu < 500, 'it spins on a connection that it cannot accept');
  assert.equal(await admin.cmd('PING'), 'PONG');
  sockets.forEach((s) => s.destroy());
  await eventually(async () => {
    const late = await server.connect({ timeoutMs: 1000 });
    await late.close();
    return true;
  });
});

// Grows the data by one kind of write until that is refused; the refusal, and how often it was not.
async function growUntilRefused(client, command) {
  for (let count = 0; count < 20000; count += 50) {
    const replies = await client.pipeline(Array.from({ length: 50 }, (_, i) => command(count + i)));
    const refused = replies.find((r) => r.t === '-');
    if (refused) {
      return { count, text: show(refused) };
    }
  }
  throw new Error('never refused');
}

test('out of maxmemory: writes are refused, reads and deletes are not', async (t) => {
  const server = await startServer(t, { args: ['--maxmemory', '32mb'] });
  const client = await server.client(t);
  const bystander = await Bystander.watch(t, server);
  const value = Buffer.alloc(10000, 'v');
  const refusal = "-OOM command not allowed when used memory > 'maxmemory'.";

  const { count, text } = await growUntilRefused(client, (i) => ['SET', `k${i}`, value]);
  assert.equal(text, refusal);
  assert.ok(count > 1000, `refused after only ${count} values`);
  assert.equal((await client.cmd('GET', 'k0')).length, 10000);
  for (const command of [
    (i) => ['APPEND', 'longer', value.subarray(0, 1000 + (i % 2))],
    (i) => ['HSET', 'h', `f${i}`, value],
    (i) => ['MSET', `m${i}`, value, `n${i}`, value],
    (i) => ['SETBIT', `b${i}`, 80000, 1],
    (i) => ['COPY', 'k1', `copy${i}`],
  ]) {
    assert.equal((await growUntilRefused(client, command)).text, refusal);
  }
  assert.equal(await client.cmd('EXPIRE', 'k0', 100), 1);
  assert.equal(await client.cmd('DEL', ...Array.from({ length: 500 }, (_, i) => `k${i}`)), 500);
  await eventually(async () => (await client.call('SET', 'again', value)).t === '+');
  assert.ok(server.rssBytes() < 400 * MB);
  await bystander.served();
});

test('too many clients: the next one is told why and closed', async (t) => {
  const server = await startServer(t);
  const admin = await server.client(t);

  await admin.cmd('CONFIG', 'SET', 'maxclients', 10);
  const clients = await Promise.all(Array.from({ length: 9 }, () => server.client(t)));
  const extra = new Resp(net.connect({ port: server.port, host: '127.0.0.1' }));
  t.after(() => extra.close());
  await within(extra.closed, 5000, 'the extra client being closed');
  assert.deepEqual(extra.spare.map(show), ['-ERR max number of clients reached']);
  assert.ok(Number((await admin.cmd('INFO', 'stats')).match(/rejected_connections:(\d+)/)[1]) >= 1);
  assert.equal(await clients[3].cmd('PING'), 'PONG');
  await clients[0].close();
  await eventually(async () =>
    (await server.connect({ timeoutMs: 500 * SLOW })).close().then(() => true),
  );
});
