// Asks for one run: node submit.mjs SCHEMA TENANT REQUEST_ID INPUT. The same request id again is not run again.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import avro from "avsc";
import { Kafka, logLevel } from "kafkajs";

const TOPIC = "penstock.accounts.requests.v1";
const [schemaFile, tenant, requestId, input] = process.argv.slice(2);
const { PENSTOCK_KAFKA_BOOTSTRAP_SERVERS: brokers, PENSTOCK_REGISTRY_URL: registry } = process.env;

const type = avro.Type.forSchema(JSON.parse(readFileSync(schemaFile, "utf8")));
const body = type.toBuffer({
  event_id: randomUUID(),
  tenant_id: tenant,
  occurred_at: Date.now() * 1000,
  request_id: requestId,
  agent_type: "echo",
  input,
}); // the other fields have defaults

const subject = `${registry}/subjects/${TOPIC}-${type.name}/versions/latest`;
const answer = await fetch(subject);
if (!answer.ok) throw new Error(`${subject} answered ${answer.status}: ${await answer.text()}`);
const framing = Buffer.alloc(5); // a zero, and the schema's number in the registry
framing.writeInt32BE((await answer.json()).id, 1);

const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer();
await producer.connect();
await producer.send({
  topic: TOPIC,
  acks: -1,
  messages: [{ key: tenant, value: Buffer.concat([framing, body]) }],
});
await producer.disconnect();
console.log(`sent ${requestId}`);
