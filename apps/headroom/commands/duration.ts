const UNIT_S: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `30m`, `8h`, `1d`, `1.5h` in seconds; undefined when it is not a duration > 0. */
export function parseDurationS(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([smhd])$/.exec(text.trim());
  const durationS = match === null ? 0 : Number(match[1]) * UNIT_S[match[2]!]!;
  return durationS > 0 && Number.isFinite(durationS) ? durationS : undefined;
}

/** As somebody would type it: `24h`, `90s`. */
export function durationText(durationS: number): string {
  return durationS % 3600 === 0 ? `${durationS / 3600}h` : `${durationS}s`;
}
