// BullMQ as its users run it: a Queue that is filled, and a Worker of a given concurrency that works it off. Told what
// to do by lines of JSON on standard input, says what happened by lines of JSON on standard output:
//
//   {"do":"version"}                                        {"bullmq":…,"node":…}
//   {"do":"fill","tasks":n,"payload":{…}}                   {"filled":n}
//   {"do":"turn","workers":n,"warm":ms,"time":ms}           {"begun":…}, {"ended":true}, {"cycles":n,"micros":n}
//
// A turn is begun once it counts; it is not where the jobs were done before.
// The worker's own fast path is used: finishing a job fetches the next one in the same round trip.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { Queue, Worker } from 'bullmq';

const NAME = 'widgets';
const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

async function fill(tasks, payload) {
  const queue = new Queue(NAME, { connection });
  const job = { name: 'fix', data: payload };
  for (let left = tasks; left > 0; left -= 1000) {
    await queue.addBulk(Array(Math.min(left, 1000)).fill(job));
  }
  await queue.close();
  return { filled: tasks };
}

// Counts jobs whose completion the server has acknowledged.
async function turn(workers, warm, time) {
  const worker = new Worker(NAME, async () => {}, {
    connection,
    concurrency: workers,
    autorun: false,
    // Nothing is kept of a finished job: the least work.
    removeOnComplete: { count: 0 },
  });
  await worker.waitUntilReady();
  let cycles = 0;
  let begun;
  const ended = new Promise((resolve) => {
    let timer;
    const end = () => {
      clearTimeout(timer);
      if (begun === undefined) {
        begun = process.hrtime.bigint();
        say({ begun: false });
      }
      resolve([cycles, process.hrtime.bigint() - begun]);
    };
    const begin = () => {
      begun = process.hrtime.bigint();
      cycles = 0;
      say({ begun: true });
      timer = setTimeout(end, time);
    };
    timer = setTimeout(begin, warm);
    worker.on('completed', () => { cycles += 1; });
    worker.on('drained', end);
    worker.on('error', (error) => { throw error; });
  });
  const running = worker.run();
  const [counted, nanos] = await ended;
  say({ ended: true });
  await worker.close();
  await running;
  return { cycles: counted, micros: Number(nanos / 1000n) };
}

function version() {
  const { version } = createRequire(import.meta.url)('bullmq/package.json');
  return { bullmq: version, node: process.versions.node };
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  switch (order.do) {
    case 'fill': say(await fill(order.tasks, order.payload)); break;
    case 'turn': say(await turn(order.workers, order.warm, order.time)); break;
    case 'version': say(version()); break;
    default: throw new Error(`an order to ${order.do}`);
  }
}
process.exit(0);
