import kafkajs from 'kafkajs';
import type { OthersTopic } from '../event-log.contract.js';

/** Makes the topic anew and writes to it as a platform does: with a client of its own, and nothing of ours. */
export async function othersWrite(
  broker: string,
  { name: topic, partitions: numPartitions, values }: OthersTopic,
): Promise<void> {
  const kafka = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.NOTHING });
  const admin = kafka.admin();
  const producer = kafka.producer();
  await Promise.all([admin.connect(), producer.connect()]);
  try {
    if ((await admin.listTopics()).includes(topic)) await admin.deleteTopics({ topics: [topic] });
    await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true });
    const partition = numPartitions - 1;
    await producer.send({ topic, messages: values.map((value) => ({ partition, value })) });
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  }
}
