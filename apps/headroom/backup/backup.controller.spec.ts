import 'reflect-metadata';
import { request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, expect, test } from '@jest/globals';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { apiAdapter, configureApi } from '#adapters/http-api';
import { COPY_TOO_LONG } from '#adapters/store';
import { BACKUP_ROUTES, BackupController, BackupSource } from './backup.controller.js';

const UNREAD_WITHIN_MS = 200;
const PIECE = Buffer.alloc(65_536);

/** More than anything between the two could hold for a reader who does not read. */
function endless(): Readable {
  return new Readable({
    read() {
      this.push(PIECE);
    },
  });
}

let app: NestFastifyApplication | undefined;
afterEach(() => app?.close());

async function serve(open: () => Promise<Readable>): Promise<string> {
  @Module({
    controllers: [BackupController],
    providers: [{ provide: BackupSource, useValue: new BackupSource(open, UNREAD_WITHIN_MS) }],
  })
  class BackupModule {}
  const onProblem = () => undefined;
  const adapter = apiAdapter({ bodyLimitBytes: 1000, onProblem });
  app = await NestFactory.create<NestFastifyApplication>(BackupModule, adapter, {
    bodyParser: false,
    logger: false,
  });
  configureApi(app, {
    routes: Object.values(BACKUP_ROUTES),
    verify: async () => ({ ok: true, scopes: ['backup:read'], subject: 'ada' }),
    onUnexpected: () => undefined,
    onTokenRefused: () => undefined,
    onProblem,
  });
  await app.listen(0, '127.0.0.1');
  return `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}${BACKUP_ROUTES.backup.path}`;
}

function begin(url: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers: { authorization: 'Bearer key' } }, resolve);
    sent.on('error', reject).end();
  });
}

test('one at a time; one that nobody reads any more is given up, and the next one begins', async () => {
  const backups: Readable[] = [];
  const url = await serve(async () => {
    backups.push(endless());
    return backups.at(-1) as Readable;
  });
  const stalled = await begin(url);
  const cut = new Promise((resolve) => stalled.once('error', resolve));
  const [first] = backups as [Readable];
  const closed = new Promise((resolve) => first.once('close', resolve));
  const second = await begin(url);
  expect(second.statusCode).toBe(409);
  second.resume();
  await closed;
  stalled.resume();
  await cut; // It was not all there, and its reader knows.
  const third = await begin(url);
  expect(third.statusCode).toBe(200);
  third.destroy();
});

test('a data directory that is too large to copy while it is in use: what to do instead', async () => {
  const tooLong = Object.assign(new Error('data directory: must be copied within 10000 ms, has 9 bytes'), {
    code: COPY_TOO_LONG,
  });
  const url = await serve(() => Promise.reject(tooLong));
  const answer = await fetch(url, { headers: { authorization: 'Bearer key' } });
  expect(answer.status).toBe(409);
  expect(await answer.json()).toMatchObject({
    type: 'urn:headroom:backup-too-large',
    hint: expect.stringContaining('stop the program'),
  });
});
