// BullMQ, unmodified: a day's work of its queues, whose every step is a Lua script of many keys. The
// library's own promises are what is tested: each job is worked on once, in its order, at its time.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq';
import { eventually, SLOW, within } from '../lib/eventually.js';
import { startServer } from '../lib/server.js';

const PASSWORD = 'swordfish';
const BOUND_MS = 20000;

let names = 0;

// What a subtest works with: a queue of its own, whose name nobody else has, and all of BullMQ that
// hangs on it, closed when the subtest ends.
class Bench {
  constructor(t, server, name = `q${++names}`) {
    Object.assign(this, { t, server, name, workers: [] });
    this.connection = {
      host: '127.0.0.1',
      port: server.port,
      ...(server.password ? { password: PASSWORD } : {}),
      maxRetriesPerRequest: null,
    };
    this.queue = this.#keep(new Queue(name, { connection: this.connection }));
  }

  #keep(thing) {
    thing.on('error', () => {}); // a closed connection at the end; commands reject by themselves
    this.t.after(() => thing.close());
    return thing;
  }

  worker(work, options = {}) {
    const worker = this.#keep(
      new Worker(this.name, work, { connection: this.connection, drainDelay: 1, ...options }),
    );
    this.workers.push(worker);
    return worker;
  }

  async events() {
    const events = this.#keep(new QueueEvents(this.name, { connection: this.connection, lastEventId: '0-0' }));
    await events.waitUntilReady();
    return events;
  }

  flow() {
    return this.#keep(new FlowProducer({ connection: this.connection }));
  }
}

const counts = (queue) => queue.getJobCounts('completed', 'failed', 'waiting', 'active', 'delayed');

test('bullmq', { timeout: 120000 * SLOW }, async (t) => {
  const server = await startServer(t);
  const sub = (name, fn) => t.test(name, (t) => within(fn(t, new Bench(t, server)), BOUND_MS, name));

  await sub('every job of many is done once, by several workers, with its result', async (t, b) => {
    const seen = new Map();
    const work = async (job) => {
      seen.set(job.id, (seen.get(job.id) || 0) + 1);
      return job.data.n * 2;
    };
    const jobs = await b.queue.addBulk(
      Array.from({ length: 500 }, (_, n) => ({ name: 'double', data: { n, text: 'snow ☃' } })),
    );
    for (let i = 0; i < 3; i++) {
      b.worker(work, { concurrency: 10 });
    }
    await eventually(async () => (await counts(b.queue)).completed === 500, { timeoutMs: 15000 });
    assert.equal(seen.size, 500);
    assert.ok([...seen.values()].every((n) => n === 1));
    const one = await b.queue.getJob(jobs[77].id);
    assert.equal(one.returnvalue, 154);
    assert.equal(one.data.text, 'snow ☃');
    const { completed, ...others } = await counts(b.queue);
    assert.equal(completed, 500);
    assert.ok(Object.values(others).every((n) => n === 0), JSON.stringify(others));
  });

  await sub('order: first in first out, last in first out, priorities', async (t, b) => {
    const order = [];
    await b.queue.pause();
    for (const [name, options] of [
      ['first', {}], ['second', {}], ['third', { lifo: true }],
      ['low', { priority: 10 }], ['high', { priority: 1 }], ['middle', { priority: 5 }],
    ]) {
      await b.queue.add(name, {}, options);
    }
    assert.equal((await b.queue.getPrioritized()).length, 3);
    b.worker(async (job) => order.push(job.name));
    await b.queue.resume();
    await eventually(() => order.length === 6);
    assert.deepEqual(order, ['third', 'first', 'second', 'high', 'middle', 'low']);
  });

  await sub('a delayed job is not done before its time, nor long after', async (t, b) => {
    const done = new Map();
    b.worker(async (job) => done.set(job.name, Date.now()));
    const begun = Date.now();
    await b.queue.add('late', {}, { delay: 400 });
    await b.queue.add('later', {}, { delay: 700 });
    await b.queue.add('now', {});
    assert.equal((await counts(b.queue)).delayed, 2);
    await eventually(() => done.size === 3);
    assert.deepEqual([...done.keys()], ['now', 'late', 'later']);
    assert.ok(done.get('late') - begun >= 400 && done.get('later') - begun >= 700);
    const moved = await b.queue.add('promoted', {}, { delay: 3600000 });
    await moved.promote();
    await eventually(() => done.has('promoted'));
    const changed = await b.queue.add('changed', {}, { delay: 3600000 });
    await changed.changeDelay(50);
    await eventually(() => done.has('changed'));
  });

  await sub('attempts with backoff, failures, retry by hand', async (t, b) => {
    const tries = [];
    let mayWork = false;
    b.worker(async (job) => {
      tries.push([job.name, Date.now()]);
      if (job.name === 'hopeless') {
        throw new UnrecoverableError('no use');
      }
      if (!mayWork && (job.name === 'never' || job.attemptsMade < 2)) {
        throw new Error(`attempt ${job.attemptsMade}`);
      }
      return 'at last';
    });
    const third = await b.queue.add('third', {}, { attempts: 5, backoff: { type: 'exponential', delay: 100 } });
    await b.queue.add('never', {}, { attempts: 2, backoff: 50 });
    await b.queue.add('hopeless', {}, { attempts: 9 });
    await eventually(async () => (await b.queue.getFailedCount()) === 2 && (await third.getState()) === 'completed');
    const of = (name) => tries.filter(([n]) => n === name).map(([, at]) => at);
    const [first, second, last] = of('third');
    assert.equal(of('third').length, 3);
    assert.ok(second - first >= 100 && last - second >= 200, 'waited less than the backoff');
    assert.equal(of('never').length, 2);
    assert.equal(of('hopeless').length, 1);
    const failed = (await b.queue.getFailed()).find((job) => job.name === 'never');
    assert.equal(failed.failedReason, 'attempt 1');
    assert.equal(failed.stacktrace.length, 2);
    mayWork = true;
    await failed.retry();
    await eventually(async () => (await failed.getState()) === 'completed');
  });

  await sub('job schedulers: every, cron, and their end', async (t, b) => {
    const at = [];
    b.worker(async (job) => at.push([job.name, Date.now()]));
    await b.queue.upsertJobScheduler('often', { every: 200 }, { name: 'tick', data: { n: 1 } });
    await b.queue.upsertJobScheduler('cron', { pattern: '* * * * * *', limit: 2 }, { name: 'tock' });
    assert.equal(await b.queue.getJobSchedulersCount(), 2);
    const of = (name) => at.filter(([n]) => n === name).length;
    await eventually(() => of('tick') >= 4 && of('tock') >= 2, { timeoutMs: 8000 });
    await b.queue.upsertJobScheduler('often', { every: 3600000 }, { name: 'tick' });
    assert.equal((await b.queue.getJobScheduler('often')).every, 3600000);
    assert.equal(await b.queue.removeJobScheduler('often'), true);
    assert.equal(await b.queue.removeJobScheduler('often'), false);
    await eventually(async () => (await b.queue.getDelayedCount()) === 0);
  });

  await sub('a flow: the parent waits for its children, and sees their results', async (t, b) => {
    const order = [];
    b.worker(async (job) => {
      order.push(job.name);
      if (job.name !== 'child' && job.name !== 'grandchild') {
        const values = Object.values(await job.getChildrenValues());
        return values.reduce((sum, n) => sum + n, 0);
      }
      return job.data.n ?? 1;
    }, { concurrency: 4 });
    const children = Array.from({ length: 10 }, (_, n) => ({ name: 'child', queueName: b.name, data: { n } }));
    const tree = await b.flow().add({
      name: 'root', queueName: b.name,
      children: [
        { name: 'middle', queueName: b.name, children: [{ name: 'grandchild', queueName: b.name }] },
        ...children,
      ],
    });
    await eventually(async () => (await tree.job.getState()) === 'completed');
    assert.equal((await b.queue.getJob(tree.job.id)).returnvalue, 46);
    assert.equal(order.at(-1), 'root');
    assert.ok(order.indexOf('grandchild') < order.indexOf('middle'));
    const deps = await (await b.queue.getJob(tree.job.id)).getDependenciesCount();
    assert.deepEqual(deps, { failed: 0, ignored: 0, processed: 11, unprocessed: 0 });
  });

  await sub('a limited worker keeps its rate', async (t, b) => {
    const at = [];
    await b.queue.addBulk(Array.from({ length: 12 }, (_, n) => ({ name: 'j', data: { n } })));
    const begun = Date.now();
    b.worker(async () => at.push(Date.now()), { concurrency: 5, limiter: { max: 4, duration: 300 } });
    await eventually(() => at.length === 12, { timeoutMs: 8000 });
    assert.ok(at.at(-1) - begun >= 600, `12 jobs, 4 in 300 ms, took ${at.at(-1) - begun} ms`);
  });

  await sub('pause and resume, of the queue and of a worker; drain, clean, obliterate', async (t, b) => {
    const done = [];
    const worker = b.worker(async (job) => done.push(job.name));
    await b.queue.add('one', {});
    await eventually(() => done.length === 1);
    await b.queue.pause();
    assert.equal(await b.queue.isPaused(), true);
    await b.queue.add('two', {});
    assert.equal((await b.queue.getJobCounts('paused')).paused, 1);
    await b.queue.resume();
    await eventually(() => done.length === 2);
    await worker.pause();
    await b.queue.add('three', {});
    assert.equal(await b.queue.getWaitingCount(), 1);
    worker.resume();
    await eventually(() => done.length === 3);
    await b.queue.pause();
    await b.queue.addBulk(Array.from({ length: 50 }, () => ({ name: 'x', data: {} })));
    await b.queue.drain();
    assert.equal((await b.queue.getJobCounts('paused')).paused, 0);
    assert.equal((await b.queue.clean(0, 2, 'completed')).length, 2);
    await b.queue.add('left', {}, { delay: 100000 });
    await b.queue.obliterate({ force: true });
    const redis = await b.queue.client;
    await eventually(async () => (await redis.keys(`bull:${b.name}:*`)).every((key) => /:(meta|marker|stalled-check)$/.test(key)));
  });

  await sub('events reach a listener by a stream, and waitUntilFinished', async (t, b) => {
    const events = await b.events();
    const heard = [];
    for (const name of ['added', 'waiting', 'active', 'progress', 'completed', 'failed', 'drained']) {
      events.on(name, ({ jobId }) => heard.push(jobId === undefined ? name : `${name} ${jobId}`));
    }
    b.worker(async (job) => {
      await job.updateProgress(50);
      await job.log('half');
      if (job.name === 'bad') {
        throw new Error('broken');
      }
      return { is: job.name };
    });
    const good = await b.queue.add('good', {}, { jobId: 'good' });
    assert.deepEqual(await good.waitUntilFinished(events, BOUND_MS), { is: 'good' });
    const bad = await b.queue.add('bad', {}, { jobId: 'bad' });
    await assert.rejects(bad.waitUntilFinished(events, BOUND_MS), /broken/);
    await eventually(() => heard.includes('failed bad'));
    const of = (id) => heard.filter((event) => event.endsWith(` ${id}`)).map((event) => event.split(' ')[0]);
    assert.deepEqual(of('good'), ['added', 'waiting', 'active', 'progress', 'completed']);
    assert.deepEqual(of('bad'), ['added', 'waiting', 'active', 'progress', 'failed']);
    assert.deepEqual((await b.queue.getJobLogs('good')).logs, ['half']);
  });

  await sub('ids and deduplication: a job is added once', async (t, b) => {
    const same = await Promise.all(Array.from({ length: 20 }, () => b.queue.add('once', {}, { jobId: 'same' })));
    assert.ok(same.every((job) => job.id === 'same'));
    for (let i = 0; i < 5; i++) {
      await b.queue.add('dedup', {}, { deduplication: { id: 'd', ttl: 60000 } });
    }
    assert.equal(await b.queue.getWaitingCount(), 2);
    await b.queue.remove('same');
    assert.equal(await b.queue.getWaitingCount(), 1);
  });

  await sub('a job of a worker that died is stalled, and done by another', async (t, b) => {
    const options = { lockDuration: 400, stalledInterval: 200, skipLockRenewal: true };
    const begun = [];
    const job = await b.queue.add('precious', {});
    let release;
    const hangs = () => new Promise((resolve) => (release = resolve));
    b.worker(() => (begun.push('dead'), hangs()), { ...options, skipStalledCheck: true });
    await eventually(() => begun.length === 1);
    const heir = b.worker(async () => begun.push('heir'), options);
    const [[id]] = await Promise.all([once(heir, 'stalled'), eventually(() => begun.length === 2)]);
    assert.equal(id, job.id);
    await eventually(async () => (await job.getState()) === 'completed');
    release(); // what it says now is refused, since the lock is another's
  });
});
