// A raw connection for pushes, and dialogues of several such connections.
import { once } from 'node:events';
import net from 'node:net';
import { eventually } from './eventually.js';
import { encode, RespParser, show } from './resp.js';

// A connection that keeps all that comes, replies and pushes alike, as it came.
export class Line {
  static async open(t, server, proto) {
    const line = new Line();
    line.socket = net.connect({ port: server.port, host: '127.0.0.1', noDelay: true });
    line.got = [];
    line.parser = new RespParser();
    line.socket.on('data', (chunk) => line.got.push(...line.parser.feed(chunk).map(show)));
    line.socket.on('close', () => (line.isClosed = true));
    line.socket.on('error', () => {});
    t.after(() => line.socket.destroy());
    await once(line.socket, 'connect');
    if (server.password) {
      line.send('AUTH', server.password);
      await eventually(() => line.got.length === 1);
    }
    if (proto === 3) {
      line.send('HELLO', 3);
      await eventually(() => line.got.at(-1)?.startsWith('%'));
    }
    line.got = [];
    return line;
  }

  send(...args) {
    this.socket.write(encode(args));
  }

  // All that came until the answer to a request of our own that every mode allows and answers: asked
  // twice, since a message to its own publisher may come behind what it asked in the same breath.
  async settled() {
    for (let i = 0; i < 2 && !this.isClosed; i++) {
      const mark = `mark-${++Line.marks}`;
      this.send('UNSUBSCRIBE', mark);
      await eventually(() => this.isClosed || this.got.some((x) => x.includes(mark)), { everyMs: 2 });
    }
    const all = this.got.filter((x) => !x.includes('mark-'));
    this.got = [];
    return this.isClosed ? [...all, 'closed'] : all;
  }
}
Line.marks = 0;

// Each step is [who, command…], or [who, [command…], [command…] …] sent at once (from MULTI to EXEC, where
// nothing can be asked between), of the clients a, b and p: all that reached anybody after each.
export async function play(t, server, proto, steps) {
  const lines = {};
  for (const who of ['a', 'b', 'p']) {
    lines[who] = await Line.open(t, server, proto);
  }
  const all = [];
  for (const [who, ...command] of steps) {
    for (const one of Array.isArray(command[0]) ? command : [command]) {
      lines[who].send(...one);
    }
    if (command[0] === 'RESET') {
      lines[who].send('AUTH', server.password);
    }
    const heard = { [who]: await lines[who].settled() };
    for (const other of Object.keys(lines).filter((name) => name !== who)) {
      heard[other] = lines[other].isClosed ? ['closed'] : await lines[other].settled();
    }
    all.push({ command: `${who}: ${command.join(' ')}`, ...heard });
  }
  Object.values(lines).forEach((line) => line.socket.destroy());
  return all;
}
