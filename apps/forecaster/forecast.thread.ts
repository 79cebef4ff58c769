// The thread of ForecastThread: one memory per pool.
import { parentPort } from 'node:worker_threads';
import { forecastStep, newForecastMemory, type Forecast, type ForecastMemory } from '#domain/forecasting';
import type { ForecastStep, FromForecastThread, ToForecastThread } from './forecast-thread.js';

const port = parentPort!;
const memories = new Map<string, ForecastMemory>();

function stepPool({ settings, closed }: ForecastStep): Forecast | undefined {
  const before = memories.get(settings.pool) ?? newForecastMemory(settings);
  const { output, memory } = forecastStep({ settings, closed }, before);
  memories.set(settings.pool, memory);
  return output;
}

function answer(message: Extract<ToForecastThread, { kind: 'step' }>): FromForecastThread {
  try {
    const forecasts = message.steps.map(stepPool).filter((forecast) => forecast !== undefined);
    return { id: message.id, ok: true, forecasts };
  } catch (error) {
    return { id: message.id, ok: false, message: String((error as Error).stack) };
  }
}

port.on('message', (message: ToForecastThread) => {
  if (message.kind === 'step') port.postMessage(answer(message));
  else for (const pool of message.pools) memories.delete(pool);
});
