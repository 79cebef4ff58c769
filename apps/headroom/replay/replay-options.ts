/** `headroom replay` as it was typed, checked. */
export interface ReplayOptions {
  pool: string;
  /** As typed: date or date-time. */
  from?: string;
  to?: string;
  speed: number;
  peakRps: number;
  seed: number;
  url?: string;
  objectiveMs: number;
  json?: true;
}
