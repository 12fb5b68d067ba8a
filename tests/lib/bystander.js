// Another client, who did nothing wrong: it asks all the time while something bad goes on, and must
// be served correctly and soon.
import assert from 'node:assert/strict';
import { SLOW, passTime } from './eventually.js';

export class Bystander {
  static async watch(t, server, { everyMs = 5, longestMs = 1500 } = {}) {
    const client = await server.connect();
    const bystander = new Bystander(client, everyMs, longestMs);
    await client.cmd('SET', 'bystander', '0');
    bystander.done = bystander.#ask();
    bystander.done.catch(() => {});
    t.after(() => bystander.end());
    return bystander;
  }

  constructor(client, everyMs, longestMs) {
    Object.assign(this, { client, everyMs, longestMs, count: 0, worstMs: 0, isEnding: false });
  }

  async #ask() {
    while (!this.isEnding) {
      const begun = performance.now();
      assert.equal(await this.client.cmd('GET', 'bystander'), '0');
      this.worstMs = Math.max(this.worstMs, performance.now() - begun);
      this.count++;
      await passTime(this.everyMs);
    }
  }

  // Ends it, and judges how it was served.
  async served() {
    this.isEnding = true;
    await this.done;
    assert.ok(this.count > 0, 'the bystander was never answered');
    assert.ok(this.worstMs < this.longestMs * SLOW, `a bystander waited ${this.worstMs} ms`);
  }

  async end() {
    this.isEnding = true;
    await this.done.catch(() => {});
    await this.client.close();
  }
}
