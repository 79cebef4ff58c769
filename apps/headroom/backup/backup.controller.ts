import type { Readable } from 'node:stream';
import { Controller, Res, type OnModuleDestroy } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Endpoint, problem, type Route } from '#adapters/http-api';
import { COPY_TOO_LONG } from '#adapters/store';

export const BACKUP_MEDIA_TYPE = 'application/gzip';

export const BACKUP_ROUTES = {
  backup: {
    method: 'GET',
    path: '/v1/backup',
    summary: 'All that is stored, as it is at this moment, for `headroom restore`; one at a time',
    scope: 'backup:read',
    response: z.string(),
    produces: BACKUP_MEDIA_TYPE,
    refusals: {
      409: 'Another backup is being taken, or the data directory is too large for one while it is in use.',
    },
  },
} as const satisfies Record<string, Route>;

/** A backup of which nobody has read for so long, ms, is given up: what it was taken from is held for it. */
const UNREAD_WITHIN_MS = 60_000;

/** Begins a backup of the moment. */
export class BackupSource {
  constructor(
    readonly open: () => Promise<Readable>,
    readonly unreadWithinMs = UNREAD_WITHIN_MS,
  ) {}
}

@Controller()
export class BackupController implements OnModuleDestroy {
  private taken = false;
  private current: Readable | undefined;

  constructor(private readonly source: BackupSource) {}

  @Endpoint(BACKUP_ROUTES.backup)
  async backup(@Res() reply: FastifyReply): Promise<void> {
    if (this.taken) throw busy();
    this.taken = true;
    try {
      const backup = await this.source.open();
      backup.once('close', () => (this.taken = false));
      this.current = backup;
      reply.raw.setTimeout(this.source.unreadWithinMs, () => backup.destroy(unread()));
      void reply.header('content-type', BACKUP_MEDIA_TYPE).send(backup);
    } catch (error) {
      this.taken = false;
      throw (error as { code?: string }).code === COPY_TOO_LONG ? tooLarge(error as Error) : error;
    }
  }

  /** A stop does not wait for whoever reads slowly. */
  onModuleDestroy(): void {
    this.current?.destroy();
  }
}

function busy() {
  return problem(409, {
    name: 'backup-running',
    detail: 'backup: one at a time, another one is being taken',
    headers: { 'retry-after': '60' },
  });
}

function unread(): Error {
  return new Error('backup: must be read, was not for some time');
}

function tooLarge({ message }: Error) {
  return problem(409, {
    name: 'backup-too-large',
    detail: message,
    hint: 'stop the program: `headroom backup` reads a data directory at rest however large it is',
  });
}
