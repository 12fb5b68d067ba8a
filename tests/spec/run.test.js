// Runs the transcripts of this folder (README.md says how they are written) through RESP2 and
// RESP3.
//
//   SPEC=hash   only that file        E2E_SERVER=redis   against redis-server, what it knows
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { passTime } from '../lib/eventually.js';
import { show } from '../lib/resp.js';
import { KIND, startServer } from '../lib/server.js';
import { parseReply, parseTranscript, sameReply, splitCommand } from './transcript.js';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

async function runBlock(client, proto, block) {
  await client.cmd('FLUSHALL');
  let reply = null;
  let command = null;
  for (const { sign, text, line } of block.lines) {
    const where = `line ${line}: ${command}`;
    switch (sign) {
      case '@':
        await passTime(Number(text));
        break;
      case '>':
        command = text;
        reply = await client.call(...splitCommand(text));
        break;
      case '~':
        assert.match(show(reply), new RegExp(text), where);
        break;
      case '<':
      case `<${proto}`:
        if (!sameReply(parseReply(text), reply)) {
          assert.fail(`${where}\n  wanted ${text}\n  got    ${show(reply)}`);
        }
        break;
      default: // what the other protocol answers
    }
  }
}

const files = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.spec'));
for (const file of files.filter(
  (name) => !process.env.SPEC || name === `${process.env.SPEC}.spec`,
)) {
  test(file, async (t) => {
    const blocks = parseTranscript(fs.readFileSync(path.join(FOLDER, file), 'utf8'));
    const server = await startServer(t, { workers: KIND === 'godwit' ? 2 : undefined });

    for (const proto of [2, 3]) {
      const client = await server.client(t, { proto });
      for (const block of blocks) {
        const skip = KIND === 'redis' && block.isNewer ? 'newer than redis-server 7.0' : false;
        await t.test(`RESP${proto}: ${block.name}`, { skip }, () => runBlock(client, proto, block));
      }
    }
  });
}
