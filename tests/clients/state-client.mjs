// A program of the older kind: it asks over pub/sub, waits 30 s for an answer, beats by itself, and reads plain keys.
import { once } from "node:events";
import assert from "node:assert/strict";
import Redis from "ioredis5";

const prefix = process.argv[2] ?? "poppo";
const options = { host: "127.0.0.1", port: Number(process.env.REDIS_PORT) };

class StateClient {
  constructor(id) {
    this.id = id;
    this.sent = 0;
    this.open = new Map();
    this.reader = new Redis(options);
    this.listener = new Redis(options);
  }

  async connect() {
    await once(this.listener, "ready");
    await this.listener.subscribe(`${prefix}:channel:mirin:responses`);
    this.listener.on("message", (_, text) => {
      const answer = JSON.parse(text);
      const asked = this.open.get(answer.requestId);
      this.open.delete(answer.requestId);
      if (!asked) return;
      clearTimeout(asked.timer);
      answer.success ? asked.resolve(answer) : asked.reject(new Error(answer.error));
    });
    this.beating = setInterval(() => this.ask("heartbeat", {}, 5000).catch(() => {}), 200);
  }

  ask(action, more = {}, patience = 30000) {
    const requestId = `${this.id}-${++this.sent}-${Date.now()}`;
    const request = {
      requestId, action, processId: this.id, pid: process.pid, timestamp: new Date().toISOString(), ...more,
    };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${action}`)), patience);
      this.open.set(requestId, { resolve, reject, timer });
      this.reader.publish(`${prefix}:channel:mirin:requests`, JSON.stringify(request)).catch(reject);
    });
  }

  async close() {
    clearInterval(this.beating);
    await Promise.all([this.reader.quit(), this.listener.quit()]);
  }
}

const [one, two] = [new StateClient("test-process-1"), new StateClient("test-process-2")];
await Promise.all([one.connect(), two.connect()]);
const read = one.reader;

const granted = await one.ask("checkout_issue", { issueNumber: 100, taskType: "dogfooding" });
assert.equal(granted.issueNumber, 100);
assert.equal((await read.hgetall(`${prefix}:issue:status:100`)).processId, "test-process-1");
assert.deepEqual(await read.smembers(`${prefix}:issues:processing`), ["100"]);
assert.equal(await read.get(`${prefix}:process:heartbeat:test-process-1`), "alive");
await assert.rejects(two.ask("checkout_issue", { issueNumber: 100, taskType: "misc" }), {
  message: "Issue #100 is already being processed by test-process-1",
});
const status = await two.ask("get_issue_status", { issueNumber: 100 });
assert.deepEqual(status.status, await read.hgetall(`${prefix}:issue:status:100`));

await two.ask("checkout_issue", { issueNumber: 101, taskType: "quality" });
const listed = await one.ask("list_processing_issues");
assert.deepEqual(listed.issues.map((issue) => `${issue.issueNumber} ${issue.taskType}`).sort(), ["100 dogfooding", "101 quality"]);

await one.ask("checkin_issue", { issueNumber: 100, finalStatus: "completed", metadata: { duration: 1500, result: "success" } });
const done = await read.hgetall(`${prefix}:issue:status:100`);
assert.deepEqual([done.status, done.duration, done.result], ["completed", "1500", "success"]);
assert.deepEqual(await read.smembers(`${prefix}:issues:processed`), ["100"]);

await two.ask("cleanup_process");
assert.equal((await read.hgetall(`${prefix}:issue:status:101`)).status, "error");
assert.deepEqual(await read.smembers(`${prefix}:issues:processing`), []);

// Fifty at once, each seen by whoever asked as soon as it is answered.
await Promise.all(Array.from({ length: 50 }, async (_, i) => {
  const client = i % 2 ? one : two;
  await client.ask("checkout_issue", { issueNumber: 200 + i, taskType: "performance-test" });
  assert.equal((await client.reader.hgetall(`${prefix}:issue:status:${200 + i}`)).processId, client.id);
}));

await Promise.all([one.close(), two.close()]);
console.log("all is well");
