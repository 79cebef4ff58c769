import { z } from 'zod';

const file = z.string().min(1);

const tls = z
  .strictObject({
    caFile: file
      .optional()
      .describe('Certificates to trust, PEM, relative to this file; default: those of Node.'),
    certFile: file.optional().describe('Certificate of this client, PEM.'),
    keyFile: file.optional().describe('Its private key, PEM.'),
    serverName: z
      .string()
      .min(1)
      .optional()
      .describe('Name in the server’s certificate, where it is not the host of the url.'),
  })
  .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
    path: ['keyFile'],
    message: 'together with certFile, or neither',
  })
  .describe('Encrypts the connection and checks the server’s certificate. Without it: neither.');

const milliseconds = (bounds: { min: number; max: number; default: number }) =>
  z.number().int().min(bounds.min).max(bounds.max).default(bounds.default);

const postgres = z.strictObject({
  kind: z.literal('postgres'),
  url: z
    .string()
    .superRefine((text, context) => {
      const message = urlProblem(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    })
    .describe('postgres://user@host:5432/database. The password has a file of its own.'),
  passwordFile: file
    .optional()
    .describe('Its first line is the password; read again for every connection, so it may change.'),
  tls: tls.optional(),
  maxConnections: z
    .number()
    .int()
    .min(2)
    .max(200)
    .default(10)
    .describe('Connections of one process; a query that finds none free waits for connectTimeoutMs.'),
  connectTimeoutMs: milliseconds({ min: 100, max: 60_000, default: 5_000 }).describe(
    'Longest wait for a connection.',
  ),
  statementTimeoutMs: milliseconds({ min: 100, max: 600_000, default: 30_000 }).describe(
    'A statement that takes longer is ended.',
  ),
  lockTimeoutMs: milliseconds({ min: 100, max: 600_000, default: 10_000 }).describe(
    'Longest wait of a statement for another’s lock.',
  ),
  idleTimeoutMs: milliseconds({ min: 1_000, max: 3_600_000, default: 60_000 }).describe(
    'An unused connection is closed after this time, and the server ends a transaction that nobody goes on with.',
  ),
});

/** Where the tables are; the configuration's `store`. */
export const storeSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('embedded').describe('In the data directory: one process.') }),
  postgres.describe('On a server, PostgreSQL 15 or newer: any number of processes.'),
]);
export type StoreSettings = z.output<typeof storeSchema>;
export type PostgresSettings = z.output<typeof postgres>;

/** Whatever else a connection needs has a key of its own, so that no text that is logged holds a secret. */
function urlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || url.host === '')
    return 'postgres://user@host:5432/database';
  if (url.password !== '') return 'a url without a password (it belongs into passwordFile)';
  if (url.username === '') return 'a url with a user';
  if (!/^\/[^/]+$/.test(url.pathname)) return 'a url with a database';
  if (url.search !== '' || url.hash !== '') return 'a url without ? and #: settings have keys of their own';
  return undefined;
}
