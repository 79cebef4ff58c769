import { readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { formatProblem, type InputProblem } from '#adapters/input-problems';
import { mappingSchema, type Mapping, type MappingRules } from '#domain/mapping';
import { checkYaml } from '../yaml.js';
import { SHIPPED_MAPPINGS, type MappingConfig } from './mapping-config.js';

// dist/apps/headroom/mappings/ → the folder of package.json
const SHIPPED_DIR = join(import.meta.dirname, '..', '..', '..', '..', 'config', 'mappings');

/** The shipped mappings and those of a configuration, which may have the name of a shipped one. */
export async function knownMappings(
  configured: Record<string, MappingConfig>,
): Promise<Map<string, Mapping>> {
  const known = new Map<string, Mapping>();
  for (const name of SHIPPED_MAPPINGS) known.set(name, await shippedMapping(name));
  const shipped = new Map(known);
  for (const [name, { extends: base, ...own }] of Object.entries(configured)) {
    const rules = { ...(base !== undefined && shipped.get(base)), ...own } as MappingRules;
    known.set(name, { ...rules, name });
  }
  return known;
}

async function shippedMapping(name: string): Promise<Mapping> {
  const read = await readMapping(join(SHIPPED_DIR, `${name}.yaml`));
  if (read.ok) return read.mapping;
  throw new Error(`mapping ${name}: must be valid, got ${read.problems.map(formatProblem).join('; ')}`);
}

export type ReadMapping = { ok: true; mapping: Mapping } | { ok: false; problems: InputProblem[] };

/** Reads a mapping from a YAML or JSON file; its name is that of the file. */
export async function readMapping(file: string): Promise<ReadMapping> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    return { ok: false, problems: [{ where: file, rule: 'must be a readable file', actual }] };
  }
  const checked = checkYaml(mappingSchema, text);
  if (!checked.ok) return checked;
  return { ok: true, mapping: { ...checked.value, name: basename(file, extname(file)) } };
}
