import { z } from 'zod';
import { mappingSchema } from '#domain/mapping';

/** The files of config/mappings, whose names are always known. */
export const SHIPPED_MAPPINGS = ['bullmq', 'bullmq-events', 'n8n', 'n8n-executions'] as const;

export const mappingName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'lower-case letters, digits and dashes, 1 to 63 characters');

const REQUIRED = ['execution', 'pool', 'status', 'times'] as const;

/** A mapping in the configuration: all of it, or what differs from a shipped one. */
export const mappingConfigSchema = mappingSchema
  .partial()
  .extend({
    extends: z
      .enum(SHIPPED_MAPPINGS)
      .optional()
      .describe('A shipped mapping (config/mappings) that this one is but for the keys given here.'),
  })
  .superRefine((value, context) => {
    if (value.extends !== undefined) return;
    for (const key of REQUIRED) {
      if (value[key] === undefined)
        context.addIssue({ code: 'custom', path: [key], message: 'given when nothing is extended' });
    }
  });
export type MappingConfig = z.output<typeof mappingConfigSchema>;

export function isKnownMapping(name: string, configured: Record<string, unknown>): boolean {
  return Object.hasOwn(configured, name) || (SHIPPED_MAPPINGS as readonly string[]).includes(name);
}

/** JSON Schema of the files in config/mappings, for editors; docs/mapping.schema.json is this, checked by a test. */
export function mappingJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(mappingSchema, { io: 'input' }), title: 'Headroom mapping' };
}
