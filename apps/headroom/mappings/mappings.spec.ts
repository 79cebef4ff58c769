import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { emptyBucket, addToBucket, ingestStep, newIngestMemory } from '#domain/demand';
import { mapText } from '#domain/mapping';
import type { CommandContext } from '../commands/command-context.js';
import { parseConfig } from '../config-file.js';
import { knownMappings } from './known-mappings.js';
import { mappingJsonSchema, SHIPPED_MAPPINGS } from './mapping-config.js';
import { readSamples } from './sample-records.js';
import { testMapping, type TestMappingOptions } from './test-mapping.js';

const projectDir = join(import.meta.dirname, '..', '..', '..', '..');
const fixtures = join(projectDir, 'libs', 'domain', 'mapping', 'fixtures');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-mappings-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | object): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

/** What the command prints, notes and answers. */
async function run(file: string, options: TestMappingOptions) {
  const printed: string[] = [];
  const noted: string[] = [];
  const context = {
    environment: {},
    projectDir,
    print: (line: string) => void printed.push(line),
    note: (line: string) => void noted.push(line),
    fail: ({ code, message }: { code: number; message: string }) => (noted.push(message), code),
  } as unknown as CommandContext;
  const code = await testMapping(file, options, context);
  return { code, printed, noted };
}

describe('shipped mappings', () => {
  test('are the files of config/mappings', () => {
    const files = readdirSync(join(projectDir, 'config', 'mappings')).map((file) =>
      file.replace('.yaml', ''),
    );
    expect(files.toSorted()).toEqual(SHIPPED_MAPPINGS.toSorted());
  });

  test.each([
    ['bullmq', 'bullmq-jobs.jsonl'],
    ['bullmq-events', 'bullmq-events.jsonl'],
    ['n8n', 'n8n-events.jsonl'],
    ['n8n-executions', 'n8n-executions.json'],
  ])('%s makes of its fixture what stands beside it', async (mapping, file) => {
    const { code, printed } = await run(join(fixtures, file), { mapping });
    const golden = readFileSync(join(fixtures, file.replace(/\.jsonl?$/, '.txt')), 'utf8');
    expect(`${printed.join('\n')}\n`).toBe(golden);
    expect(code).toBe(0);
  });

  test('the same run of BullMQ counts the same, heard from its streams or from its workers', async () => {
    const heard = async (name: string, file: string) => {
      const mapping = (await knownMappings({})).get(name)!;
      const samples = await readSamples(join(fixtures, file));
      if (!samples.ok) throw new Error(samples.problem);
      const events = samples.records.flatMap(({ text, about }) =>
        mapText(text, mapping, about).flatMap((mapped) =>
          mapped.outcome === 'mapped' ? [mapped.event] : [],
        ),
      );
      const ends = events.map(({ data }) => data.endedAtMs ?? data.startedAtMs ?? data.queuedAtMs);
      const timestampMs = Math.max(...ends);
      const records = events.map((event, offset) => ({
        offset,
        timestampMs,
        parsed: { ok: true as const, event },
      }));
      const settings = { dedupeWindowS: 300, maxExecutionS: 3600, maxFutureS: 60, maxAgeS: 3600 };
      const poolSettings = () => ({ bucketS: 1, latenessS: 2 });
      const { output } = ingestStep(
        { partition: 0, records, settings, admits: () => true, poolSettings },
        newIngestMemory(),
      );
      const sum = emptyBucket(0);
      for (const { buckets } of output.partials) for (const bucket of buckets) addToBucket(sum, bucket);
      return { deadLetters: output.deadLetters, ...sum };
    };
    const streams = await heard('bullmq-events', 'bullmq-events.jsonl');
    const workers = await heard('bullmq', 'bullmq-jobs.jsonl');
    // Seven jobs, of which one fails for good; two more tries, which only the workers number.
    const jobs = { deadLetters: [], arrivals: 7, completions: 6, abandonments: 0 };
    expect(streams).toMatchObject({ ...jobs, failures: 1, retries: 0, starts: 7 });
    expect(workers).toMatchObject({ ...jobs, failures: 3, retries: 2, starts: 9 });
    expect([streams.serviceMs.count, workers.serviceMs.count]).toEqual([7, 9]);
  });
});

describe('BullMQ', () => {
  const heard = async (name: string, record: object) => {
    const mapping = (await knownMappings({})).get(name)!;
    const [mapped] = mapText(JSON.stringify(record), mapping);
    if (mapped?.outcome !== 'mapped') throw new Error(JSON.stringify(mapped));
    return mapped.event;
  };

  test('a job whose id was used before is an execution of its own', async () => {
    const at = Date.UTC(2026, 10, 24, 10);
    const added = (timestamp: number) => ({
      event: 'added',
      queue: 'images',
      at: timestamp,
      job: { id: 'nightly', timestamp, attemptsStarted: 0, opts: {} },
    });
    const [first, second] = [await heard('bullmq', added(at)), await heard('bullmq', added(at + 60_000))];
    expect(first.subject).toBe(`bullmq:images/nightly/${at}`);
    expect(second.subject).toBe(`bullmq:images/nightly/${at + 60_000}`);
  });
});

describe('mappings of a configuration', () => {
  const configured = async (mappings: object) => {
    const parsed = parseConfig(JSON.stringify({ mappings }));
    if (!parsed.ok) return parsed.problems.map(({ where, rule }) => `${where}: ${rule}`);
    return knownMappings(parsed.config.mappings);
  };

  test('may differ from a shipped one in some keys, and have its name', async () => {
    const known = (await configured({
      n8n: { extends: 'n8n', pool: 'automation' },
      'n8n-eu': { extends: 'n8n', source: 'n8n-eu' },
    })) as Awaited<ReturnType<typeof knownMappings>>;
    const shipped = (await knownMappings({})).get('n8n')!;
    expect(known.get('n8n')).toMatchObject({ name: 'n8n', source: 'n8n', status: shipped.status });
    expect(known.get('n8n')!.pool.text[0]!.text).toBe('automation');
    expect(known.get('n8n-eu')).toMatchObject({ name: 'n8n-eu', source: 'n8n-eu', pool: shipped.pool });
  });

  test('are checked, and the place of a mistake is named', async () => {
    expect(await configured({ jobs: { execution: '{id' } })).toEqual([
      'mappings.jobs.execution: must hold: text with paths in braces, such as {queue}/{job.id}',
    ]);
    expect(await configured({ jobs: { execution: '{id}' } })).toEqual([
      'mappings.jobs.pool: must hold: given when nothing is extended',
      'mappings.jobs.status: must hold: given when nothing is extended',
      'mappings.jobs.times: must hold: given when nothing is extended',
    ]);
    expect(await configured({ jobs: { extends: 'n8n', times: { at: { path: 'a', unitt: 's' } } } })).toEqual([
      'mappings.jobs.times.at.unitt: must be a known key (did you mean unit?)',
    ]);
    expect(await configured({ jobs: { extends: 'n8m' } })).toEqual([
      expect.stringMatching(/^mappings\.jobs\.extends: must be "bullmq" or/),
    ]);
  });

  test('docs/mapping.schema.json is the schema of the code', () => {
    const committed = JSON.parse(
      readFileSync(join(projectDir, 'docs', 'mapping.schema.json'), 'utf8'),
    ) as unknown;
    expect(committed).toEqual(JSON.parse(JSON.stringify(mappingJsonSchema())));
  });
});

describe('headroom mapping test', () => {
  const mapping = {
    execution: '{id}',
    pool: '{@.queue}',
    status: { text: '{state}', values: { ok: 'completed' } },
    times: { endedAt: 'at' },
  };
  const good = { id: 1, state: 'ok', at: 1_795_514_400_000, '@': { queue: 'etl' } };

  test('says of each line what becomes of it, with its number, and fails when one is refused', async () => {
    const file = write(
      'some.jsonl',
      `\uFEFF${JSON.stringify(good)}\n\n{"id":\r\n${JSON.stringify({ ...good, state: 'no' })}\n`,
    );
    const { code, printed } = await run(file, { mapping: write('jobs.yaml', mapping) });
    expect(code).toBe(1);
    expect(printed).toEqual([
      'line 1     mapped   completed jobs:1 in pool etl: ended 2026-11-24T10:00:00.000Z',
      expect.stringMatching(/^line 3 {5}refused {2}malformed_json: /),
      'line 4     refused  unknown_status: status: must be one of ok, got "no"',
      '1 events of 1 executions (etl: 1), 0 ignored, 2 refused (malformed_json: 1, unknown_status: 1)',
    ]);
  });

  test('refuses times in another unit than the mapping says, and names the unit', async () => {
    const file = write('seconds.jsonl', { ...good, at: good.at / 1000 });
    const { code, printed } = await run(file, { mapping: write('jobs.yaml', mapping) });
    expect(code).toBe(1);
    expect(printed[0]).toMatch(
      /unreadable_time: times\.endedAt: must be in milliseconds, got 1795514400 \(at; it is a time in seconds, unit s\)$/,
    );
  });

  test('takes an array, and answers in JSON', async () => {
    const file = write('array.json', JSON.stringify([good, { ...good, id: null }], undefined, 2));
    const { code, printed } = await run(file, { mapping: write('jobs.yaml', mapping), json: true });
    expect(code).toBe(1);
    expect(JSON.parse(printed.join(''))).toMatchObject({
      mapping: 'jobs',
      mapped: 1,
      refused: 1,
      executions: 1,
      pools: { etl: 1 },
      reasons: { missing: 1 },
      records: [
        { line: 1, outcome: 'mapped', event: { subject: 'jobs:1' } },
        { line: 2, outcome: 'refused', reason: 'missing' },
      ],
    });
  });

  test('uses the only mapping of the configuration', async () => {
    const config = write('own.yaml', { mappings: { jobs: mapping } });
    expect(await run(write('one.jsonl', good), { config })).toMatchObject({ code: 0 });
  });

  test('wrong usage and unreadable files are 2, with the names to choose from', async () => {
    const file = write('one.jsonl', good);
    expect(await run(file, { mapping: 'jobz' })).toMatchObject({
      code: 2,
      noted: [expect.stringMatching(/^--mapping: must be a file or one of bullmq, .*, got jobz$/)],
    });
    expect(await run(file, {})).toMatchObject({ code: 2, noted: [expect.stringContaining('got none')] });
    expect(await run(file, { mapping: 'none.yaml' })).toMatchObject({
      code: 2,
      noted: [expect.stringContaining('ENOENT')],
    });
    expect(await run(file, { mapping: write('bad.yaml', { execution: '{id}' }) })).toMatchObject({ code: 2 });
    expect(await run(file, { config: write('bad-config.yaml', { apy: 1 }) })).toMatchObject({ code: 2 });
    expect(await run(join(folder, 'none.jsonl'), { mapping: 'n8n' })).toMatchObject({ code: 2 });
    for (const empty of ['', '\n', '[]'])
      expect(await run(write('empty.jsonl', empty), { mapping: 'n8n' })).toMatchObject({ code: 2 });
  });
});
