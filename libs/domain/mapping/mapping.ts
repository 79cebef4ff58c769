import { z } from 'zod';
import { PHASES, poolName } from '#domain/events';
import { MAX_PATH_CHARS, parsePath } from './path.js';
import { MAX_TEMPLATE_CHARS, parseTemplate } from './template.js';
import { TIME_UNITS } from './time.js';

const MAX_ALTERNATIVES = 8;
const MAX_CONDITIONS = 32;
const MAX_VALUES = 200;
/** Characters of a value that a record is compared with. */
const MAX_VALUE_CHARS = 200;

const path = z
  .string()
  .min(1)
  .max(MAX_PATH_CHARS)
  .transform((text, context) => {
    const parsed = parsePath(text);
    if (parsed === undefined) context.addIssue('a path such as job.id, runs[0].name, $.batch or @.topic');
    return parsed ?? z.NEVER;
  });

const template = z
  .string()
  .min(1)
  .max(MAX_TEMPLATE_CHARS)
  .transform((text, context) => {
    const parsed = parseTemplate(text);
    if (parsed === undefined) context.addIssue('text with paths in braces, such as {queue}/{job.id}');
    return parsed ?? z.NEVER;
  });

/** One, or several of which the first that is there counts. */
const oneOrMore = <T extends z.ZodType>(one: T) =>
  z.union([one.transform((value) => [value]), z.array(one).min(1).max(MAX_ALTERNATIVES)]);

const text = oneOrMore(template);
const value = z.string().min(1).max(MAX_VALUE_CHARS);
const scalars = oneOrMore(z.union([value, z.number(), z.boolean()]).transform(String));

/** What words of the platform stand for. */
const table = <T extends z.ZodType>(meaning: T) =>
  z
    .record(value, meaning)
    .refine((values) => Object.keys(values).length <= MAX_VALUES, { message: `at most ${MAX_VALUES} keys` })
    .transform((values) => new Map(Object.entries(values)));

const condition = z
  .strictObject({
    path,
    is: scalars.optional().describe('One of these, compared as text.'),
    not: scalars.optional().describe('None of these, compared as text.'),
    startsWith: value.optional(),
    exists: z.boolean().optional().describe('Whether it is there; null and an empty text are not.'),
  })
  .refine(
    ({ is, not, startsWith, exists }) => [is, not, startsWith, exists].some((rule) => rule !== undefined),
    { message: 'at least one of is, not, startsWith, exists' },
  );
export type Condition = z.output<typeof condition>;

/** All must hold. */
const conditions = z.union([
  condition.transform((one) => [one]),
  z.array(condition).min(1).max(MAX_CONDITIONS),
]);

const phaseOrIgnore = z.enum([...PHASES, 'ignore']);

const status = z
  .union([
    z.enum(PHASES).transform((phase) => ({ rules: [{ phase, when: undefined }] })),
    z.strictObject({
      text,
      values: table(phaseOrIgnore),
      otherwise: z
        .enum(['refuse', 'ignore'])
        .default('refuse')
        .describe('What becomes of records with other words.'),
    }),
    z
      .array(z.strictObject({ phase: phaseOrIgnore, when: conditions.optional() }))
      .min(1)
      .max(MAX_CONDITIONS)
      .transform((rules) => ({ rules })),
  ])
  .describe(
    'What a record says has happened: always the same phase, a table of the platform’s words, or rules of which the first that holds counts.',
  );

const unit = z.enum(TIME_UNITS);
const DURATION_UNITS = TIME_UNITS.filter((one) => one !== 'iso');
const time = oneOrMore(
  z.union([
    path.transform((at) => ({ path: at, unit: undefined, plus: undefined, when: undefined })),
    z.strictObject({
      path,
      unit: unit.optional(),
      plus: z
        .strictObject({ path, unit: z.enum(DURATION_UNITS).default('ms') })
        .optional()
        .describe('A duration to add: a delay before it counts as queued, or how long it ran.'),
      when: conditions.optional().describe('Only in records for which all of these hold.'),
    }),
  ]),
);
export type TimeFields = z.output<typeof time>;

const times = z
  .strictObject({
    unit: unit.default('ms').describe('Of every time that names none. iso without a zone is UTC.'),
    queuedAt: time.optional(),
    startedAt: time.optional(),
    endedAt: time.optional(),
    at: time.optional().describe('When it happened, whatever the status says that it was.'),
  })
  .refine(
    ({ queuedAt, startedAt, endedAt, at }) =>
      [queuedAt, startedAt, endedAt, at].some((field) => field !== undefined),
    {
      message: 'at least one of queuedAt, startedAt, endedAt, at',
    },
  );

/**
 * How records of another platform become execution events: JSON paths, words and units. Parsed once, applied by
 * mapRecord.
 */
export const mappingSchema = z.strictObject({
  description: z.string().max(2000).optional(),
  source: z
    .string()
    .min(1)
    .max(60)
    .optional()
    .describe('Names the platform; ids of different sources never meet. Default: the name of the mapping.'),
  each: path
    .optional()
    .describe(
      'An array in the record whose elements are mapped one by one. Paths then start at the element.',
    ),
  ignore: z
    .array(z.strictObject({ when: conditions, why: value }))
    .max(MAX_CONDITIONS)
    .optional()
    .describe('Records that are left out on purpose: those for which all conditions of an entry hold.'),
  execution: text.describe('Id of the execution, the same in all records about it.'),
  attempt: z
    .union([
      path.transform((at) => ({ path: at, plus: 0 })),
      z.strictObject({ path, plus: z.int().min(-1).max(1).default(0) }),
    ])
    .optional()
    .describe('Number of the try, from 1; `plus: 1` when the platform counts from 0. Default: 1.'),
  pool: z
    .union([
      text.transform((templates) => ({ text: templates, values: new Map<string, string>() })),
      z.strictObject({ text, values: table(poolName) }),
    ])
    .describe(
      'Pool of the execution, in lower case; what is no letter or digit becomes a dash. `values` renames some.',
    ),
  taskType: text.optional(),
  workerId: text.optional(),
  errorClass: text.optional().describe('Why it failed; read when it has.'),
  status,
  times,
  id: text
    .optional()
    .describe('Id of the event, the same whenever it is sent again. Default: execution, attempt and phase.'),
});
/** As it is written. */
export type MappingInput = z.input<typeof mappingSchema>;
export type MappingRules = z.output<typeof mappingSchema>;
