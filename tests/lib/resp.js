// A raw RESP2/RESP3 client that forgives nothing and hides nothing.
//
// Published clients turn a simple string, a bulk string and a verbatim string into one JavaScript
// string; here a reply keeps its type, so that two servers can be compared type for type. A reply
// is {t, …}: t is the wire's own type byte, with '$-1' and '*-1' for RESP2's two nulls.
//
//   + - ( ,   s  text                 :      s  text of the integer (it may pass 2^53)
//   $ = !     b  bytes                #      s  't' or 'f'
//   * ~ >     a  elements             % |    a  keys and values in turn
import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { within } from './eventually.js';

const CR = 13;
const SIMPLE = '+-:,(#_';
const BLOB = '$=!';
const AGGREGATE = '*~>%|';
const NEEDS_PAIRS = '%|';

// Incremental: feed() returns the replies that are complete. State survives between calls, so a
// reply of a million elements is looked at once.
export class RespParser {
  constructor() {
    this.chunks = [];
    this.have = 0;
    this.need = 1;
    this.stack = [];
    this.attribute = null;
  }

  feed(chunk) {
    const out = [];

    this.chunks.push(chunk);
    this.have += chunk.length;
    if (this.have < this.need) {
      return out;
    }
    const buf = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
    let at = 0;
    for (;;) {
      const leaf = this.#item(buf, at);
      if (leaf === null) {
        break;
      }
      at = leaf.end;
      const whole = this.#settle(leaf.value);
      if (whole !== null) {
        out.push(whole);
      }
    }
    const rest = buf.subarray(at);
    this.chunks = rest.length > 0 ? [rest] : [];
    this.have = rest.length;
    return out;
  }

  // One header, and its bytes if it is a blob; null if it is not all there yet.
  #item(buf, at) {
    let lf = buf.indexOf('\r\n', at);
    if (lf < 0) {
      this.need = buf.length - at + 1;
      return null;
    }
    const t = String.fromCharCode(buf[at]);
    const line = buf.toString('latin1', at + 1, lf);
    if (SIMPLE.includes(t)) {
      this.need = 1;
      return { value: t === '_' ? { t } : { t, s: line }, end: lf + 2 };
    }
    const count = Number(line);
    if (!/^-?\d+$/.test(line) || !(BLOB + AGGREGATE).includes(t)) {
      throw new Error(`not RESP: ${JSON.stringify(t + line.slice(0, 80))}`);
    }
    if (count < 0) {
      this.need = 1;
      return { value: { t: `${t}-1` }, end: lf + 2 };
    }
    if (AGGREGATE.includes(t)) {
      const left = NEEDS_PAIRS.includes(t) ? 2 * count : count;
      this.need = 1;
      return { value: { t, a: [], left }, end: lf + 2 };
    }
    lf += 2;
    if (buf.length < lf + count + 2) {
      this.need = lf + count + 2 - at;
      return null;
    }
    if (buf[lf + count] !== CR) {
      throw new Error(`a blob of ${count} bytes does not end where it said`);
    }
    this.need = 1;
    return { value: { t, b: buf.subarray(lf, lf + count) }, end: lf + count + 2 };
  }

  // Puts a value into the aggregate it belongs to; returns the outermost one when it is complete.
  #settle(value) {
    for (;;) {
      if (value.left > 0) {
        this.stack.push(value);
        return null;
      }
      delete value.left;
      const parent = this.stack.at(-1);
      if (value.t === '|') {
        return null; // an attribute describes the next value and is none itself
      }
      if (parent === undefined) {
        return value;
      }
      parent.a.push(value);
      parent.left--;
      if (parent.left > 0) {
        return null;
      }
      this.stack.pop();
      value = parent;
    }
  }
}

export function encode(args) {
  const parts = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

// One line that differs whenever the bytes of two replies would.
export function show(reply) {
  switch (reply.t) {
    case '$':
    case '=':
    case '!':
      return `${reply.t}${quote(reply.b)}`;
    case '*':
    case '~':
    case '>':
      return `${reply.t}[${reply.a.map(show).join(' ')}]`;
    case '%':
      return `%{${reply.a.map(show).join(' ')}}`;
    default:
      return reply.t + (reply.s === undefined ? '' : reply.s);
  }
}

export function quote(bytes) {
  return JSON.stringify(Buffer.from(bytes).toString('latin1'));
}

export class ReplyError extends Error {}

// A reply as plain JavaScript, for tests that look at values: bytes as latin1 text, nulls as null,
// maps as objects. Errors are thrown.
export function plain(reply) {
  switch (reply.t) {
    case '-':
      throw new ReplyError(reply.s);
    case '!':
      throw new ReplyError(reply.b.toString('latin1'));
    case ':':
      return Number.isSafeInteger(Number(reply.s)) ? Number(reply.s) : BigInt(reply.s);
    case ',':
      return Number(reply.s);
    case '#':
      return reply.s === 't';
    case '$':
      return reply.b.toString('latin1');
    case '=':
      return reply.b.toString('latin1', 4);
    case '*':
    case '~':
    case '>':
      return reply.a.map(plain);
    case '%':
      return plainMap(reply.a);
    case '$-1':
    case '*-1':
    case '_':
      return null;
    default:
      return reply.s;
  }
}

function plainMap(flat) {
  const out = {};
  for (let i = 0; i < flat.length; i += 2) {
    out[plain(flat[i])] = plain(flat[i + 1]);
  }
  return out;
}

// Events: 'push' (reply), 'close'. Nothing reconnects.
export class Resp extends EventEmitter {
  static async connect({ port, host = '127.0.0.1', password, proto = 2, timeoutMs = 10000 }) {
    const client = new Resp(net.connect({ port, host, noDelay: true }));
    await within(client.connected, timeoutMs, `connect to ${port}`);
    if (proto === 3) {
      await client.cmd('HELLO', 3, ...(password ? ['AUTH', 'default', password] : []));
    } else if (password) {
      await client.cmd('AUTH', password);
    }
    return client;
  }

  constructor(socket) {
    super();
    this.socket = socket;
    this.parser = new RespParser();
    this.waiting = [];
    this.spare = []; // replies that nobody has asked for yet
    this.error = null;
    this.isClosed = false;
    this.connected = once(socket, 'connect');
    this.connected.catch(() => {});
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', (err) => {
      this.error = err;
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.isClosed = true;
        this.#fail(this.error || new Error('the connection was closed'));
        this.emit('close');
        resolve();
      });
    });
  }

  #onData(chunk) {
    let replies;
    try {
      replies = this.parser.feed(chunk);
    } catch (err) {
      this.error = err;
      this.socket.destroy();
      return;
    }
    for (const reply of replies) {
      if (reply.t === '>') {
        this.emit('push', reply);
        continue;
      }
      const next = this.waiting.shift();
      if (next) {
        next.resolve(reply);
      } else {
        this.spare.push(reply);
        this.emit('reply', reply);
      }
    }
  }

  #fail(err) {
    for (const { reject } of this.waiting.splice(0)) {
      reject(err);
    }
  }

  // The next reply in order, with its type.
  next() {
    if (this.spare.length > 0) {
      return Promise.resolve(this.spare.shift());
    }
    if (this.isClosed) {
      return Promise.reject(this.error || new Error('the connection was closed'));
    }
    const promise = new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    promise.catch(() => {});
    return promise;
  }

  write(bytes) {
    return this.socket.write(bytes);
  }

  // One command; its reply with its type.
  call(...args) {
    this.socket.write(encode(args));
    return this.next();
  }

  // Many commands in one write; their replies with their types.
  pipeline(commands) {
    this.socket.write(Buffer.concat(commands.map(encode)));
    return Promise.all(commands.map(() => this.next()));
  }

  // One command; its reply as plain JavaScript, errors thrown.
  async cmd(...args) {
    return plain(await this.call(...args));
  }

  // Bytes as they are; the text of what comes back until the peer closes or the time is up.
  async exchange(bytes, { timeoutMs = 3000 } = {}) {
    this.write(bytes);
    await within(this.closed, timeoutMs, 'the server closing').catch(() => {});
    return this.spare.splice(0).map(show);
  }

  pause() {
    this.socket.pause();
  }

  close() {
    this.socket.destroy();
    return this.closed;
  }
}
