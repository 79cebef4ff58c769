import type { Readable } from 'node:stream';
import { Controller, Res, type OnModuleDestroy } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Endpoint, problem, type Route } from '#adapters/http-api';

export const BACKUP_MEDIA_TYPE = 'application/gzip';

export const BACKUP_ROUTES = {
  backup: {
    method: 'GET',
    path: '/v1/backup',
    summary: 'All that is stored, as it is at this moment, for `headroom restore`; one at a time',
    scope: 'backup:read',
    response: z.string(),
    produces: BACKUP_MEDIA_TYPE,
    refusals: { 409: 'Another backup is being taken.' },
  },
} as const satisfies Record<string, Route>;

/** Begins a backup of the moment. */
export class BackupSource {
  constructor(readonly open: () => Promise<Readable>) {}
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
      void reply.header('content-type', BACKUP_MEDIA_TYPE).send(backup);
    } catch (error) {
      this.taken = false;
      throw error;
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
