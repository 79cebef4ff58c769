import { part as faketime } from './faketime.js';
import { part as kafka } from './kafka.js';
import type { Part } from './part.js';
import { part as postgres } from './postgres.js';
import { part as prometheus } from './prometheus.js';
import { part as rabbitmq } from './rabbitmq.js';
import { part as redis } from './redis.js';
import { part as toxiproxy } from './toxiproxy.js';

/** In the order they are obtained. */
export const parts: readonly Part[] = [postgres, redis, rabbitmq, prometheus, faketime, kafka, toxiproxy];
