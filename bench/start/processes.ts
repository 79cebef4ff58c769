import { readdirSync, readFileSync } from 'node:fs';

// What Linux says about a program and its children. Processes that end while they are read are left out.

export interface ProcessFigures {
  pid: number;
  parent: number;
  command: string;
  rssMb: number;
  /** Its part of what it shares: pages used by three processes count a third in each. */
  pssMb: number;
}

/** The process and everything below it. */
export function familyOf(pid: number): ProcessFigures[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => parentOf(Number(name)) ?? []);
  const family = new Set([pid]);
  // Children come after their parents only most of the time.
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const { pid: child, parent } of all) if (family.has(parent)) family.add(child);
  }
  return all.filter((member) => family.has(member.pid)).flatMap((member) => figuresOf(member) ?? []);
}

export function isAlive(pid: number): boolean {
  const found = readText(`/proc/${pid}/stat`);
  return found !== undefined && stateOf(found) !== 'Z';
}

function parentOf(pid: number): { pid: number; parent: number } | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  return { pid, parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) };
}

function stateOf(stat: string): string | undefined {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0];
}

function figuresOf({ pid, parent }: { pid: number; parent: number }): ProcessFigures | undefined {
  const rollup = readText(`/proc/${pid}/smaps_rollup`);
  const command = readText(`/proc/${pid}/cmdline`)?.split('\0').join(' ').trim();
  if (rollup === undefined || command === undefined) return undefined;
  const megabytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(rollup)?.[1]) / 1024;
  return { pid, parent, command, rssMb: megabytes('Rss'), pssMb: megabytes('Pss') };
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
