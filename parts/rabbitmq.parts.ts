import { startRabbitMq, type RabbitMq } from '#parts/rabbitmq';
import { connect } from 'amqplib';
import { serverContract } from './server.contract.js';

serverContract({
  part: 'rabbitmq',
  start: startRabbitMq,
  address: ({ url }) => url,
  ask: async ({ url }: RabbitMq) => {
    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('executions', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue('executions', Buffer.from('completed'), { persistent: true });
    await channel.waitForConfirms();
    const got = await channel.get('executions', { noAck: true });
    await connection.close();
    return got && got.content.toString();
  },
  answer: 'completed',
});
