// Waiting for what must come, with a bound: the only way a test waits. GODWIT_SLOW stretches every
// bound, for builds with sanitizers.
import { setTimeout as delay } from 'node:timers/promises';

export const SLOW = Number(process.env.GODWIT_SLOW || 1);

// Calls fn until it returns something true, and returns that. What it threw last is in the error.
export async function eventually(fn, { timeoutMs = 5000, everyMs = 10, what = '' } = {}) {
  const end = Date.now() + timeoutMs * SLOW;
  let last;

  for (;;) {
    try {
      const got = await fn();
      if (got) {
        return got;
      }
      last = new Error(`it returned ${String(got)}`);
    } catch (err) {
      last = err;
    }
    if (Date.now() >= end) {
      throw new Error(`not within ${timeoutMs * SLOW} ms: ${what || fn}`, { cause: last });
    }
    await delay(everyMs);
  }
}

// A promise with a bound.
export function within(promise, timeoutMs, what) {
  let timer;
  const bound = new Promise((_, reject) => {
    const late = () => reject(new Error(`not within ${timeoutMs * SLOW} ms: ${what}`));
    timer = setTimeout(late, timeoutMs * SLOW);
  });
  return Promise.race([promise, bound]).finally(() => clearTimeout(timer));
}

// Time itself as the thing under test: an expiry that must have passed, a rate over a period.
export { delay as passTime };
