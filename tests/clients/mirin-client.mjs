// A program of the oldest kind: bare channels and keys, an issue's number as text, heartbeats that nobody answers.
import assert from "node:assert/strict";
import Redis from "ioredis5";

const redis = new Redis({ host: "127.0.0.1", port: Number(process.env.REDIS_PORT) });
const answers = redis.duplicate();
const processId = "issue-123-poppo";

await answers.subscribe("mirin-responses");

const ask = (action, more) =>
  new Promise((resolve, reject) => {
    const requestId = `req-${Date.now()}-${action}-${processId}`;
    const timer = setTimeout(() => reject(new Error(`no answer to ${requestId}`)), 30000);
    const hear = (_, text) => {
      const answer = JSON.parse(text);
      if (answer.requestId !== requestId) return;
      answers.off("message", hear);
      clearTimeout(timer);
      resolve(answer);
    };
    answers.on("message", hear);
    const request = { requestId, action, processId, pid: process.pid, timestamp: new Date().toISOString(), ...more };
    redis.publish("mirin-requests", JSON.stringify(request));
  });

const granted = await ask("checkout_issue", { issueNumber: "123", taskType: "dogfooding" });
assert.equal(granted.success, true, granted.error);
const issue = await redis.hgetall("issue:123");
assert.deepEqual([issue.status, issue.processId, issue.pid], ["processing", processId, String(process.pid)]);
assert.equal((await redis.hgetall(`process:${processId}`)).issueNumber, "123");
assert.deepEqual(await redis.smembers("processing_issues"), ["123"]);
const left = await redis.ttl(`heartbeat:${processId}`);
assert.ok(left > 1700 && left <= 1800, String(left));

await redis.publish("mirin-requests", JSON.stringify({ action: "heartbeat", processId, pid: process.pid }));
const unknown = await ask("take_over", {});
assert.deepEqual([unknown.success, unknown.error], [false, "Unknown action: take_over"]);

const back = await ask("checkin_issue", { issueNumber: "123", finalStatus: "awaiting-response" });
assert.equal(back.success, true, back.error);
assert.equal(await redis.hget("issue:123", "status"), "awaiting-response");
assert.deepEqual(await redis.smembers("processing_issues"), []);

await Promise.all([redis.quit(), answers.quit()]);
console.log("all is well");
