// Many connections from a process of its own: `node herd.js PORT PASSWORD COUNT`.
//
// Each one authenticates and is answered one PING; then it prints `ready COUNT`. On every line of
// its input it asks on all of them again and prints `ready COUNT`. It ends when its input does.
import { createInterface } from 'node:readline';
import { Resp } from '../lib/resp.js';

const AT_ONCE = 200; // less than any backlog
const [port, password, count] = process.argv.slice(2);
const clients = [];

async function askAll() {
  const answers = await Promise.all(clients.map((c) => c.cmd('PING')));
  console.log(`ready ${answers.filter((a) => a === 'PONG').length}`);
}

for (let left = Number(count); left > 0; left -= AT_ONCE) {
  const some = Array.from({ length: Math.min(left, AT_ONCE) }, () =>
    Resp.connect({ port: Number(port), password, timeoutMs: 30000 }),
  );
  clients.push(...(await Promise.all(some)));
}
await askAll();
for await (const line of createInterface({ input: process.stdin })) {
  void line;
  await askAll();
}
process.exit(0);
