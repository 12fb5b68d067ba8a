// Chance that can be repeated. Every random test takes its numbers from here, prints its seed, and
// does the same again under SEED=<seed>.
import { randomInt } from 'node:crypto';

// splitmix32: small, and good enough to choose test inputs.
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  uint32() {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  // 0 to n - 1
  below(n) {
    return Math.floor((this.uint32() / 0x100000000) * n);
  }

  between(low, high) {
    return low + this.below(high - low + 1);
  }

  chance(probability) {
    return this.uint32() / 0x100000000 < probability;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  // rows of [weight, value]
  weighted(rows) {
    let at = this.below(rows.reduce((sum, row) => sum + row[0], 0));
    for (const [weight, value] of rows) {
      if (at < weight) {
        return value;
      }
      at -= weight;
    }
    throw new Error('no rows');
  }

  bytes(count) {
    const out = Buffer.alloc(count);
    for (let i = 0; i < count; i++) {
      out[i] = this.uint32() >>> 24;
    }
    return out;
  }

  shuffle(list) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
}

export function chooseSeed() {
  return process.env.SEED ? Number(process.env.SEED) >>> 0 : randomInt(0x100000000);
}

// A source for one test; the seed is in the test's output whether it passes or not.
export function seeded(t) {
  const seed = chooseSeed();
  t.diagnostic(`SEED=${seed}`);
  return new Random(seed);
}
