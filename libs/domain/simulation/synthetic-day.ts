import { createRandom } from './random.js';

const NIGHT_RATIO = 0.15;
const NOISE_RATIO = 0.05;

/**
 * Arrival rates per second of one compressed day: a night-to-noon wave, a lunch peak, a flash crowd at a time that
 * differs from day to day, and noise. Length seasonS; the largest value is near `peakRps`, never above.
 */
export function syntheticDay(day: { seed: number; seasonS: number; peakRps: number; day: number }): number[] {
  const random = createRandom(day.seed * 7919 + day.day);
  const flashAt = 0.6 + 0.25 * random();
  return Array.from({ length: Math.ceil(day.seasonS) }, (_, second) => {
    const at = second / day.seasonS;
    const wave = NIGHT_RATIO + 0.45 * (0.5 - 0.5 * Math.cos(2 * Math.PI * at));
    const lunch = 0.25 * Math.exp(-(((at - 0.5) / 0.03) ** 2));
    const flash = at < flashAt ? 0 : 0.35 * Math.exp(-(at - flashAt) / 0.02);
    const noise = 1 + NOISE_RATIO * (2 * random() - 1);
    return Math.min(1, Math.max(0, (wave + lunch + flash) * noise)) * day.peakRps;
  });
}
