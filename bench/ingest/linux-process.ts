import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

// What Linux says about a process, all of its threads together.

/** Ticks of a second in /proc, on every Linux there is. */
const TICKS_PER_S = 100;

/** CPU time since its start, seconds. */
export function cpuS(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

export function rssMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** It and its threads, and what it starts from now on, run on this core only. */
export function pin(pid: number, core: number): void {
  const pinned = spawnSync('taskset', ['-acp', String(core), String(pid)]);
  if (pinned.status !== 0)
    throw new Error(
      `bench:ingest: taskset must exit with 0, got ${pinned.stderr?.toString() ?? 'no taskset'}`,
    );
}
